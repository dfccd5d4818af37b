// Operations of the Security & Token Service: tokens, keys, principals, tenants.
#pragma once
#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::auth {

using namespace std::chrono_literals;

/// Credentials of a token request; which field counts depends on the provider.
struct TokenCredentials {
  std::optional<std::string> api_key;
};
BOOST_DESCRIBE_STRUCT(TokenCredentials, (), (api_key))

struct TokenRequest {
  std::string provider;  ///< `api-key`; identity providers follow
  TokenCredentials credentials;
  std::optional<std::string> audience;
  std::optional<std::vector<Scope>> scopes;  ///< narrows what the key allows, never widens it
};
BOOST_DESCRIBE_STRUCT(TokenRequest, (), (provider, credentials, audience, scopes))

struct TokenReply {
  std::string token;
  std::string token_type;       ///< `Bearer`
  std::int64_t expires_in = 0;  ///< seconds
  std::optional<std::string> refresh_token;
  std::optional<MateId> mate_id;
  std::optional<UserId> user_id;
  TenantId tenant;
};
BOOST_DESCRIBE_STRUCT(TokenReply, (),
                      (token, token_type, expires_in, refresh_token, mate_id, user_id, tenant))

struct ValidateRequest {
  std::string token;
};
BOOST_DESCRIBE_STRUCT(ValidateRequest, (), (token))

/// RFC 7662: an inactive token answers `{active:false}` and nothing else.
struct ValidateReply {
  bool active = false;
  std::optional<std::string> sub;
  std::optional<MateId> mate_id;
  std::optional<UserId> user_id;
  std::optional<TenantId> tenant;
  std::optional<std::vector<std::string>> roles;
  std::optional<std::vector<Scope>> scopes;
  std::optional<std::string> iss;
  std::optional<std::string> aud;
  std::optional<std::string> jti;
  std::optional<std::int64_t> iat;
  std::optional<std::int64_t> exp;
};
BOOST_DESCRIBE_STRUCT(ValidateReply, (),
                      (active, sub, mate_id, user_id, tenant, roles, scopes, iss, aud, jti, iat, exp))

struct RefreshRequest {
  std::string refresh_token;
};
BOOST_DESCRIBE_STRUCT(RefreshRequest, (), (refresh_token))

/// Exactly one of the fields. A token or a refresh token may be revoked by whoever holds it; a Mate or user
/// by itself or by the tenant's operator.
struct RevokeRequest {
  std::optional<std::string> token;
  std::optional<MateId> mate_id;
  std::optional<UserId> user_id;
  std::optional<std::string> session;
};
BOOST_DESCRIBE_STRUCT(RevokeRequest, (), (token, mate_id, user_id, session))

