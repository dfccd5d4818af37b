// Compact JWS, strictly: the algorithm is pinned by the key, never taken from the token. Ed25519 is ours to
// sign; RS256 and ES256 are verified too, for tokens of identity providers.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_signature{ErrorKind::unauthenticated, "token.bad_signature",
                                         "The token's signature does not hold."};
inline constexpr ErrorCode malformed_token{
    ErrorKind::unauthenticated, "token.malformed",
    "The token is not a well-formed compact JWS of the expected type."};
inline constexpr ErrorCode unknown_key{ErrorKind::unauthenticated, "token.unknown_key",
                                       "The token names a key that is not (or no longer) published."};
inline constexpr ErrorCode bad_algorithm{ErrorKind::unauthenticated, "token.bad_algorithm",
                                         "The token's algorithm is not the one its key is for."};
inline constexpr ErrorCode bad_key_set{ErrorKind::invalid, "jwks.malformed",
                                       "The document is not a JSON Web Key Set within our limits."};
}  // namespace intra365::errors

namespace intra365::crypto {

enum class Algorithm { eddsa, rs256, es256 };

class VerificationKey;

/// A private Ed25519 key for tokens. `kid` is the RFC 7638 thumbprint of its public half.
class SigningKey {
 public:
  static SigningKey generate();
  static Result<SigningKey> from_seed(std::string_view raw_32_bytes);
  const std::string& kid() const { return kid_; }
  std::string_view seed() const { return seed_; }
  std::string_view public_key() const { return public_; }  ///< 32 raw bytes
  /// {"kty":"OKP","crv":"Ed25519","x":...,"kid":...,"alg":"EdDSA","use":"sig"}
  boost::json::value public_jwk() const;
  /// Signs `payload` (JSON text) under header {"alg":"EdDSA","typ":typ,"kid":kid}.
  std::string sign(std::string_view typ, std::string_view payload) const;

  SigningKey(const SigningKey&) = default;
  SigningKey& operator=(const SigningKey&) = default;
  SigningKey(SigningKey&&) noexcept = default;
  SigningKey& operator=(SigningKey&&) noexcept = default;
  ~SigningKey();  ///< wipes the secret

 private:
  explicit SigningKey(std::string raw_seed);
  std::string seed_, secret_, public_, kid_;
};

/// An immutable set of public keys by `kid`.
class KeySet {
 public:
  /// From a JWKS document of at most 256 KiB and 100 keys; keys that are not for verifying signatures, of
  /// unknown kinds, too weak (RSA below 2048 bits) or private are left out, and so are two different keys
  /// that share a `kid`. A key without `kid` goes by its RFC 7638 thumbprint. Fails with `jwks.malformed`.
  static Result<KeySet> parse(std::string_view jwks);
  static Result<KeySet> parse(const boost::json::value& jwks);
  bool contains(std::string_view kid) const;
  std::size_t size() const;

  struct Verified {
    std::string typ;      ///< empty when the header has none
    std::string payload;  ///< one strict JSON object (no member twice), as text
    std::string kid;
    std::string
        key_issuer;  ///< the key's own `issuer` member (Entra ID), which `iss` must then match; or empty
  };
  /// Checks form (3 parts, at most 16 KiB, no `crit`, no `b64`, no embedded keys, no duplicate members),
  /// key, algorithm and signature. A token without `kid` is tried only where the set has exactly one key
  /// (OpenID Connect Core 10.1). Claims are the caller's business.
  Result<Verified> verify(std::string_view token) const;

 private:
  std::map<std::string, std::shared_ptr<const VerificationKey>, std::less<>> keys_;
};

}  // namespace intra365::crypto
