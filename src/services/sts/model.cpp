#include "services/sts/model.hpp"

#include <algorithm>

#include "crypto/encoding.hpp"

namespace intra365::services::sts {
namespace {

constexpr std::size_t kIdLength = 12, kSecretLength = 43, kChecksumLength = 8;
constexpr std::string_view kPrefix = "i365_live_";

std::string checksum(std::string_view text) {
  const auto crc = crypto::crc32(text);
  const char bytes[] = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16),
                        static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return crypto::hex(std::string_view(bytes, sizeof bytes));
}

}  // namespace

ApiKeyText ApiKeyText::create() {
  return {random_token(kIdLength), random_token(kSecretLength)};
}

std::string ApiKeyText::text() const {
  const auto body = std::string(kPrefix) + id + "_" + secret;
  return body + "_" + checksum(body);
}

std::string ApiKeyText::hash() const {
  return crypto::sha256(secret);
}

Result<ApiKeyText> ApiKeyText::parse(std::string_view text) {
  constexpr auto size = kPrefix.size() + kIdLength + 1 + kSecretLength + 1 + kChecksumLength;
  if (text.size() != size || !text.starts_with(kPrefix)) return fail(errors::bad_credentials);
  const auto body = text.substr(0, size - kChecksumLength - 1);
  if (checksum(body) != text.substr(size - kChecksumLength)) return fail(errors::bad_credentials);
  ApiKeyText key{std::string(body.substr(kPrefix.size(), kIdLength)),
                 std::string(body.substr(kPrefix.size() + kIdLength + 1))};
  if (!is_token(key.id) || !is_token(key.secret)) return fail(errors::bad_credentials);
  return key;
}

std::string new_refresh_token() {
  return "i365r_" + random_token(kSecretLength);
}
std::string refresh_token_hash(std::string_view token) {
  return crypto::sha256(token);
}

guard::AccessTokenClaims token_claims(const Principal& principal, std::string issuer, Timestamp now,
                                      std::chrono::seconds lifetime) {
  guard::AccessTokenClaims claims;
  claims.iss = std::move(issuer);
  claims.sub = principal.id;
  claims.aud = guard::access_token_audience;
  claims.jti = new_uuid();
  claims.client_id = principal.id;
  claims.tenant = principal.tenant.str();
  claims.kind = to_string(principal.kind);
  claims.iat = unix_seconds(now);
  claims.exp = claims.iat + lifetime.count();
  if (principal.expires_at) claims.exp = std::min(claims.exp, unix_seconds(*principal.expires_at));
  claims.roles = principal.roles;
  claims.scopes = principal.scopes;
  if (!principal.key_id.empty()) claims.key_id = principal.key_id;
  return claims;
}

Result<std::vector<Scope>> narrow_scopes(const std::vector<Scope>& held,
                                         const std::optional<std::vector<Scope>>& asked) {
  if (!asked) return held;
  // A key without scopes is not limited: the token takes on what is asked.
  if (!held.empty()) {
    for (const auto& scope : *asked) {
      if (std::ranges::find(held, scope) == held.end())
        return fail(errors::scope_not_granted, "'" + scope.str() + "' is not a scope of this key");
    }
  }
  return *asked;
}

}  // namespace intra365::services::sts
