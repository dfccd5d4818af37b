// Epochs count changes, so that whoever keeps a copy knows what it has. A database that was restored to an
// earlier time, or whose standby took over before it had everything, would count on from less, and the same
// numbers would mean other changes. So it counts on a line of its own, which stands in the bits above the
// count (intra365.epoch_base).
#pragma once
#include <cstdint>

namespace intra365::guard {

inline constexpr int kEpochCountBits = 40;

/// On which line of the truth this was counted.
constexpr std::uint64_t line_of(std::uint64_t epoch) {
  return epoch >> kEpochCountBits;
}

/// True when a truth that is at `now` need not know what a copy had that asked with `had`: it must begin
/// anew.
constexpr bool has_gone_back(std::uint64_t had, std::uint64_t now) {
  return now < had || line_of(now) != line_of(had);
}

}  // namespace intra365::guard
