// How far a copy has come along changes that are numbered without gaps, whatever order they arrive in.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace intra365::guard {

/// What a pushed change means for a copy.
enum class Push {
  applied,  ///< it was the next one, or what lies between is being asked for: go on
  old,      ///< known already
  gap,      ///< something before it is missing: sync at once
};

/// Owned by one shard; not thread-safe.
class Epochs {
 public:
  /// Everything up to here is in the copy.
  std::uint64_t at() const { return at_; }

  /// A change was pushed, and was put into the copy.
  Push pushed(std::uint64_t epoch) {
    if (epoch <= at_) return Push::old;
    if (epoch == at_ + 1) return at_ = epoch, Push::applied;
    if (!syncing_ || ahead_.size() >= kMaxAhead) return Push::gap;
    ahead_.push_back(epoch);
    return Push::applied;
  }
  void sync_begins() { syncing_ = true; }
  /// The copy has everything up to `epoch`; `at()` where the sync has failed. False where a change that was
  /// pushed meanwhile lies behind another that is missing.
  bool sync_ended(std::uint64_t epoch) {
    at_ = std::max(at_, epoch);
    std::ranges::sort(ahead_);
    for (const auto one : ahead_) at_ += one == at_ + 1 ? 1 : 0;
    const bool complete = ahead_.empty() || ahead_.back() <= at_;
    ahead_.clear();
    syncing_ = false;
    return complete;
  }

 private:
  static constexpr std::size_t kMaxAhead = 100'000;
  std::uint64_t at_ = 0;
  std::vector<std::uint64_t> ahead_;  ///< pushed while a sync was under way
  bool syncing_ = false;
};

}  // namespace intra365::guard
