// The functions an expression may call, by name.
#pragma once
#include "cel/node.hpp"

namespace intra365::cel {

struct FunctionEntry {
  std::string_view name;
  bool global = false, receiver = false;  ///< may be called as f(x), as x.f()
  std::uint8_t least = 0, most = 0;       ///< arguments, the receiver counted
  Function call = nullptr;
};

/// None where there is no such function.
const FunctionEntry* find_function(std::string_view name);

std::span<const FunctionEntry> core_functions();
std::span<const FunctionEntry> time_functions();
std::span<const FunctionEntry> string_functions();
std::span<const FunctionEntry> math_functions();
std::span<const FunctionEntry> collection_functions();

}  // namespace intra365::cel
