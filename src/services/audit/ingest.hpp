// Carries the AUDIT stream into PostgreSQL, many messages in one transaction.
//
// A message is acknowledged after its rows are committed; one that comes twice finds its rows there already.
// One that can never be stored is set aside in `system_events`, so that it does not hold up what stands
// behind it.
#pragma once
#include "platform/environment.hpp"
#include "services/audit/store.hpp"

namespace intra365::services::audit {

/// Owned by one shard; not thread-safe. Runs in the environment's task group.
class Ingest {
 public:
  Ingest(platform::Environment& environment, Store& store);
  /// Makes the consumer where it is missing, and begins.
  Task<> start();

 private:
  Task<> run();
  Task<> carry(std::vector<nats::Delivered> messages);
  /// True when the messages were stored or set aside.
  Task<bool> store_one(const nats::Delivered& message);

  platform::Environment& environment_;
  Store& store_;
  prometheus::Counter& entries_;
  prometheus::Counter& set_aside_;
  prometheus::Counter& retries_;
};

/// The records of one message of the stream. Fails with `request.malformed` and its like.
Result<void> read_message(std::string_view payload, std::vector<platform::AuditRecord>& into);

}  // namespace intra365::services::audit
