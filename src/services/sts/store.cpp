#include "services/sts/store.hpp"

#include "contract/errors.hpp"
#include "crypto/encoding.hpp"

namespace intra365::services::sts {
namespace {

using postgres::Query;
using postgres::Statement;

constexpr Query principal_insert{
    "auth_principal_insert",
    "insert into intra365.principals (tenant_id, principal_id, kind, roles) values ($1, $2, $3, $4::text[])"};
constexpr Query user_insert{
    "auth_user_insert",
    "insert into intra365.users (tenant_id, user_id, display_name, country, name_index) values ($1, $2, $3, "
    "$4, $5::bytea)"};
constexpr Query key_insert{"auth_key_insert",
                           "insert into intra365.api_keys (key_id, tenant_id, principal_id, name, "
                           "secret_hash, scopes, nkey, expires_at)"
                           " values ($1, $2, $3, $4, $5::bytea, $6::text[], $7, $8::timestamptz)"};
constexpr Query principal_exists{"auth_principal_exists",
                                 "select count(*) as count from intra365.principals where tenant_id = $1 and "
                                 "principal_id = $2 and kind = $3"};
constexpr Query key_find{"auth_key_find", "select * from intra365.find_api_key($1)"};
constexpr Query key_used{"auth_key_used",
                         "update intra365.api_keys set last_used_at = now() where key_id = $1 and "
                         "(last_used_at is null or last_used_at < now() - interval '1 minute')"};
constexpr Query key_revoke{"auth_key_revoke",
                           "update intra365.api_keys set revoked_at = now() where tenant_id = $1 and key_id "
                           "= $2 and revoked_at is null"};
constexpr Query user_list{"auth_user_list",
                          "select user_id, display_name, country, created_at from intra365.users where "
                          "tenant_id = $1 and user_id > $2 order by user_id limit $3"};
constexpr Query user_named{
    "auth_user_named",
    "select user_id, display_name, country, created_at from intra365.users where "
    "tenant_id = $1 and user_id > $2 and name_index = $4::bytea order by user_id limit $3"};
constexpr Query key_list{
    "auth_key_list",
    "select k.key_id, k.principal_id, p.kind, p.roles, k.name, k.scopes, k.created_at, k.expires_at, "
    "k.revoked_at, k.last_used_at"
    " from intra365.api_keys k join intra365.principals p using (tenant_id, principal_id)"
    " where k.tenant_id = $1 and k.key_id > $2 order by k.key_id limit $3"};
constexpr Query token_insert{"auth_token_insert",
                             "insert into intra365.tokens (jti, tenant_id, principal_id, key_id, issued_at, "
                             "expires_at) values ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz)"};
constexpr Query refresh_insert{"auth_refresh_insert",
                               "insert into intra365.refresh_tokens (token_hash, tenant_id, family_id, "
                               "principal_id, key_id, scopes, expires_at)"
                               " values ($1::bytea, $2, $3, $4, $5, $6::text[], $7::timestamptz)"};
constexpr Query refresh_find{"auth_refresh_find", "select * from intra365.find_refresh_token($1::bytea)"};
constexpr Query refresh_use{
    "auth_refresh_use",
    "update intra365.refresh_tokens set used_at = now(), successor_sealed = $3::bytea"
    " where tenant_id = $1 and token_hash = $2::bytea and used_at is null and revoked_at is null"};
constexpr Query family_revoke{"auth_family_revoke",
                              "update intra365.refresh_tokens set revoked_at = now() where tenant_id = $1 "
                              "and family_id = $2 and revoked_at is null"};
constexpr Query principal_refresh_revoke{"auth_principal_refresh_revoke",
                                         "update intra365.refresh_tokens set revoked_at = now() where "
                                         "tenant_id = $1 and principal_id = $2 and revoked_at is null"};
constexpr Query principal_keys_revoke{"auth_principal_keys_revoke",
                                      "update intra365.api_keys set revoked_at = now() where tenant_id = $1 "
                                      "and principal_id = $2 and revoked_at is null"};
constexpr Query principal_tokens{"auth_principal_tokens",
                                 "select jti from intra365.tokens where tenant_id = $1 and principal_id = $2 "
                                 "and expires_at > now() limit 10000"};
constexpr Query revocation_add{"auth_revocation_add",
                               "select * from intra365.add_revocation($1, $2, $3, $4::timestamptz, $5)"};
constexpr Query revocations_of_tenant{
    "auth_revocations_of_tenant",
    "select tenant_id, jti, subject, revoked_at, expires_at from intra365.token_revocations"
    " where tenant_id = $1 and epoch > $2 and expires_at > now() order by epoch"};
constexpr Query revocations_of_all{
    "auth_revocations_of_all",
    "select tenant_id, jti, subject, revoked_at, expires_at from intra365.revocations_since($1)"};
constexpr Query epoch_of_tenant{"auth_epoch_of_tenant",
                                "select greatest(max(epoch), intra365.epoch_base()) as count from "
                                "intra365.token_revocations where tenant_id = $1"};
constexpr Query epoch_of_all{"auth_epoch_of_all", "select intra365.revocation_epoch() as count"};

struct TokenIdRow {
  std::string jti;
};
BOOST_DESCRIBE_STRUCT(TokenIdRow, (), (jti))

struct CountRow {
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(CountRow, (), (count))

struct KeyRow {
  std::string key_id, tenant_id, account, principal_id, kind;
  std::vector<std::string> roles;
  postgres::Bytes secret_hash;
  std::vector<Scope> scopes;
  std::optional<std::string> nkey;
  std::optional<Timestamp> expires_at, revoked_at;
};
BOOST_DESCRIBE_STRUCT(KeyRow, (),
                      (key_id, tenant_id, account, principal_id, kind, roles, secret_hash, scopes, nkey,
                       expires_at, revoked_at))

struct KeyListRow {
  std::string key_id, principal_id, kind;
  std::vector<std::string> roles;
  std::optional<std::string> name;
  std::vector<Scope> scopes;
  Timestamp created_at;
  std::optional<Timestamp> expires_at, revoked_at, last_used_at;
};
BOOST_DESCRIBE_STRUCT(KeyListRow, (),
                      (key_id, principal_id, kind, roles, name, scopes, created_at, expires_at, revoked_at,
                       last_used_at))

struct RefreshTokenRow {
  std::string tenant_id, account, family_id, principal_id, kind;
  std::vector<std::string> roles;
  std::optional<std::string> key_id;
  std::vector<Scope> scopes;
  Timestamp expires_at;
  std::optional<Timestamp> used_at;
  std::optional<postgres::Bytes> successor_sealed;
  std::optional<Timestamp> revoked_at, key_revoked_at;
};
BOOST_DESCRIBE_STRUCT(RefreshTokenRow, (),
                      (tenant_id, account, family_id, principal_id, kind, roles, key_id, scopes, expires_at,
                       used_at, successor_sealed, revoked_at, key_revoked_at))

struct RevocationRow {
  std::uint64_t epoch = 0, previous_epoch = 0, previous_tenant_epoch = 0;
  Timestamp revoked_at;
};
BOOST_DESCRIBE_STRUCT(RevocationRow, (), (epoch, previous_epoch, previous_tenant_epoch, revoked_at))

struct RevokedRow {
  std::string tenant_id;
  std::optional<std::string> jti, subject;
  Timestamp revoked_at, expires_at;
};
BOOST_DESCRIBE_STRUCT(RevokedRow, (), (tenant_id, jti, subject, revoked_at, expires_at))

PrincipalKind kind_of(std::string_view text) {
  return text == "user" ? PrincipalKind::user : PrincipalKind::mate;
}

Statement insert_key(const TenantId& tenant, const std::string& principal, const ApiKeyText& key,
                     const NewKey& details) {
  return {key_insert, postgres::bind(key.id, tenant, principal, details.name, postgres::Bytes{key.hash()},
                                     details.scopes, details.nkey, details.expires_at)};
}

Statement insert_token(const guard::AccessTokenClaims& claims) {
  return {token_insert, postgres::bind(claims.jti, claims.tenant, claims.sub, claims.key_id,
                                       from_unix_seconds(claims.iat), from_unix_seconds(claims.exp))};
}

Statement insert_refresh(const std::string& hash, const std::string& tenant, const std::string& family,
                         const std::string& principal, const std::optional<std::string>& key_id,
                         const std::vector<Scope>& scopes, Timestamp expires_at) {
  return {refresh_insert,
          postgres::bind(postgres::Bytes{hash}, tenant, family, principal, key_id, scopes, expires_at)};
}

std::optional<std::string> not_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

Result<Page> read_page(const auth::ListRequest& request) {
  const int limit = request.limit.value_or(50);
  if (limit < 1 || limit > 200) return fail(intra365::errors::bad_value, "limit: 1 to 200");
  const auto after = request.cursor.value_or("");
  if (!after.empty() && !is_token(after))
    return fail(intra365::errors::bad_value, "cursor: not one that was given out");
  return Page{limit, after};
}

Task<> Store::create_principal(NewPrincipal principal, ApiKeyText key, NewKey details, SteadyTime deadline) {
  std::vector<Statement> statements;
  statements.push_back(
      {principal_insert, postgres::bind(principal.tenant, principal.id,
                                        std::string(to_string(principal.kind)), principal.roles)});
  if (principal.kind == PrincipalKind::user) {
    statements.push_back({user_insert, postgres::bind(principal.tenant, principal.id, principal.display_name,
                                                      principal.country, principal.name_index)});
  }
  statements.push_back(insert_key(principal.tenant, principal.id, key, details));
  postgres::Scope scope{principal.tenant.str()};
  const auto done = co_await database_.atomically(scope, std::move(statements), deadline);
  if (!done && done.error().is(postgres::errors::unique_violation))
    co_return fail(errors::name_taken, "'" + principal.id + "' is taken");
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

Task<> Store::create_key(TenantId tenant, std::string principal, ApiKeyText key, NewKey details,
                         SteadyTime deadline) {
  auto statement = insert_key(tenant, principal, key, details);
  postgres::Scope scope{tenant.str()};
  const auto done =
      co_await database_.query(scope, statement.query, std::move(statement.parameters), deadline);
  if (!done && done.error().is(postgres::errors::foreign_key_violation))
    co_return fail(errors::unknown_principal);
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

Task<bool> Store::has_principal(TenantId tenant, std::string id, PrincipalKind kind, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, principal_exists,
                                  postgres::bind(tenant, id, std::string(to_string(kind))), deadline));
  CO_TRY(const auto counted, rows.as<CountRow>());
  co_return !counted.empty() && counted.front().count > 0;
}

Task<Principal> Store::find_by_key(ApiKeyText key, Timestamp now, SteadyTime deadline) {
  postgres::Scope anywhere;
  CO_TRY(const auto rows, co_await database_.query(anywhere, key_find, postgres::bind(key.id), deadline));
  CO_TRY(const auto found, rows.as_optional<KeyRow>());
  const bool good = found && crypto::equal_constant_time(found->secret_hash.value, key.hash()) &&
                    !found->revoked_at && (!found->expires_at || *found->expires_at > now);
  if (!good) co_return fail(errors::bad_credentials);
  Principal principal{TenantId::trusted(found->tenant_id),
                      found->account,
                      kind_of(found->kind),
                      found->principal_id,
                      found->roles,
                      found->scopes,
                      found->key_id,
                      found->nkey.value_or(""),
                      found->expires_at};
  postgres::Scope scope{found->tenant_id};
  co_await database_.query(scope, key_used, postgres::bind(key.id),
                           deadline);  // a statistic: not worth refusing a login for
  co_return principal;
}

Task<bool> Store::revoke_key(TenantId tenant, ApiKeyId key, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, key_revoke, postgres::bind(tenant, key), deadline));
  co_return rows.affected() > 0;
}

Task<std::vector<auth::User>> Store::users(TenantId tenant, Page page,
                                           std::optional<postgres::Bytes> name_index, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = name_index ? postgres::bind(tenant, page.after, page.limit, *name_index)
                               : postgres::bind(tenant, page.after, page.limit);
  CO_TRY(const auto rows, co_await database_.query(scope, name_index ? user_named : user_list,
                                                   std::move(parameters), deadline));
  co_return rows.as<auth::User>();
}

Task<std::vector<auth::ApiKey>> Store::keys(TenantId tenant, Page page, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, key_list, postgres::bind(tenant, page.after, page.limit), deadline));
  CO_TRY(const auto listed, rows.as<KeyListRow>());
  std::vector<auth::ApiKey> keys;
  for (const auto& row : listed) {
    auth::ApiKey key{ApiKeyId::trusted(row.key_id),
                     {},
                     {},
                     row.name,
                     row.roles,
                     row.scopes,
                     row.created_at,
                     row.expires_at,
                     row.revoked_at,
                     row.last_used_at};
    if (row.kind == "user")
      key.user_id = UserId::trusted(row.principal_id);
    else
      key.mate_id = MateId::trusted(row.principal_id);
    keys.push_back(std::move(key));
  }
  co_return keys;
}

