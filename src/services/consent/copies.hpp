// Consents of the Mates that are asked about, in memory, so that most verifications wait for nothing. A
// Mate's part is filled from PostgreSQL when it is first asked about, follows the pushes of changes, and may
// be used while its lease lives: the same bound as at every enforcement point (docs/adr/0002). Which copy may
// be used when is decided by guard::ConsentCopies; this asks and listens for it.
#pragma once
#include "guard/consent_copies.hpp"
#include "services/consent/store.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks.
class Copies {
 public:
  Copies(platform::Environment& environment, Store& store) : environment_(environment), store_(store) {}
  /// Listens to changes of every tenant, and keeps leases alive.
  Result<void> start();

  struct Fresh {
    const guard::ConsentIndex* index = nullptr;  ///< none: ask the truth
    std::chrono::milliseconds age{0};            ///< since the truth was last asked
  };
  /// What may be used without waiting, until the next suspension. Where there is nothing, it is fetched
  /// beside the caller's work.
  Fresh fresh(const TenantId& tenant, const MateId& mate);

  /// This process has made a change itself: it counts from now on.
  void changed(const TenantId& tenant, const intra365::consent::Consent& record);

 private:
  /// Brings one Mate's copy up to date.
  Task<> load(TenantId tenant, MateId mate, guard::ConsentCopies::Pointer copy);
  Task<> load_pages(TenantId tenant, MateId mate, guard::ConsentCopies::Load loading);
  Task<> keep_fresh();
  /// Asks for the epochs of all Mates in use at once; those that have moved are loaded.
  Task<> renew(TenantId tenant, std::vector<guard::ConsentCopies::Renewal> used);

  platform::Environment& environment_;
  Store& store_;
  nats::Subscription pushes_;
  guard::ConsentCopies copies_;
};

}  // namespace intra365::services::consent
