// The registry's tables.
#pragma once
#include "contract/operations/registry.hpp"
#include "platform/environment.hpp"

namespace intra365::services::registry {

struct Found {
  intra365::registry::Discovered mate;
  double text_rank = 0;
};

class Store {
 public:
  explicit Store(platform::Environment& environment)
      : database_(environment.database), reads_(environment.reads) {}

  /// Mate, capabilities, version and dependencies in one transaction.
  Task<intra365::registry::RegisterReply> register_mate(TenantId tenant, MateId id,
                                                        intra365::registry::Mate mate, SteadyTime deadline);
  /// The last revision, nullopt when it was not registered.
  Task<std::optional<std::uint64_t>> deregister(TenantId tenant, MateId id, SteadyTime deadline);
  Task<std::vector<Found>> discover(TenantId tenant, std::optional<MateId> id,
                                    intra365::registry::DiscoverRequest request,
                                    std::optional<SteadyTime> changed_at, SteadyTime deadline);
  /// False when the Mate is not registered.
  Task<bool> seen(TenantId tenant, MateId id, std::optional<std::string> status, SteadyTime deadline);

 private:
  postgres::Pool& database_;
  platform::Reads& reads_;
};

}  // namespace intra365::services::registry
