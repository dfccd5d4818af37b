// Changes that come at the same time are stored in one transaction: they share its wait for the disk. What
// would wait in PostgreSQL for the epochs of a person or a Mate waits here, and shares the next one.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <set>

#include "services/consent/store.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Appender {
 public:
  Appender(platform::Environment& environment, Store& store) : environment_(environment), store_(store) {}

  /// As `Store::append`. Fails with `postgres.timeout` when `deadline` passes first: it may be stored then or
  /// not.
  Task<std::vector<intra365::consent::Consent>> append(TenantId tenant, std::vector<Change> changes,
                                                       std::string trace_id, SteadyTime deadline);

 private:
  struct Waiting;
  using Batch = std::vector<std::shared_ptr<Waiting>>;
  /// Whose epochs are raised: people and Mates.
  using Raised = std::set<std::string>;
  struct Queue {
    std::list<std::shared_ptr<Waiting>> waiting;
    Raised held;        ///< by the batches under way
    int under_way = 0;  ///< batches
  };

  /// Stores what waits, batch after batch, until nothing is left that could be stored now.
  Task<> store_all(TenantId tenant);
  asio::awaitable<void> store_batch(TenantId tenant, Batch batch);
  /// The longest waiting that need not wait for a batch under way. None overtakes another of the same person
  /// or Mate.
  static Batch take_batch(Queue& queue);

  static constexpr std::size_t kMaxAtOnce = 128;
  static constexpr std::size_t kMaxLookedAt = 1'000;
  static constexpr int kMaxUnderWay = 4;  ///< batches of a tenant
  static constexpr std::size_t kMaxWaiting = 10'000;

  platform::Environment& environment_;
  Store& store_;
  /// A tenant is in it while anything of it waits or is under way.
  std::map<TenantId, Queue> queues_;
};

}  // namespace intra365::services::consent
