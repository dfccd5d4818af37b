// The STS's tables: principals, keys, tokens, revocations.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "contract/operations/auth.hpp"
#include "platform/environment.hpp"
#include "services/sts/model.hpp"

namespace intra365::services::sts {

/// A refresh token's row with what it belongs to.
struct RefreshRow {
  Principal principal;
  std::string family_id;
  Timestamp expires_at;
  std::optional<Timestamp> used_at, revoked_at, key_revoked_at;
  std::optional<std::string> successor_sealed;
};

/// A revocation as it was written, with the epochs that its pushes carry.
struct WrittenRevocation {
  auth::Revocation revocation;
  std::uint64_t epoch = 0, previous_epoch = 0, previous_tenant_epoch = 0;
};

struct NewPrincipal {
  TenantId tenant;
  std::string id;
  PrincipalKind kind = PrincipalKind::mate;
  std::vector<std::string> roles;
  std::optional<std::string> display_name, country;  ///< of a user; the name sealed
  std::optional<postgres::Bytes> name_index;         ///< by which the sealed name is found
};

struct NewKey {
  std::optional<std::string> name, nkey;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
};

struct Page {
  int limit = 50;
  std::string after;  ///< last key of the page before
};
/// Checks a list request's limit; fails with `request.bad_value`.
Result<Page> read_page(const auth::ListRequest& request);

class Store {
 public:
  explicit Store(platform::Environment& environment) : database_(environment.database) {}

  /// Principal and first key in one transaction. Fails with `auth.name_taken`.
  Task<> create_principal(NewPrincipal principal, ApiKeyText key, NewKey details, SteadyTime deadline);
  Task<> create_key(TenantId tenant, std::string principal, ApiKeyText key, NewKey details,
                    SteadyTime deadline);
  Task<bool> has_principal(TenantId tenant, std::string id, PrincipalKind kind, SteadyTime deadline);
  /// The principal behind a key: `auth.bad_credentials` when unknown, wrong, expired or revoked, all alike.
  Task<Principal> find_by_key(ApiKeyText key, Timestamp now, SteadyTime deadline);
  Task<bool> revoke_key(TenantId tenant, ApiKeyId key, SteadyTime deadline);
  /// `name_index`: only those of that name.
  Task<std::vector<auth::User>> users(TenantId tenant, Page page, std::optional<postgres::Bytes> name_index,
                                      SteadyTime deadline);
  Task<std::vector<auth::ApiKey>> keys(TenantId tenant, Page page, SteadyTime deadline);

  /// Records an access token and, where given, the refresh token beside it.
  Task<> add_token(guard::AccessTokenClaims claims, SteadyTime deadline);
  Task<> add_tokens(guard::AccessTokenClaims claims, std::string refresh_hash, std::string family_id,
                    Timestamp refresh_expires_at, SteadyTime deadline);
  Task<std::optional<RefreshRow>> find_refresh_token(std::string hash, SteadyTime deadline);
  /// Marks a refresh token as used and stores its successor, if nobody did so before; false: somebody did.
  Task<bool> rotate(Principal principal, std::string hash, std::string successor_hash,
                    std::string successor_sealed, std::string family_id, Timestamp successor_expires_at,
                    SteadyTime deadline);
  Task<> revoke_family(TenantId tenant, std::string family_id, SteadyTime deadline);
  /// Ends a principal's keys and refresh tokens; returns the ids of their access tokens that still live.
  Task<std::vector<std::string>> end_credentials(TenantId tenant, std::string principal, SteadyTime deadline);
  Task<> revoke_refresh_tokens_of(TenantId tenant, std::string principal, SteadyTime deadline);

  Task<WrittenRevocation> add_revocation(auth::Revocation revocation, std::string actor, SteadyTime deadline);
  Task<std::vector<auth::Revocation>> revocations_since(std::optional<TenantId> tenant, std::uint64_t epoch,
                                                        SteadyTime deadline);
  Task<std::uint64_t> revocation_epoch(std::optional<TenantId> tenant, SteadyTime deadline);

 private:
  postgres::Pool& database_;
};

}  // namespace intra365::services::sts
