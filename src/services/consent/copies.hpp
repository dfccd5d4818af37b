// Consents of the Mates that are asked about, in memory, so that most verifications wait for nothing. A
// Mate's part is filled from PostgreSQL when it is first asked about, follows the pushes of changes, and may
// be used while its lease lives: the same bound as at every enforcement point (docs/adr/0002). Which copy may
// be used when is decided by guard::ConsentCopies; this asks and listens for it.
#pragma once
#include <deque>
#include <unordered_set>

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
    Timestamp time{};                            ///< to decide an expiry by
  };
  /// What may be used without waiting, until the next suspension. Where there is nothing, it is fetched
  /// beside the caller's work.
  Fresh fresh(const TenantId& tenant, const MateId& mate);

  /// The time to decide an expiry by: the later of this process's clock and the database's.
  Timestamp time() const { return truth_.latest(environment_.clock.instant()); }

  /// This process has made a change itself: it counts from now on.
  void changed(const TenantId& tenant, const intra365::consent::Consent& record);

 private:
  /// Brings one Mate's copy up to date.
  Task<> load(TenantId tenant, MateId mate, guard::ConsentCopies::Pointer copy);
  Task<guard::ConsentCopies::Loaded> load_pages(TenantId tenant, MateId mate,
                                                guard::ConsentCopies::Load loading);
  void tell_failure(const MateId& mate, const Error& error);
  Task<> keep_fresh();
  /// Tenants are renewed side by side: one whose answer is slow must not let the leases of the others run
  /// out.
  void start_lanes();
  Task<> run_lane();
  /// Asks for the epochs of all Mates in use at once; those that have moved are loaded.
  Task<> renew(TenantId tenant, std::vector<guard::ConsentCopies::Renewal> used);

  platform::Environment& environment_;
  Store& store_;
  nats::Subscription pushes_;
  guard::ConsentCopies copies_;
  guard::TruthClock truth_;
  static constexpr std::size_t kLanes = 8;
  std::deque<std::pair<TenantId, std::vector<guard::ConsentCopies::Renewal>>> to_renew_;
  std::unordered_set<TenantId> waiting_;  ///< in `to_renew_`, or being asked about
  std::size_t lanes_ = 0;
  std::uint64_t failed_loads_ = 0;  ///< since the last warning
  BootTime tell_again_at_{};
};

}  // namespace intra365::services::consent
