// What a Mate has decided and done, on its way to the platform's audit trail. It is bounded, so where the
// platform takes nothing no call is let through any more; what was let through is always recorded to its end.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "contract/operations/audit.hpp"

namespace intra365::sdk {

/// Owned by one shard; not thread-safe.
class AuditQueue {
 public:
  /// Uses that may be going on at once. Room for the end of each is kept.
  static constexpr std::size_t kMaxUses = 4'096;
  static constexpr std::size_t kMaxEntries = 20'000 + kMaxUses;
  /// In one request.
  static constexpr std::size_t kMaxPerBatch = 500, kMaxBatchBytes = 256u << 10;

  /// Whether a call may be let through and its decision recorded.
  bool has_room() const { return size() < kMaxEntries - kMaxUses; }
  /// Records a decision. Alike ones that wait together become one entry with a count: at full speed a Mate
  /// decides far more often than anybody could read. `likeness` tells what is alike; `entry` makes the first.
  /// Without room nothing is stored, and counted as unrecorded.
  void record(const std::string& likeness, const std::function<audit::Entry()>& entry);
  /// Records how a use has ended.
  void record_end(audit::Entry entry);

  /// What to send next; the same until it was `sent`, whatever is recorded meanwhile. Empty: nothing.
  const std::vector<audit::Entry>& batch();
  void sent() { batch_.clear(); }

  std::size_t size() const { return batch_.size() + waiting_.size(); }
  bool empty() const { return size() == 0; }
  /// Refusals that no entry tells of.
  std::uint64_t unrecorded() const { return unrecorded_; }

 private:
  std::vector<audit::Entry> batch_;
  std::deque<audit::Entry> waiting_;
  std::uint64_t left_ = 0;  ///< entries that have gone from the front of `waiting_`
  std::unordered_map<std::string, std::uint64_t> alike_;  ///< by likeness: which entry of all there were
  std::uint64_t unrecorded_ = 0;
};

}  // namespace intra365::sdk
