// Who sends this message? Verifies access tokens in-process: signature, issuer, time, tenant, revocation.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operations/auth.hpp"
#include "contract/roles.hpp"
#include "crypto/jws.hpp"
#include "guard/truth_clock.hpp"

namespace intra365::guard {

/// What a verified access token says.
struct Identity {
  PrincipalKind kind = PrincipalKind::guest;
  std::string id;  ///< Mate or user id
  TenantId tenant;
  std::vector<std::string> roles;
  std::vector<Scope> scopes;
  std::string token_id;  ///< jti
  std::string key_id;    ///< API key the token came from, may be empty
  Timestamp issued_at, expires_at;

  /// `mate:<id>` or `user:<id>`
  std::string subject() const { return std::string(to_string(kind)) + ":" + id; }
};

/// Claims of an access token (RFC 9068), as they stand in its payload.
struct AccessTokenClaims {
  std::string iss, sub, aud, jti, client_id, tenant, kind;
  std::int64_t iat = 0, exp = 0;
  std::vector<std::string> roles;
  std::vector<Scope> scopes;
  std::optional<std::string> key_id;
};
BOOST_DESCRIBE_STRUCT(AccessTokenClaims, (),
                      (iss, sub, aud, jti, client_id, tenant, kind, iat, exp, roles, scopes, key_id))

inline constexpr std::string_view access_token_type = "at+jwt";
inline constexpr std::string_view access_token_audience = "intra365";

/// Revoked tokens and subjects of one tenant, or of all (platform services).
class RevocationList {
 public:
  /// `learned` is when we heard of it: it is kept from then on for as long as a token could have lived on
  /// when it was made. Not by the wall clock, which may be set: what was forgotten by mistake would never be
  /// told again.
  void add(const TenantId& tenant, const auth::Revocation& revocation, BootTime learned);
  bool covers(const Identity& identity) const;
  /// Forgets what no living token can be concerned by.
  void prune(BootTime now);
  void clear() {
    tokens_.clear();
    subjects_.clear();
  }
  std::size_t size() const { return tokens_.size() + subjects_.size(); }

 private:
  struct Entry {
    Timestamp revoked_at;
    BootTime kept_until;
  };
  std::unordered_map<std::string, Entry> tokens_;    ///< by jti
  std::unordered_map<std::string, Entry> subjects_;  ///< by "<tenant>/<subject>"
};

/// Owned by one shard; not thread-safe. A token that was verified once is recognised by its bytes afterwards;
/// expiry and revocation are checked every time.
class TokenVerifier {
 public:
  explicit TokenVerifier(const Clock& clock) : clock_(clock) {}

  void set_keys(crypto::KeySet keys, std::string issuer);
  RevocationList& revocations() { return revocations_; }
  TruthClock& issuer_clock() { return issuer_clock_; }
  bool ready() const { return keys_.size() > 0; }

  /// Takes the value of an Authorization header (`Bearer …`). The pointer holds until the next call.
  Result<const Identity*> verify_header(std::string_view authorization);
  Result<const Identity*> verify(std::string_view token);

 private:
  Result<Identity> read(std::string_view token) const;
  Timestamp now() const { return issuer_clock_.latest(clock_.instant()); }

  static constexpr std::size_t kMaxCached = 65536;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  const Clock& clock_;
  crypto::KeySet keys_;
  std::string issuer_;
  RevocationList revocations_;
  TruthClock issuer_clock_;
  std::unordered_map<std::string, Identity, Hash, std::equal_to<>> verified_;
};

}  // namespace intra365::guard
