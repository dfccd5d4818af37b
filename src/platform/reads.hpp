// Reads that replicas of PostgreSQL may answer: each says how old its answer may be, and whoever has just
// changed something sees it whatever that says.
#pragma once
#include <prometheus/counter.h>

#include <unordered_map>

#include "async/task_group.hpp"
#include "nats/connection.hpp"
#include "platform/caller.hpp"
#include "platform/config.hpp"
#include "platform/telemetry.hpp"
#include "postgres/read_pool.hpp"

namespace intra365::platform {

/// Declared beside its statement: `constexpr Read history{consent_history, 2s};`
struct Read {
  postgres::Query query;              ///< only reads
  std::chrono::milliseconds at_most;  ///< the age of the oldest answer that is good enough; under 10 s
};

/// Owned by one shard; not thread-safe. Without `postgres.replicaDsns` the primary answers everything.
///
/// One's own writes: whoever carries out a change tells it to all processes before it answers, over the same
/// NATS connection, so that the notice is in front of the caller's next request on the way to any process. A
/// process that may have missed a notice counts everybody as having changed something.
class Reads {
 public:
  Reads(asio::any_io_executor executor, const Config& config, postgres::Pool& primary, nats::Connection& nats,
        Telemetry telemetry);

  /// Listens for notices; what it spawns runs on `tasks`.
  Result<void> start(TaskGroup& tasks);
  /// To be called when the NATS connection was away.
  void missed();

  /// A change that the caller asked for was carried out here.
  void tell_change(const Caller& caller);
  /// When the caller's latest change is known to have been made at the latest; nullopt: none that matters.
  std::optional<SteadyTime> changed_at(const Caller& caller) const;

  /// `changed_at`: of the caller.
  Task<postgres::Rows> query(postgres::Scope scope, const Read& read, postgres::Parameters parameters,
                             std::optional<SteadyTime> changed_at, SteadyTime deadline);

 private:
  void note(std::string who);

  const bool used_;
  nats::Connection& nats_;
  postgres::ReadPool pool_;
  nats::Subscription notices_;
  std::unordered_map<std::string, SteadyTime> changes_;
  SteadyTime all_changed_at_{};
  postgres::ReadPool::Counts counted_;
  prometheus::Counter &by_replica_, &by_primary_, &behind_;
};

}  // namespace intra365::platform