Task<> Store::add_token(guard::AccessTokenClaims claims, SteadyTime deadline) {
  auto statement = insert_token(claims);
  postgres::Scope scope{claims.tenant};
  CO_CHECK(co_await database_.query(scope, statement.query, std::move(statement.parameters), deadline));
  co_return Result<void>{};
}

Task<> Store::add_tokens(guard::AccessTokenClaims claims, std::string refresh_hash, std::string family_id,
                         Timestamp refresh_expires_at, SteadyTime deadline) {
  std::vector<Statement> statements;
  statements.push_back(insert_token(claims));
  statements.push_back(insert_refresh(refresh_hash, claims.tenant, family_id, claims.sub, claims.key_id,
                                      claims.scopes, refresh_expires_at));
  postgres::Scope scope{claims.tenant};
  CO_CHECK(co_await database_.atomically(scope, std::move(statements), deadline));
  co_return Result<void>{};
}

Task<std::optional<RefreshRow>> Store::find_refresh_token(std::string hash, SteadyTime deadline) {
  postgres::Scope anywhere;
  auto parameters = postgres::bind(postgres::Bytes{hash});
  CO_TRY(const auto rows, co_await database_.query(anywhere, refresh_find, std::move(parameters), deadline));
  CO_TRY(auto found, rows.as_optional<RefreshTokenRow>());
  if (!found) co_return std::optional<RefreshRow>{};
  RefreshRow row;
  row.principal = {TenantId::trusted(found->tenant_id),
                   found->account,
                   kind_of(found->kind),
                   found->principal_id,
                   found->roles,
                   found->scopes,
                   found->key_id.value_or(""),
                   {},
                   std::nullopt};
  row.family_id = found->family_id;
  row.expires_at = found->expires_at;
  row.used_at = found->used_at;
  row.revoked_at = found->revoked_at;
  row.key_revoked_at = found->key_revoked_at;
  if (found->successor_sealed) row.successor_sealed = found->successor_sealed->value;
  co_return std::optional(std::move(row));
}

