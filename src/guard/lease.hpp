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

/// Owned by one shard; not thread-safe. Time comes in as an argument, so that tests can move it.
class Lease {
 public:
  /// The moment at which the truth is asked.
  struct Question {
    SteadyTime asked_at{};
    std::uint64_t gaps = 0;
  };
  Question ask(SteadyTime now) const { return {now, gaps_}; }
  /// The truth has answered: the copy is as it was when it was asked. Counting from the question, not the
  /// answer, keeps the bound whatever the answer's way took. False, and nothing changes, where the copy fell
  /// behind meanwhile: ask again.
  bool renew(const Question& question) {
    if (question.gaps != gaps_) return false;
    alive_until_ = std::max(alive_until_, question.asked_at + kLeaseDuration);
    behind_ = false;
    return true;
  }
  /// A change is known to be missing: the copy must not be used before it was synced.
  void fall_behind() {
    ++gaps_;
    behind_ = true;
  }
  /// Deny, do not wait, when this is false.
  bool alive(SteadyTime now) const { return !behind_ && now < alive_until_; }

 private:
  SteadyTime alive_until_{};
  std::uint64_t gaps_ = 0;
  bool behind_ = true;
};

}  // namespace intra365::guard
