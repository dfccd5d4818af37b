// Positions in PostgreSQL's write-ahead log.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::postgres {

/// A byte position; written `16/B374D848`. It orders commits but identifies no row: the rows of one COPY
/// share a few positions.
struct Lsn {
  std::uint64_t value = 0;

  std::string text() const;
  /// Fails with `postgres.bad_replication`.
  static Result<Lsn> parse(std::string_view text);
  auto operator<=>(const Lsn&) const = default;
};

}  // namespace intra365::postgres
