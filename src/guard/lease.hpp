// Leases keep cached answers honest: a process may answer from its copy only while its lease is alive, and
// the lease lives only as long as the truth was heard lately and without a gap.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/time.hpp"

namespace intra365::guard {

/// How long a copy may be used after the truth was last asked. With the pause between two syncs this is the
/// bound on revocation that we promise: never more than one second.
inline constexpr std::chrono::milliseconds kLeaseDuration{1000};
inline constexpr std::chrono::milliseconds kSyncPause{350};

/// What a push was to a copy.
enum class Push {
  applied,  ///< it was the next change, and is in the copy
  old,      ///< known already
  gap,      ///< something before it is missing: sync at once
};

/// Owned by one shard; not thread-safe. Time comes in as an argument, so tests can move it. It is a time that
/// goes on while the machine sleeps, as revocations do.
class Lease {
 public:
  explicit Lease(std::chrono::milliseconds duration = kLeaseDuration) : duration_(duration) {}
  /// The truth was asked at `asked_at` and has answered: the copy is as it was then. Counting from the
  /// question, not the answer, keeps the bound whatever the answer's way took.
  void renew(BootTime asked_at) {
    alive_until_ = std::max(alive_until_, asked_at + duration_);
    behind_ = false;
  }
  /// A change is known to be missing: the copy must not be used before it was synced.
  void fall_behind() { behind_ = true; }
  /// Deny, do not wait, when this is false.
  bool alive(BootTime now) const { return !behind_ && now < alive_until_; }

 private:
  std::chrono::milliseconds duration_;
  BootTime alive_until_{};
  bool behind_ = true;
};

/// The rounds of asking the truth that keep a lease alive. A gap that shows while a round is under way may be
/// newer than its answer, so that round renews nothing.
class SyncedLease {
 public:
  explicit SyncedLease(std::chrono::milliseconds duration = kLeaseDuration) : lease_(duration) {}
  struct Round {
    BootTime asked_at;
    std::uint64_t gaps = 0;
  };
  /// The truth is being asked.
  Round begin(BootTime now) const { return {now, gaps_}; }
  /// It has answered, and the copy is up to date. False: ask again at once.
  bool end(const Round& round) {
    if (round.gaps != gaps_) return false;
    lease_.renew(round.asked_at);
    return true;
  }
  /// A push shows that something before it is missing.
  void gap() {
    ++gaps_;
    lease_.fall_behind();
  }
  bool alive(BootTime now) const { return lease_.alive(now); }

 private:
  Lease lease_;
  std::uint64_t gaps_ = 0;
};

}  // namespace intra365::guard
