// Seals what stands clear from before its column was sealed, and seals anew after a rotation, until the old
// keys can be forgotten. Every step may be repeated.
#pragma once
#include "platform/environment.hpp"
#include "platform/vault.hpp"
#include "services/privacy/model.hpp"

namespace intra365::services::privacy {

/// Owned by one shard; not thread-safe.
class Sealing {
 public:
  explicit Sealing(platform::Environment& environment) : environment_(environment) {}

  /// Looks through tenants that are due, for as long as the service lives. `vault` must outlive it.
  Task<> run(platform::Vault& vault);
  /// The tenant's keys, and what they have not sealed yet.
  Task<wire::SealingReply> state(platform::Vault& vault, TenantId tenant, SteadyTime deadline);

 private:
  Task<> look_through(platform::Vault& vault, TenantId tenant);
  Task<> seal_column(platform::Vault& vault, TenantId tenant, const platform::SealedColumn& column,
                     std::string prefix);

  platform::Environment& environment_;
};

}  // namespace intra365::services::privacy
