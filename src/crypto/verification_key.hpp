// One public key of a JWKS, ready to verify. The key decides the algorithm. Internal to this folder.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <boost/json/object.hpp>

#include "crypto/jws.hpp"

namespace intra365::crypto {

/// Immutable, so any number of threads may verify with it.
class VerificationKey {
 public:
  /// Nullptr for keys that must not verify our tokens: other uses, kinds or algorithms, weak, malformed or
  /// private ones.
  static std::shared_ptr<const VerificationKey> from_jwk(const boost::json::object& jwk);

  const std::string& kid() const { return kid_; }
  const std::string& thumbprint() const { return thumbprint_; }  ///< RFC 7638
  const std::string& issuer() const { return issuer_; }
  bool accepts(std::string_view algorithm_name) const;
  bool verify(std::string_view message, std::string_view signature) const;

 private:
  struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  using KeyPointer = std::unique_ptr<EVP_PKEY, FreeKey>;

  bool load_ed25519(const boost::json::object& jwk);
  bool load_rsa(const boost::json::object& jwk);
  bool load_p256(const boost::json::object& jwk);
  bool verify_with_openssl(std::string_view message, std::string_view signature) const;

  Algorithm algorithm_{};
  std::string kid_, thumbprint_, issuer_;
  std::string ed25519_;  ///< 32 raw bytes
  KeyPointer key_;       ///< RSA and P-256
};

/// RFC 7638 for an Ed25519 key of 32 raw bytes.
std::string ed25519_thumbprint(std::string_view public_key);

}  // namespace intra365::crypto
