// The gateway inside each tenant's account: one connection a tenant, opened when it is first needed, with a
// short-lived token of the gateway's own.
#pragma once
#include <unordered_map>

#include "platform/environment.hpp"

namespace intra365::services::gateway {

/// Owned by one shard; not thread-safe.
class TenantDoors {
 public:
  explicit TenantDoors(platform::Environment& environment)
      : environment_(environment), services_(environment.nats, "gateway") {}
  /// A connection inside the tenant's account; it stays open.
  Task<nats::Connection*> open(TenantId tenant, SteadyTime deadline);
  Task<> close(SteadyTime deadline);

 private:
  Task<nats::Credentials> credentials(TenantId tenant);

  platform::Environment& environment_;
  platform::ServiceClient services_;
  std::unordered_map<TenantId, std::unique_ptr<nats::Connection>> doors_;
};

}  // namespace intra365::services::gateway
