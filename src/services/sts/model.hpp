// Pure parts of the STS: the text forms of its secrets, what a token says, and who a login is.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/roles.hpp"
#include "guard/token.hpp"

namespace intra365::services::sts {

namespace errors {
inline constexpr ErrorCode bad_credentials{ErrorKind::unauthenticated, "auth.bad_credentials",
                                           "The credentials are unknown, expired or revoked."};
inline constexpr ErrorCode bad_provider{ErrorKind::invalid, "auth.unknown_provider",
                                        "This provider is not configured; 'api-key' always is."};
inline constexpr ErrorCode refresh_reused{
    ErrorKind::unauthenticated, "auth.refresh_reused",
    "The refresh token was used before; its whole family is dead now. Log in again."};
inline constexpr ErrorCode bad_audience{ErrorKind::invalid, "auth.bad_audience",
                                        "Tokens are issued for the audience 'intra365' only."};
inline constexpr ErrorCode scope_not_granted{ErrorKind::denied, "auth.scope_not_granted",
                                             "The key does not have one of the scopes asked for."};
inline constexpr ErrorCode name_taken{ErrorKind::conflict, "auth.name_taken",
                                      "There is a Mate, person or tenant of this name already."};
inline constexpr ErrorCode bad_role{ErrorKind::invalid, "auth.bad_role",
                                    "The role must be one of mate, user, operator."};
inline constexpr ErrorCode unknown_principal{ErrorKind::not_found, "auth.unknown_principal",
                                             "There is no such Mate, person or key in this tenant."};
inline constexpr ErrorCode nkey_required{ErrorKind::unauthenticated, "auth.nkey_required",
                                         "The key is bound to an nkey: sign the server's nonce with it."};
inline constexpr ErrorCode bad_nonce{ErrorKind::unauthenticated, "auth.bad_nonce",
                                     "The signature is not one of this connection's nonce."};
inline constexpr ErrorCode guests_full{ErrorKind::exhausted, "auth.guests_full",
                                       "Too many log in at once; try again in a moment."};
}  // namespace errors

/// An API key: `i365_live_<id>_<secret>_<checksum>`. The id finds the row, 43 base-62 characters are 256
/// random bits, the checksum (CRC-32, hex) tells a typing error from a wrong key without a look into the
/// database.
struct ApiKeyText {
  std::string id, secret;
  static ApiKeyText create();
  static Result<ApiKeyText> parse(std::string_view text);
  std::string text() const;
  /// SHA-256 of the secret: what is stored. A random 256-bit secret needs no slow hash.
  std::string hash() const;
};

/// A refresh token `i365r_<43 characters>` and what is stored of it.
std::string new_refresh_token();
std::string refresh_token_hash(std::string_view token);

/// Who logs in: what a credential was found to stand for.
struct Principal {
  TenantId tenant;
  std::string account;  ///< NATS account of the tenant
  PrincipalKind kind = PrincipalKind::guest;
  std::string id;
  std::vector<std::string> roles;
  std::vector<Scope> scopes;
  std::string key_id;  ///< empty: not from an API key
  std::string nkey;    ///< must sign the server's nonce; empty: not bound
  std::optional<Timestamp> expires_at;

  std::string subject() const { return std::string(to_string(kind)) + ":" + id; }
};

/// The claims of a new access token. `lifetime` is cut to the credential's own end.
guard::AccessTokenClaims token_claims(const Principal& principal, std::string issuer, Timestamp now,
                                      std::chrono::seconds lifetime);

/// Scopes of a token: those asked for, when the credential has them; all it has when none were asked for.
Result<std::vector<Scope>> narrow_scopes(const std::vector<Scope>& held,
                                         const std::optional<std::vector<Scope>>& asked);

}  // namespace intra365::services::sts
