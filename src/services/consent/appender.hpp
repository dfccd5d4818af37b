// Changes that come at the same time are stored in one transaction: they share its wait for the disk, and the
// locks on the epochs of a Mate that many grant to at once.
#pragma once
#include <deque>
#include <map>
#include <memory>

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
  struct Queue {
    std::deque<std::shared_ptr<Waiting>> waiting;
    int under_way = 0;  ///< batches
  };

  /// Stores what waits, batch after batch, until nothing does.
  Task<> store_all(TenantId tenant);
  asio::awaitable<void> store_batch(TenantId tenant, std::vector<std::shared_ptr<Waiting>> batch);

  static constexpr std::size_t kMaxAtOnce = 64;
  static constexpr int kMaxUnderWay =
      4;  ///< batches of a tenant: one computes while another waits for the disk
  static constexpr std::size_t kMaxWaiting = 10'000;

  platform::Environment& environment_;
  Store& store_;
  /// A tenant is in it while anything of it waits or is under way.
  std::map<TenantId, Queue> queues_;
};

}  // namespace intra365::services::consent
