#include "sdk/cpp/audit_queue.hpp"

namespace intra365::sdk {
namespace {

/// About what an entry takes as JSON.
std::size_t size_bytes(const audit::Entry& entry) {
  std::size_t bytes = 512 + entry.resource.size() + entry.actor.size();
  for (const auto& scope : entry.scopes) bytes += scope.str().size() + 3;
  return bytes;
}

}  // namespace

void AuditQueue::record(const std::string& likeness, const std::function<audit::Entry()>& entry) {
  const auto known = alike_.find(likeness);
  if (known != alike_.end() && known->second >= left_) {
    ++waiting_[known->second - left_].count;
    return;
  }
  if (!has_room()) {
    ++unrecorded_;
    return;
  }
  alike_[likeness] = left_ + waiting_.size();
  waiting_.push_back(entry());
}

void AuditQueue::record_end(audit::Entry entry) {
  waiting_.push_back(std::move(entry));
}

const std::vector<audit::Entry>& AuditQueue::batch() {
  if (!batch_.empty()) return batch_;
  for (std::size_t bytes = 0; !waiting_.empty() && batch_.size() < kMaxPerBatch; ++left_) {
    bytes += size_bytes(waiting_.front());
    if (bytes > kMaxBatchBytes && !batch_.empty()) break;
    batch_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  std::erase_if(alike_, [&](const auto& one) { return one.second < left_; });
  return batch_;
}

}  // namespace intra365::sdk
