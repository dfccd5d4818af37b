// Changes that come at the same time are stored in one transaction: they share its wait for the disk. What
// would wait in PostgreSQL for the epochs of a person or a Mate waits here, and shares the next one. Once a
// change is handed to PostgreSQL it is brought to its end, and told, whatever becomes of whoever asked for
// it.
#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "services/consent/spread.hpp"
#include "services/consent/store.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Appender {
 public:
  Appender(platform::Environment& environment, Store& store, Spread& spread)
      : environment_(environment), store_(store), spread_(spread) {}

  /// As `Store::append` of one; what was changed was told when it returns. Fails with `postgres.timeout` when
  /// `deadline` passes first: where it had been handed to PostgreSQL by then it may be stored, otherwise not.
  Task<Told> append(TenantId tenant, std::vector<Change> changes, std::string trace_id, SteadyTime deadline);

  /// The same for a transaction of its own kind. `store` is called again where transactions collided, and
  /// must hold no reference to whoever asks.
  using StoreOne = std::function<Task<Records>()>;
  Task<Told> append_by(TenantId tenant, StoreOne store, std::string trace_id, SteadyTime deadline);

 private:
  struct Waiting;
  struct Outcome;
  using Batch = std::vector<std::shared_ptr<Waiting>>;
  /// Whose epochs are raised: people and Mates, as far as the changes themselves say.
  using Raised = std::set<std::string>;
  struct Queue {
    std::list<std::shared_ptr<Waiting>> waiting;
    Raised held;        ///< by the batches under way
    int under_way = 0;  ///< batches
  };

  /// Stores what waits, batch after batch, until nothing is left that could be stored now.
  Task<> store_all(TenantId tenant);
  asio::awaitable<void> store_batch(TenantId tenant, Batch batch);
  Task<> store_one(TenantId tenant, StoreOne store, std::string trace_id, std::shared_ptr<Outcome> outcome);
  /// The longest waiting that need not wait for a batch under way. None overtakes another of the same person
  /// or Mate. What nobody waits for any more is left out.
  static Batch take_batch(Queue& queue, SteadyTime now);

  static constexpr std::size_t kMaxAtOnce = 128;
  static constexpr std::size_t kMaxLookedAt = 1'000;
  static constexpr int kMaxUnderWay = 4;  ///< batches of a tenant
  static constexpr std::size_t kMaxWaiting = 10'000;

  platform::Environment& environment_;
  Store& store_;
  Spread& spread_;
  /// A tenant is in it while anything of it waits or is under way.
  std::map<TenantId, Queue> queues_;
};

}  // namespace intra365::services::consent
