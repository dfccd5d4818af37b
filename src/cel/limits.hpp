// Every bound of the expression language in one place.
#pragma once
#include <cstddef>
#include <cstdint>

namespace intra365::cel {

struct Limits {
  std::size_t source_bytes = 32u << 10;
  std::size_t depth = 200;               ///< of nested expressions
  std::size_t nodes = 20'000;            ///< of one expression, macros expanded
  std::uint64_t steps = 2'000'000;       ///< nodes evaluated, elements looked at, characters made
  std::size_t memory_bytes = 16u << 20;  ///< of one evaluation's temporaries
};

}  // namespace intra365::cel
