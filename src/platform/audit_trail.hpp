// Every decision leaves an entry. Entries are gathered and written to the AUDIT stream in batches, one
// durable message each; the audit service carries them to PostgreSQL.
#pragma once
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/task_group.hpp"
#include "contract/operations/audit.hpp"
#include "nats/jetstream.hpp"

namespace intra365::platform {

namespace errors {
inline constexpr ErrorCode audit_full{ErrorKind::exhausted, "audit.full",
                                      "More audit entries wait for the audit stream than may."};
inline constexpr ErrorCode audit_unavailable{
    ErrorKind::unavailable, "audit.unavailable",
    "The decision could not be recorded in time. A change may have been made: ask for its state."};
}  // namespace errors

/// An entry and whose it is, as it stands in the AUDIT stream: a JSON array of these is one message.
struct AuditRecord {
  TenantId tenant;
  audit::Entry entry;
};
BOOST_DESCRIBE_STRUCT(AuditRecord, (), (tenant, entry))

inline constexpr std::string_view audit_stream = "AUDIT";
inline constexpr std::string_view audit_subject = "platform.audit";

/// Owned by one shard; not thread-safe.
class AuditTrail {
 public:
  AuditTrail(nats::JetStream& jetstream, TaskGroup& tasks);

  /// Creates the stream where it is missing.
  Task<> start();
  /// Queues entries. They are durable once `durable(position)` has returned. Fails with `audit.full`.
  Result<std::uint64_t> record(std::vector<AuditRecord> records);
  /// Queues an entry of something that changed nothing. Alike entries of one moment (who, what, about whom,
  /// and how it ended) become one with a count, and the first one's time and trace; ids are given here.
  Result<void> record_alike(AuditRecord record);
  /// Waits until everything up to `position` is in the stream.
  Task<> durable(std::uint64_t position, SteadyTime deadline);
  /// Writes what is queued, then ends. Entries that come later are refused.
  Task<> stop(SteadyTime deadline);
  std::size_t waiting() const { return queue_.size(); }

 private:
  Task<> write_batches();

  static constexpr std::size_t kMaxQueued = 100'000;
  static constexpr std::size_t kMaxPerMessage = 500;

  nats::JetStream& jetstream_;
  TaskGroup& tasks_;
  std::deque<AuditRecord> queue_;
  /// Positions of entries that alike ones may still join, counted as `recorded_` is.
  std::unordered_map<std::string, std::uint64_t> alike_;
  std::uint64_t recorded_ = 0, durable_ = 0;
  bool stopping_ = false, writing_ = false;
  asio::steady_timer changed_;  ///< cancelled when something was queued
  asio::steady_timer written_;  ///< cancelled when a batch became durable
};

}  // namespace intra365::platform
