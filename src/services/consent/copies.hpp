// Consents of the Mates that are asked about, in memory, so that most verifications wait for nothing. A
// Mate's part is filled from PostgreSQL when it is first asked about, follows the pushes of changes, and may
// be used while its lease lives: the same bound as at every enforcement point (docs/adr/0002).
#pragma once
#include <unordered_map>

#include "guard/consent_index.hpp"
#include "guard/epochs.hpp"
#include "guard/lease.hpp"
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
  /// How far the copy of one Mate's consents is.
  struct Part {
    guard::Lease lease;
    guard::Epochs epochs;  ///< of the Mate: everything up to here is in the index
    SteadyTime asked_at{}, used_at{};
    bool loading = false, loaded = false;
  };
  struct Tenant {
    guard::ConsentIndex index;
    std::unordered_map<MateId, Part> parts;
  };
  using TenantPointer = std::shared_ptr<Tenant>;

  void on_push(const TenantId& tenant, const intra365::consent::Consent& record);
  /// Brings one Mate's part up to date.
  Task<> load(TenantId id, TenantPointer tenant, MateId mate);
  /// Returns the epoch that the Mate had when it was asked for; the index has everything up to there.
  Task<std::uint64_t> load_pages(TenantId id, TenantPointer tenant, MateId mate, SteadyTime asked_at);
  Task<> keep_fresh();
  /// Asks for the epochs of all Mates in use at once; those that have moved are loaded.
  Task<> renew(TenantId id, TenantPointer tenant);

  /// More records than this, and a tenant's copy begins anew.
  static constexpr std::size_t kMaxRecords = 20'000'000;

  platform::Environment& environment_;
  Store& store_;
  nats::Subscription pushes_;
  std::unordered_map<TenantId, TenantPointer> tenants_;
};

}  // namespace intra365::services::consent
