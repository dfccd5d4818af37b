// Consents of the Mates that are asked about, in memory, so that most verifications wait for nothing. A
// Mate's part is filled from PostgreSQL when it is first asked about, follows the pushes of changes, and may
// be used while its lease lives: the same bound as at every enforcement point (docs/adr/0002).
#pragma once
#include <unordered_map>

#include "guard/consent_copy.hpp"
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
  struct Copy {
    explicit Copy(MateId mate) : consents(std::move(mate)) {}
    guard::ConsentCopy consents;
    guard::SyncedLease lease;
    SteadyTime asked_at{}, used_at{};
    bool loading = false, loaded = false;
  };
  using CopyPointer = std::shared_ptr<Copy>;

  /// Brings one Mate's copy up to date.
  Task<> load(TenantId tenant, MateId mate, CopyPointer copy);
  Task<> load_pages(TenantId tenant, MateId mate, CopyPointer copy, SteadyTime asked_at);
  Task<> keep_fresh();
  /// Asks for the epochs of all Mates in use at once; those that have moved are loaded.
  Task<> renew(TenantId tenant, std::vector<std::pair<MateId, CopyPointer>> used);

  /// Of one tenant; names are free to ask about, so they must not cost memory without end.
  static constexpr std::size_t kMaxCopies = 100'000;
  /// A Mate with more consents than this is looked up in PostgreSQL.
  static constexpr std::size_t kMaxRecords = 20'000'000;

  platform::Environment& environment_;
  Store& store_;
  nats::Subscription pushes_;
  std::unordered_map<TenantId, std::unordered_map<MateId, CopyPointer>> copies_;
};

}  // namespace intra365::services::consent
