#include "guard/token.hpp"

#include "contract/errors.hpp"

namespace intra365::guard {
namespace {

/// Clocks of different machines may disagree by this much; applied to `iat` only, never to lengthen a life.
constexpr auto kClockSkew = std::chrono::seconds(60);
/// The two times of a revocation are of two machines' clocks.
constexpr auto kKeptLonger = std::chrono::hours(1);

Result<PrincipalKind> parse_kind(std::string_view text) {
  // Services have no tokens: they are known by being inside the platform's own account.
  for (const auto kind : {PrincipalKind::mate, PrincipalKind::user}) {
    if (text == to_string(kind)) return kind;
  }
  return fail(errors::malformed_token, "unknown kind of principal");
}

std::string subject_key(const TenantId& tenant, std::string_view subject) {
  return tenant.str() + "/" + std::string(subject);
}

}  // namespace

void RevocationList::add(const TenantId& tenant, const auth::Revocation& revocation, BootTime learned) {
  const auto lives = std::max(revocation.expires_at - revocation.revoked_at, Timestamp::duration::zero());
  const Entry entry{revocation.revoked_at, learned + lives + kKeptLonger};
  if (revocation.jti) tokens_[*revocation.jti] = entry;
  if (revocation.subject) {
    auto& known = subjects_[subject_key(tenant, *revocation.subject)];
    known.revoked_at = std::max(known.revoked_at, entry.revoked_at);
    known.kept_until = std::max(known.kept_until, entry.kept_until);
  }
}

bool RevocationList::covers(const Identity& identity) const {
  if (tokens_.empty() && subjects_.empty()) return false;
  if (tokens_.contains(identity.token_id)) return true;
  const auto dead_since = [&](std::string_view subject) {
    const auto found = subjects_.find(subject_key(identity.tenant, subject));
    // Tokens count whole seconds: one issued in the second of the revocation is dead too.
    return found != subjects_.end() && identity.issued_at <= found->second.revoked_at;
  };
  return dead_since(identity.subject()) || (!identity.key_id.empty() && dead_since("key:" + identity.key_id));
}

void RevocationList::prune(BootTime now) {
  std::erase_if(tokens_, [&](const auto& item) { return item.second.kept_until < now; });
  std::erase_if(subjects_, [&](const auto& item) { return item.second.kept_until < now; });
}

void TokenVerifier::set_keys(crypto::KeySet keys, std::string issuer) {
  keys_ = std::move(keys);
  issuer_ = std::move(issuer);
  verified_.clear();  // a key may have been withdrawn
}

Result<const Identity*> TokenVerifier::verify_header(std::string_view authorization) {
  constexpr std::string_view scheme = "Bearer ";
  if (authorization.empty()) return fail(errors::no_token);
  if (!authorization.starts_with(scheme))
    return fail(errors::malformed_token, "Authorization must be 'Bearer <token>'");
  return verify(authorization.substr(scheme.size()));
}

Result<const Identity*> TokenVerifier::verify(std::string_view token) {
  auto found = verified_.find(token);
  if (found == verified_.end()) {
    TRY(auto identity, read(token));
    if (identity.expires_at <= now()) return fail(errors::expired_token);
    if (verified_.size() >= kMaxCached)
      verified_.clear();  // simple, bounded, and rare: an hour's worth of tokens
    found = verified_.emplace(std::string(token), std::move(identity)).first;
  }
  const auto& identity = found->second;
  if (identity.expires_at <= now()) {
    verified_.erase(found);
    return fail(errors::expired_token);
  }
  if (revocations_.covers(identity)) return fail(errors::revoked_token);
  return &identity;
}

Result<Identity> TokenVerifier::read(std::string_view token) const {
  TRY(const auto verified, keys_.verify(token));
  if (verified.typ != access_token_type) return fail(errors::malformed_token, "not an access token");
  const auto claims = json::decode<AccessTokenClaims>(verified.payload, json::Unknown::ignore);
  if (!claims) return fail(errors::malformed_token, "the token's claims are not those of an access token");
  if (claims->iss != issuer_ || claims->aud != access_token_audience) return fail(errors::wrong_issuer);
  if (from_unix_seconds(claims->iat) > now() + kClockSkew)
    return fail(errors::malformed_token, "the token was issued in the future");
  const auto tenant = TenantId::parse(claims->tenant);
  const auto kind = parse_kind(claims->kind);
  if (!tenant || !kind || !is_token(claims->sub))
    return fail(errors::malformed_token, "the token's subject is not valid");
  return Identity{*kind,
                  claims->sub,
                  *tenant,
                  claims->roles,
                  claims->scopes,
                  claims->jti,
                  claims->key_id.value_or(""),
                  from_unix_seconds(claims->iat),
                  from_unix_seconds(claims->exp)};
}

}  // namespace intra365::guard
