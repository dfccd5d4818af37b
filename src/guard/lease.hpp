// Leases keep cached answers honest: a process may answer from its copy only while its lease is alive, and
// the lease lives only as long as the truth was heard lately and without a gap.
#pragma once
#include <algorithm>

#include "base/time.hpp"

namespace intra365::guard {

/// How long a copy may be used after the truth was last asked. With the pause between two syncs this is the
/// bound on revocation that we promise: never more than one second.
inline constexpr std::chrono::milliseconds kLeaseDuration{1000};
inline constexpr std::chrono::milliseconds kSyncPause{350};

/// Owned by one shard; not thread-safe. Time comes in as an argument, so tests can move it.
class Lease {
 public:
  /// The truth was asked at `asked_at` and has answered: the copy is as it was then. Counting from the
  /// question, not the answer, keeps the bound whatever the answer's way took.
  void renew(SteadyTime asked_at) {
    alive_until_ = std::max(alive_until_, asked_at + kLeaseDuration);
    behind_ = false;
  }
  /// A change is known to be missing: the copy must not be used before it was synced.
  void fall_behind() { behind_ = true; }
  /// Deny, do not wait, when this is false.
  bool alive(SteadyTime now) const { return !behind_ && now < alive_until_; }

 private:
  SteadyTime alive_until_{};
  bool behind_ = true;
};

}  // namespace intra365::guard