struct RevokeReply {
  bool revoked = false;
  std::uint64_t connections_closed = 0;
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(RevokeReply, (), (revoked, connections_closed, epoch))

/// A token, a subject or a whole tenant whose tokens issued up to a time are dead.
struct Revocation {
  std::optional<TenantId> tenant;  ///< named to platform services, who hear of all tenants
  std::optional<std::string> jti;
  std::optional<std::string> subject;  ///< `mate:<id>`, `user:<id>` or `key:<id>`
  Timestamp revoked_at;                ///< for a subject: tokens issued at or before this are dead
  Timestamp expires_at;                ///< after this every token it could concern has expired
};
BOOST_DESCRIBE_STRUCT(Revocation, (), (tenant, jti, subject, revoked_at, expires_at))

/// Pushed on `intra365.guard.token` when something was revoked. Who has `previousEpoch` is current after it.
struct RevocationPush {
  std::uint64_t previous_epoch = 0;
  std::uint64_t epoch = 0;
  Revocation revocation;
};
BOOST_DESCRIBE_STRUCT(RevocationPush, (), (previous_epoch, epoch, revocation))

struct SyncRequest {
  std::uint64_t epoch = 0;  ///< what the caller has; 0: everything
};
BOOST_DESCRIBE_STRUCT(SyncRequest, (), (epoch))

/// What an enforcement point needs to check tokens by itself.
struct SyncReply {
  std::uint64_t epoch = 0;  ///< the tenant's revocation epoch at the time of the answer
  boost::json::value keys;  ///< JWKS
  std::string issuer;
  std::vector<Revocation> revocations;   ///< those after the epoch asked with
  std::optional<Timestamp> server_time;  ///< an expiry is decided by the later of this clock and one's own
};
BOOST_DESCRIBE_STRUCT(SyncReply, (), (epoch, keys, issuer, revocations, server_time))

struct UserCreateRequest {
  UserId name;  ///< becomes the user's id
  std::optional<std::string> display_name;
  std::optional<std::string> country;  ///< ISO 3166-1 alpha-2; the policy attribute `user.country`
  std::optional<std::string> role;     ///< `user` when absent
};
BOOST_DESCRIBE_STRUCT(UserCreateRequest, (), (name, display_name, country, role))

struct UserCreateReply {
  UserId user_id;
  std::string api_key;  ///< shown this once
};
BOOST_DESCRIBE_STRUCT(UserCreateReply, (), (user_id, api_key))

struct MateCreateRequest {
  MateId name;                      ///< becomes the Mate's id
  std::optional<std::string> role;  ///< `mate` when absent
};
BOOST_DESCRIBE_STRUCT(MateCreateRequest, (), (name, role))

struct MateCreateReply {
  MateId mate_id;
  std::string api_key;  ///< shown this once
};
BOOST_DESCRIBE_STRUCT(MateCreateReply, (), (mate_id, api_key))

struct User {
  UserId user_id;
  std::optional<std::string> display_name;
  std::optional<std::string> country;
  Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(User, (), (user_id, display_name, country, created_at))

struct ListRequest {
  std::optional<int> limit;           ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;  ///< `nextCursor` of the page before
};
BOOST_DESCRIBE_STRUCT(ListRequest, (), (limit, cursor))

struct UserListRequest {
  std::optional<int> limit;                 ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;        ///< `nextCursor` of the page before
  std::optional<std::string> display_name;  ///< only people of exactly this name; small and capital alike
};
BOOST_DESCRIBE_STRUCT(UserListRequest, (), (limit, cursor, display_name))

struct UserListReply {
  std::vector<User> users;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(UserListReply, (), (users, next_cursor))

struct KeyCreateRequest {
  std::optional<MateId> mate_id;  ///< exactly one of mate and user: whose key it is
  std::optional<UserId> user_id;
  std::optional<std::string> name;
  std::optional<std::vector<Scope>> scopes;
  std::optional<Timestamp> expires_at;
  std::optional<std::string> nkey;  ///< public user nkey that must sign the server's nonce at login
};
BOOST_DESCRIBE_STRUCT(KeyCreateRequest, (), (mate_id, user_id, name, scopes, expires_at, nkey))

struct KeyCreateReply {
  ApiKeyId key_id;
  std::string api_key;  ///< shown this once
};
BOOST_DESCRIBE_STRUCT(KeyCreateReply, (), (key_id, api_key))

struct ApiKey {
  ApiKeyId key_id;
  std::optional<MateId> mate_id;
  std::optional<UserId> user_id;
  std::optional<std::string> name;
  std::vector<std::string> roles;
  std::vector<Scope> scopes;
  Timestamp created_at;
  std::optional<Timestamp> expires_at;
  std::optional<Timestamp> revoked_at;
  std::optional<Timestamp> last_used_at;
};
BOOST_DESCRIBE_STRUCT(ApiKey, (),
                      (key_id, mate_id, user_id, name, roles, scopes, created_at, expires_at, revoked_at,
                       last_used_at))

struct KeyListReply {
  std::vector<ApiKey> api_keys;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(KeyListReply, (), (api_keys, next_cursor))

struct KeyRevokeRequest {
  ApiKeyId key_id;
};
BOOST_DESCRIBE_STRUCT(KeyRevokeRequest, (), (key_id))

struct LockOutRequest {
  UserId user_id;
};
BOOST_DESCRIBE_STRUCT(LockOutRequest, (), (user_id))

struct TenantCreateRequest {
  TenantId name;  ///< becomes the tenant's id
};
BOOST_DESCRIBE_STRUCT(TenantCreateRequest, (), (name))

struct TenantCreateReply {
  TenantId tenant_id;
  std::string account;  ///< public key of its NATS account
  std::string api_key;  ///< key of its operator, shown this once
};
BOOST_DESCRIBE_STRUCT(TenantCreateReply, (), (tenant_id, account, api_key))

struct Tenant {
  TenantId tenant_id;
  std::string account;
  Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(Tenant, (), (tenant_id, account, created_at))

struct TenantListReply {
  std::vector<Tenant> tenants;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(TenantListReply, (), (tenants, next_cursor))

struct DelegateTokenRequest {
  TenantId tenant;
};
BOOST_DESCRIBE_STRUCT(DelegateTokenRequest, (), (tenant))

inline constexpr auto token_request = operation<TokenRequest, TokenReply>({
    .subject = "intra365.auth.token.request",
    .http = {Method::post, "/v1/auth/token"},
    .access = Access::guest,
    .effect = Effect::changes,
    .deadline = 2000ms,
    .summary = "Exchanges credentials for a short-lived access token.",
    .example = R"({"provider":"api-key","credentials":{"apiKey":"i365_…"}})",
});
inline constexpr auto token_validate = operation<ValidateRequest, ValidateReply>({
    .subject = "intra365.auth.token.validate",
    .http = {Method::post, "/v1/auth/token/validate"},
    .access = Access::anyone,
    .summary = "Is this token active, whose is it, and what may it do? (RFC 7662)",
    .example = R"({"token":"eyJ…"})",
});
inline constexpr auto token_refresh = operation<RefreshRequest, TokenReply>({
    .subject = "intra365.auth.token.refresh",
    .http = {Method::post, "/v1/auth/token/refresh"},
    .access = Access::guest,
    .effect = Effect::changes,
    .deadline = 2000ms,
    .summary = "Exchanges a refresh token, once, for a new access token and a new refresh token.",
    .example = R"({"refreshToken":"i365r_…"})",
});
inline constexpr auto token_revoke = operation<RevokeRequest, RevokeReply>({
    .subject = "intra365.auth.token.revoke",
    .http = {Method::post, "/v1/auth/token/revoke"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "Makes a token, or every token of a Mate or user, dead everywhere and closes its connections.",
    .example = R"({"mateId":"assistant"})",
});
inline constexpr auto sync = operation<SyncRequest, SyncReply>({
    .subject = "intra365.auth.sync",
    .access = Access::guest,
    .audited = false,
    .summary = "Signing keys and revocations since an epoch, for those who check tokens themselves.",
    .example = R"({"epoch":0})",
});
inline constexpr auto user_create = operation<UserCreateRequest, UserCreateReply>({
    .subject = "intra365.auth.user.create",
    .http = {Method::post, "/v1/users"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Creates a person who can log in with the API key that is returned once.",
    .example = R"({"name":"alice","country":"US"})",
});
inline constexpr auto user_list = operation<UserListRequest, UserListReply>({
    .subject = "intra365.auth.user.list",
    .http = {Method::get, "/v1/users"},
    .access = Access::operator_,
    .summary = "The tenant's people, page by page.",
    .example = R"({"limit":50})",
});
inline constexpr auto mate_create = operation<MateCreateRequest, MateCreateReply>({
    .subject = "intra365.auth.mate.create",
    .http = {Method::post, "/v1/mates/identities"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Creates the identity of a Mate, with the API key that it logs in with.",
    .example = R"({"name":"image-analyzer"})",
});
inline constexpr auto key_create = operation<KeyCreateRequest, KeyCreateReply>({
    .subject = "intra365.auth.key.create",
    .http = {Method::post, "/v1/api-keys"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Creates a further API key for a Mate or person.",
    .example = R"({"mateId":"image-analyzer","name":"blue"})",
});
inline constexpr auto key_list = operation<ListRequest, KeyListReply>({
    .subject = "intra365.auth.key.list",
    .http = {Method::get, "/v1/api-keys"},
    .access = Access::operator_,
    .summary = "The tenant's API keys, without their secrets.",
    .example = R"({"limit":50})",
});
inline constexpr auto key_revoke = operation<KeyRevokeRequest, RevokeReply>({
    .subject = "intra365.auth.key.revoke",
    .http = {Method::delete_, "/v1/api-keys/{keyId}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "Ends an API key and every token that came from it.",
    .example = R"({"keyId":"k1"})",
});
inline constexpr auto tenant_create = operation<TenantCreateRequest, TenantCreateReply>({
    .subject = "intra365.auth.tenant.create",
    .http = {Method::post, "/v1/tenants"},
    .access = Access::platform_operator,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "Creates a tenant with a NATS account of its own and the key of its operator.",
    .example = R"({"name":"acme"})",
});
inline constexpr auto tenant_list = operation<ListRequest, TenantListReply>({
    .subject = "intra365.auth.tenant.list",
    .http = {Method::get, "/v1/tenants"},
    .access = Access::platform_operator,
    .summary = "All tenants, page by page.",
    .example = R"({"limit":50})",
});
/// The gateway acts inside a tenant's account with a token of its own, never with somebody else's.
inline constexpr auto delegate_token = operation<DelegateTokenRequest, TokenReply>({
    .subject = "intra365.auth.delegate",
    .access = Access::service,
    .deadline = 2000ms,
    .summary = "A short-lived token with which a platform service enters a tenant's account.",
    .example = R"({"tenant":"default"})",
});

/// A person is erased: their keys and tokens end by their own ids, so that no list of revocations names them.
inline constexpr auto lock_out = operation<LockOutRequest, RevokeReply>({
    .subject = "intra365.auth.lock_out",
    .access = Access::service,
    .effect = Effect::changes,
    .deadline = 10'000ms,
    .summary = "Ends every key and token of a person and closes their connections.",
    .example = R"({"userId":"alice"})",
});

}  // namespace intra365::auth
