// Carries the AUDIT stream into PostgreSQL, many messages in one transaction.
//
// A message is acknowledged after its rows are committed; one that comes twice finds its rows there already.
// An entry that the database refuses for what it says is set aside, alone: neither its neighbours nor what
// stands behind it wait for it, and it can be brought back. Whatever else goes wrong, entries wait.
#pragma once
#include "platform/environment.hpp"
#include "services/audit/set_aside.hpp"
#include "services/audit/store.hpp"

namespace intra365::services::audit {

/// What a message of the stream holds.
struct Message {
  /// A piece that is no record: of one tenant where it names one, else nobody's.
  struct Unreadable {
    std::optional<TenantId> tenant;
    std::string text;
    Error reason;
  };
  std::vector<platform::AuditRecord> records;
  std::vector<Unreadable> unreadable;
};
Message read_message(std::string_view payload);

/// Owned by one shard; not thread-safe. Runs in the environment's task group.
class Ingest {
 public:
  Ingest(platform::Environment& environment, Store& store, SetAside& aside);
  /// Makes the consumer where it is missing, and begins.
  Task<> start();

 private:
  Task<> run();
  Task<> carry(std::vector<nats::Delivered> messages);
  /// These return true when everything is stored or set aside.
  Task<bool> store_one(const nats::Delivered& message);
  Task<bool> store_apart(std::vector<platform::AuditRecord> records);
  Task<bool> set_aside(platform::AuditRecord record, const Error& reason);
  Task<bool> set_aside(Message::Unreadable unreadable);

  platform::Environment& environment_;
  Store& store_;
  SetAside& aside_;
  prometheus::Counter& entries_;
  prometheus::Counter& set_aside_;
  prometheus::Counter& retries_;
};

}  // namespace intra365::services::audit
