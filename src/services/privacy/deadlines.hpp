// Watches the deadlines of people's requests, so that whoever has to see to them hears before it is too late.
#pragma once
#include "platform/environment.hpp"

namespace intra365::services::privacy {

/// Every instance watches; what each tells of is noted in the transaction that tells it, so it is told once.
/// Owned by one shard; not thread-safe.
class Deadlines {
 public:
  explicit Deadlines(platform::Environment& environment);

  /// Looks every few seconds until it is cancelled: events of requests that are due soon or overdue, and how
  /// many are.
  Task<> watch();

 private:
  Task<> look();

  platform::Environment& environment_;
  prometheus::Gauge& overdue_;
};

}  // namespace intra365::services::privacy
