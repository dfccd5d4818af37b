// Which tenant is behind a NATS account key, and the other way round. Tenants are few and never change their
// key, so the directory is a map filled on demand from the database.
#pragma once
#include <optional>
#include <string>
#include <unordered_map>

#include "base/ids.hpp"
#include "postgres/pool.hpp"

namespace intra365::platform {

namespace errors {
inline constexpr ErrorCode unknown_tenant{ErrorKind::unauthenticated, "tenant.unknown",
                                          "The NATS account does not belong to a tenant of this platform."};
}

/// Owned by one shard; not thread-safe.
class TenantDirectory {
 public:
  explicit TenantDirectory(postgres::Pool& database) : database_(database) {}

  /// From memory, without waiting.
  const TenantId* find(std::string_view account) const;
  Task<TenantId> tenant_of(std::string account, SteadyTime deadline);
  Task<std::string> account_of(TenantId tenant, SteadyTime deadline);
  void add(const TenantId& tenant, const std::string& account);

 private:
  Task<> load(SteadyTime deadline);

  postgres::Pool& database_;
  std::unordered_map<std::string, TenantId> by_account_;
  std::unordered_map<TenantId, std::string> by_tenant_;
  SteadyTime next_load_{};  ///< an unknown key must not become a query per message
};

}  // namespace intra365::platform