Task<bool> Store::rotate(Principal principal, std::string hash, std::string successor_hash,
                         std::string successor_sealed, std::string family_id, Timestamp successor_expires_at,
                         SteadyTime deadline) {
  postgres::Scope scope{principal.tenant.str()};
  CO_TRY(auto transaction, co_await database_.begin(scope, deadline));
  auto parameters =
      postgres::bind(principal.tenant, postgres::Bytes{hash}, postgres::Bytes{successor_sealed});
  CO_TRY(const auto used, co_await transaction.query(refresh_use, std::move(parameters)));
  if (used.affected() == 0) co_return false;
  auto successor = insert_refresh(successor_hash, principal.tenant.str(), family_id, principal.id,
                                  not_empty(principal.key_id), principal.scopes, successor_expires_at);
  CO_CHECK(co_await transaction.query(successor.query, std::move(successor.parameters)));
  CO_CHECK(co_await transaction.commit());
  co_return true;
}

Task<> Store::revoke_family(TenantId tenant, std::string family_id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_CHECK(co_await database_.query(scope, family_revoke, postgres::bind(tenant, family_id), deadline));
  co_return Result<void>{};
}

Task<std::vector<std::string>> Store::end_credentials(TenantId tenant, std::string principal,
                                                      SteadyTime deadline) {
  std::vector<postgres::Statement> statements;
  statements.push_back({principal_keys_revoke, postgres::bind(tenant, principal)});
  statements.push_back({principal_refresh_revoke, postgres::bind(tenant, principal)});
  statements.push_back({principal_tokens, postgres::bind(tenant, principal)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  CO_TRY(auto rows, results.at(2).as<TokenIdRow>());
  std::vector<std::string> ids;
  for (auto& row : rows) ids.push_back(std::move(row.jti));
  co_return ids;
}

Task<> Store::revoke_refresh_tokens_of(TenantId tenant, std::string principal, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_CHECK(
      co_await database_.query(scope, principal_refresh_revoke, postgres::bind(tenant, principal), deadline));
  co_return Result<void>{};
}

Task<WrittenRevocation> Store::add_revocation(auth::Revocation revocation, std::string actor,
                                              SteadyTime deadline) {
  const auto tenant = revocation.tenant.value_or(TenantId());
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, revocation_add,
                                                   postgres::bind(tenant, revocation.jti, revocation.subject,
                                                                  revocation.expires_at, actor),
                                                   deadline));
  CO_TRY(const auto written, rows.as<RevocationRow>());
  if (written.size() != 1) co_return fail(postgres::errors::bad_row);
  revocation.revoked_at = written.front().revoked_at;
  WrittenRevocation result{std::move(revocation), written.front().epoch, written.front().previous_epoch,
                           written.front().previous_tenant_epoch};
  co_return result;
}

