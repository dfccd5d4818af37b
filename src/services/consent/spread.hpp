// Tells everybody who decides by a consent that it has changed: this process's own copies, the Mate's
// enforcement points, the cache, the timers around its end. After the commit, so nothing here makes a change
// fail: what is lost, the leases and syncs make good within their bound (docs/adr/0002).
#pragma once
#include <span>

#include "services/consent/cache.hpp"
#include "services/consent/copies.hpp"
#include "services/consent/propagation.hpp"
#include "services/consent/renewals.hpp"
#include "services/consent/store.hpp"

namespace intra365::services::consent {

using Records = std::vector<intra365::consent::Consent>;

/// Records that one request has changed.
struct Told {
  Records stored;
  Records holding;           ///< the same as they hold
  bool published = false;    ///< all of them
  std::uint64_t cached = 0;  ///< their position in the cache's queue
};

/// Owned by one shard; not thread-safe. Everything it is given must outlive it.
class Spread {
 public:
  Spread(platform::Environment& environment, Store& store, Copies& copies, Cache& cache,
         Propagation& propagation, Renewals& renewals)
      : environment_(environment),
        store_(store),
        copies_(copies),
        cache_(cache),
        propagation_(propagation),
        renewals_(renewals) {}

  struct Changed {
    Records stored;
    std::string trace_id;
  };
  /// Tells what several requests have changed together; for each what became of it. What hangs on others is
  /// told as it holds; where that cannot be read just now, its request fails and it is told later.
  asio::awaitable<std::vector<Result<Told>>> tell(TenantId tenant, std::vector<Changed> changes);

  /// How far it has got; waits a little for the cache.
  Task<intra365::consent::Propagation> reached(bool published, std::uint64_t cached);

 private:
  using Account = Result<std::string>;
  Task<> tell_later(TenantId tenant, Records delegated, std::string trace_id);
  asio::awaitable<Account> account_of(TenantId tenant);
  void tell_all(const TenantId& tenant, const Account& account, Records holding, const std::string& trace_id,
                Told& told);

  platform::Environment& environment_;
  Store& store_;
  Copies& copies_;
  Cache& cache_;
  Propagation& propagation_;
  Renewals& renewals_;
};

}  // namespace intra365::services::consent
