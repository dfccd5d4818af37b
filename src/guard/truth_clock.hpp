// What time it is where the truth is. A machine whose clock is behind would let live on what is over there:
// an expiry is decided by the later of both clocks. One whose clock is ahead denies early, as long as it is.
#pragma once
#include <algorithm>
#include <optional>

#include "base/time.hpp"

namespace intra365::guard {

/// Owned by one shard; not thread-safe.
class TruthClock {
 public:
  /// An answer of the truth came at `answered_at` and says what time it was there. As long as it travelled
  /// the truth's clock is ahead of what is made of it here: less than a lease, which counts from the
  /// question.
  void hear(Timestamp said, BootTime answered_at) {
    said_ = said;
    answered_at_ = answered_at;
  }
  /// The later of our clock and the truth's, as far as it is known.
  Timestamp latest(Instant now) const {
    if (!said_) return now.wall;
    return std::max(now.wall,
                    *said_ + std::chrono::floor<std::chrono::microseconds>(now.boot - answered_at_));
  }

 private:
  std::optional<Timestamp> said_;
  BootTime answered_at_{};
};

}  // namespace intra365::guard