Task<std::vector<auth::Revocation>> Store::revocations_since(std::optional<TenantId> tenant,
                                                             std::uint64_t epoch, SteadyTime deadline) {
  postgres::Scope scope{tenant ? tenant->str() : std::string()};
  const auto& query = tenant ? revocations_of_tenant : revocations_of_all;
  auto parameters = tenant ? postgres::bind(*tenant, epoch) : postgres::bind(epoch);
  CO_TRY(const auto rows, co_await database_.query(scope, query, std::move(parameters), deadline));
  CO_TRY(const auto listed, rows.as<RevokedRow>());
  std::vector<auth::Revocation> revocations;
  for (const auto& row : listed)
    revocations.push_back(
        {TenantId::trusted(row.tenant_id), row.jti, row.subject, row.revoked_at, row.expires_at});
  co_return revocations;
}

Task<std::uint64_t> Store::revocation_epoch(std::optional<TenantId> tenant, SteadyTime deadline) {
  postgres::Scope scope{tenant ? tenant->str() : std::string()};
  const auto& query = tenant ? epoch_of_tenant : epoch_of_all;
  auto parameters = tenant ? postgres::bind(*tenant) : postgres::bind();
  CO_TRY(const auto rows, co_await database_.query(scope, query, std::move(parameters), deadline));
  CO_TRY(const auto counted, rows.as<CountRow>());
  co_return counted.empty() ? 0 : static_cast<std::uint64_t>(counted.front().count);
}

}  // namespace intra365::services::sts
