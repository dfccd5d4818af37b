// Compares the KV bucket of consents with PostgreSQL and puts it right: what is missing, what says something
// else, and what nobody has ever decided. A difference is an alarm, because nothing but a fault makes one.
#pragma once
#include "contract/operations/consent_upkeep.hpp"
#include "platform/service.hpp"
#include "services/consent/cache.hpp"
#include "services/consent/store.hpp"

namespace prometheus {
class Counter;
}

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks. No decision is made from
/// the bucket; this keeps it honest for whoever watches it.
class CacheRepair {
 public:
  CacheRepair(platform::Environment& environment, Store& store, Cache& cache);
  /// Compares now and then, and at once where the bucket is new; of all instances one at a time.
  Result<void> start();
  /// Compares the caller's tenant at once.
  Task<intra365::consent::ReconcileReply> reconcile(const platform::Caller& caller, const Empty&);
  /// Writes what a person has consented to, whatever stands there; not an alarm.
  Task<intra365::consent::CacheReply> cache(const platform::Caller& caller,
                                            const intra365::consent::CacheRequest& request);

 private:
  using Findings = intra365::consent::ReconcileReply;
  Task<> keep_comparing();
  Task<Findings> compare_all();
  /// Adds to `findings`; stops at `deadline`.
  Task<> compare(TenantId tenant, Findings& findings, SteadyTime deadline);
  Task<> compare_both(TenantId tenant, Findings& findings, SteadyTime deadline);
  Task<> say_alive();
  Task<> compare_records(TenantId tenant, Findings& findings, SteadyTime deadline);
  Task<> compare_entries(TenantId tenant, Findings& findings, SteadyTime deadline);
  /// Looks again, behind what may have been under way, and puts right what still differs.
  Task<> put_right(TenantId tenant, std::vector<ConsentId> suspects, Findings& findings, SteadyTime deadline);
  Task<> put_right_one(TenantId tenant, ConsentId id, Findings& findings, SteadyTime deadline);
  Task<> alarm(const TenantId& tenant, const Findings& findings);

  platform::Environment& environment_;
  Store& store_;
  Cache& cache_;
  nats::KeyValue bucket_;
  prometheus::Counter &missing_, &altered_, &unknown_, &rounds_;
};

}  // namespace intra365::services::consent
