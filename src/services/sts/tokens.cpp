// Access tokens: issued, checked, renewed, revoked.
#include "contract/errors.hpp"
#include "guard/epoch.hpp"
#include "replica/token_replica.hpp"
#include "services/sts/secrets.hpp"
#include "services/sts/sts.hpp"

namespace intra365::services::sts {
namespace {

/// A client whose answer got lost may ask again with the same refresh token for this long.
constexpr auto kRefreshGrace = std::chrono::seconds(30);
constexpr auto kGatewayToken = std::chrono::seconds(300);

std::string refresh_context(std::string_view family) {
  return "refresh_tokens/" + std::string(family);
}

}  // namespace

auth::TokenReply Sts::reply_for(const Principal& principal, const guard::AccessTokenClaims& claims) const {
  auth::TokenReply reply;
  reply.token = keyring_->active().sign(guard::access_token_type, json::encode(claims));
  reply.token_type = "Bearer";
  reply.expires_in = claims.exp - claims.iat;
  reply.tenant = principal.tenant;
  if (principal.kind == PrincipalKind::user)
    reply.user_id = UserId::trusted(principal.id);
  else
    reply.mate_id = MateId::trusted(principal.id);
  return reply;
}

Task<auth::TokenReply> Sts::token_request(const Caller& caller, const auth::TokenRequest& request) {
  if (request.provider != "api-key")
    co_return fail(errors::bad_provider, "'" + request.provider.substr(0, 64) + "' is not configured here");
  if (!request.credentials.api_key)
    co_return fail(intra365::errors::missing_field, "credentials.apiKey is needed for the provider api-key");
  if (request.audience && *request.audience != guard::access_token_audience)
    co_return fail(errors::bad_audience);
  CO_TRY(const auto key, ApiKeyText::parse(*request.credentials.api_key));
  CO_TRY(auto principal, co_await store_.find_by_key(key, environment_.clock.now(), caller.deadline));
  // A key bound to an nkey proves nothing without the signature, which only a NATS login carries.
  if (!principal.nkey.empty() && (caller.kind == PrincipalKind::guest || caller.id != principal.id))
    co_return fail(errors::nkey_required);
  CO_TRY(principal.scopes, narrow_scopes(principal.scopes, request.scopes));
  caller.note->resource = principal.subject();
  co_return co_await issue(std::move(principal), new_refresh_token(), caller.deadline);
}

Task<auth::TokenReply> Sts::issue(Principal principal, std::optional<std::string> refresh_token,
                                  SteadyTime deadline) {
  const auto now = environment_.clock.now();
  const auto claims = token_claims(principal, environment_.config.tokens.issuer, now,
                                   environment_.config.tokens.access_lifetime);
  auto reply = reply_for(principal, claims);
  if (refresh_token) {
    CO_CHECK(co_await store_.add_tokens(claims, refresh_token_hash(*refresh_token), new_uuid(),
                                        now + environment_.config.tokens.refresh_lifetime, deadline));
    reply.refresh_token = std::move(refresh_token);
  } else {
    CO_CHECK(co_await store_.add_token(claims, deadline));
  }
  co_return reply;
}

Task<auth::ValidateReply> Sts::token_validate(const Caller& caller, const auth::ValidateRequest& request) {
  auth::ValidateReply reply;
  const auto verified = environment_.tokens.verify(request.token);
  if (!verified && verified.error().is(intra365::errors::lease_expired)) co_return fail(verified.error());
  // Expired, revoked, foreign and made-up tokens look the same to whoever asks.
  if (!verified || ((*verified)->tenant != caller.tenant && !caller.is_service())) co_return reply;
  const auto& identity = **verified;
  reply.active = true;
  reply.sub = identity.subject();
  reply.tenant = identity.tenant;
  reply.roles = identity.roles;
  reply.scopes = identity.scopes;
  reply.iss = environment_.config.tokens.issuer;
  reply.aud = guard::access_token_audience;
  reply.jti = identity.token_id;
  reply.iat = unix_seconds(identity.issued_at);
  reply.exp = unix_seconds(identity.expires_at);
  if (identity.kind == PrincipalKind::user)
    reply.user_id = UserId::trusted(identity.id);
  else
    reply.mate_id = MateId::trusted(identity.id);
  co_return reply;
}

Task<auth::TokenReply> Sts::token_refresh(const Caller& caller, const auth::RefreshRequest& request) {
  if (request.refresh_token.size() > 128) co_return fail(errors::bad_credentials);
  const auto hash = refresh_token_hash(request.refresh_token);
  CO_TRY(auto row, co_await store_.find_refresh_token(hash, caller.deadline));
  if (!row || row->revoked_at || row->key_revoked_at || row->expires_at <= environment_.clock.now())
    co_return fail(errors::bad_credentials);
  caller.note->resource = row->principal.subject();
  if (row->used_at) co_return co_await reuse(*std::move(row), caller.deadline);

  const auto successor = new_refresh_token();
  const auto sealed = secrets_->envelope.seal(successor, refresh_context(row->family_id));
  CO_TRY(const auto rotated,
         co_await store_.rotate(row->principal, hash, refresh_token_hash(successor), sealed, row->family_id,
                                row->expires_at, caller.deadline));
  if (!rotated) {
    CO_TRY(auto again, co_await store_.find_refresh_token(hash, caller.deadline));
    if (!again || !again->used_at) co_return fail(errors::bad_credentials);
    co_return co_await reuse(*std::move(again), caller.deadline);
  }
  CO_TRY(auto reply, co_await issue(row->principal, std::nullopt, caller.deadline));
  reply.refresh_token = successor;
  co_return reply;
}

/// A refresh token that comes a second time: a lost answer when it is soon, a theft when it is late.
Task<auth::TokenReply> Sts::reuse(RefreshRow row, SteadyTime deadline) {
  if (environment_.clock.now() - *row.used_at > kRefreshGrace || !row.successor_sealed) {
    CO_CHECK(co_await store_.revoke_family(row.principal.tenant, row.family_id, deadline));
    co_return fail(errors::refresh_reused);
  }
  CO_TRY(const auto successor,
         secrets_->envelope.open(*row.successor_sealed, refresh_context(row.family_id)));
  CO_TRY(auto reply, co_await issue(row.principal, std::nullopt, deadline));
  reply.refresh_token = successor;
  co_return reply;
}

Task<auth::RevokeReply> Sts::token_revoke(const Caller& caller, const auth::RevokeRequest& request) {
  const int named = request.token.has_value() + request.mate_id.has_value() + request.user_id.has_value() +
                    request.session.has_value();
  if (named != 1)
    co_return fail(intra365::errors::bad_value, "name exactly one of token, mateId, userId and session");
  const auto actor = caller.subject();

  if (request.token) {
    const auto verified = environment_.tokens.verify(*request.token);
    if (!verified && verified.error().is(intra365::errors::lease_expired)) co_return fail(verified.error());
    // RFC 7009: a token that is dead already is no error.
    if (!verified || (*verified)->tenant != caller.tenant) co_return auth::RevokeReply{};
    const auto identity = **verified;
    if (identity.subject() != actor && !caller.is_operator()) co_return fail(intra365::errors::not_yours);
    caller.note->resource = "token:" + identity.token_id;
    co_return co_await revocations_->revoke_token(caller.tenant, identity.token_id, actor, caller.deadline);
  }
  if (request.session) co_return fail(errors::unknown_principal, "there is no such session");

  const auto kind = request.mate_id ? PrincipalKind::mate : PrincipalKind::user;
  const auto id = request.mate_id ? request.mate_id->str() : request.user_id->str();
  const auto subject = std::string(to_string(kind)) + ":" + id;
  if (subject != actor && !caller.is_operator()) co_return fail(intra365::errors::not_yours);
  CO_TRY(const auto known, co_await store_.has_principal(caller.tenant, id, kind, caller.deadline));
  if (!known) co_return fail(errors::unknown_principal);
  caller.note->resource = subject;
  CO_CHECK(co_await store_.revoke_refresh_tokens_of(caller.tenant, id, caller.deadline));
  co_return co_await revocations_->revoke_subject(caller.tenant, subject, subject, actor, caller.deadline);
}

Task<auth::RevokeReply> Sts::lock_out(const Caller& caller, const auth::LockOutRequest& request) {
  // First the keys, so that no new token comes while the old ones end.
  CO_TRY(const auto tokens,
         co_await store_.end_credentials(caller.tenant, request.user_id.str(), caller.deadline));
  auth::RevokeReply reply;
  for (const auto& id : tokens) {
    CO_TRY(const auto revoked,
           co_await revocations_->revoke_token(caller.tenant, id, caller.subject(), caller.deadline));
    reply.epoch = revoked.epoch;
  }
  CO_TRY(reply.connections_closed, co_await revocations_->close_connections(
                                       caller.tenant, "user:" + request.user_id.str(), caller.deadline));
  reply.revoked = true;
  co_return reply;
}

Task<auth::SyncReply> Sts::sync(const Caller& caller, const auth::SyncRequest& request) {
  auth::SyncReply reply;
  reply.keys = keyring_->jwks();
  reply.issuer = environment_.config.tokens.issuer;
  reply.server_time = environment_.clock.now();
  if (caller.kind == PrincipalKind::guest) co_return reply;  // keys are public, revocations are the tenant's
  const auto tenant = caller.is_service() ? std::nullopt : std::optional(caller.tenant);
  // The epoch first: what is revoked between the two questions is sent twice rather than never.
  CO_TRY(reply.epoch, co_await store_.revocation_epoch(tenant, caller.deadline));
  if (reply.epoch != request.epoch) {
    const auto since = guard::has_gone_back(request.epoch, reply.epoch) ? 0 : request.epoch;
    CO_TRY(reply.revocations, co_await store_.revocations_since(tenant, since, caller.deadline));
  }
  co_return reply;
}

Task<auth::TokenReply> Sts::delegate_token(const Caller& caller, const auth::DelegateTokenRequest& request) {
  if (!caller.is_service()) co_return fail(intra365::errors::role_required);
  CO_TRY(const auto account, co_await accounts_->find(request.tenant, caller.deadline));
  Principal principal;
  principal.tenant = request.tenant;
  principal.account = account.account;
  principal.kind = PrincipalKind::mate;
  principal.id = roles::gateway_id;
  principal.roles = {std::string(roles::gateway)};
  const auto claims =
      token_claims(principal, environment_.config.tokens.issuer, environment_.clock.now(), kGatewayToken);
  co_return reply_for(principal, claims);
}

}  // namespace intra365::services::sts
