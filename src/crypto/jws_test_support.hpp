// Foreign issuers for the tests of JWS verification: RSA and P-256 keys of OpenSSL that sign anything.
#pragma once
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <boost/json.hpp>

#include <memory>
#include <string>
#include <string_view>

#include "crypto/encoding.hpp"
#include "crypto/jws.hpp"

namespace intra365::crypto {

inline unsigned char* raw(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
inline const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// A compact JWS around whatever `sign` makes of its text.
template <class Sign>
std::string compact(std::string_view header, std::string_view payload, const Sign& sign) {
  const std::string text = base64url(header) + "." + base64url(payload);
  return text + "." + base64url(sign(text));
}

class ForeignKey {
 public:
  enum class Padding { pkcs1, pss };
  static ForeignKey rsa(unsigned bits = 2048) { return ForeignKey(EVP_RSA_gen(bits)); }
  static ForeignKey p256() { return ForeignKey(EVP_EC_gen("P-256")); }

  bool is_rsa() const { return EVP_PKEY_is_a(key_.get(), "RSA") == 1; }

  /// SHA-256 signature; P-256 ones as r and s.
  std::string sign(std::string_view text, Padding padding = Padding::pkcs1) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_PKEY_CTX* details = nullptr;
    EVP_DigestSignInit(context.get(), &details, EVP_sha256(), nullptr, key_.get());
    if (is_rsa() && padding == Padding::pss) EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING);
    std::size_t size = 0;
    EVP_DigestSign(context.get(), nullptr, &size, raw(text), text.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), raw(signature), &size, raw(text), text.size());
    signature.resize(size);
    return is_rsa() ? signature : r_and_s(signature);
  }

  boost::json::object jwk(std::string_view kid) const {
    boost::json::object jwk{{"kid", kid}, {"use", "sig"}};
    if (is_rsa()) {
      jwk["kty"] = "RSA";
      jwk["n"] = parameter(OSSL_PKEY_PARAM_RSA_N, 0);
      jwk["e"] = parameter(OSSL_PKEY_PARAM_RSA_E, 0);
    } else {
      jwk["kty"] = "EC";
      jwk["crv"] = "P-256";
      jwk["x"] = parameter(OSSL_PKEY_PARAM_EC_PUB_X, 32);
      jwk["y"] = parameter(OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    }
    return jwk;
  }

 private:
  explicit ForeignKey(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

  std::string parameter(const char* name, int size) const {
    BIGNUM* number = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &number);
    std::string bytes(static_cast<std::size_t>(size > 0 ? size : BN_num_bytes(number)), '\0');
    BN_bn2binpad(number, raw(bytes), static_cast<int>(bytes.size()));
    BN_free(number);
    return base64url(bytes);
  }

  static std::string r_and_s(const std::string& der) {
    const unsigned char* at = raw(std::string_view(der));
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string both(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw(both), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw(both) + 32, 32);
    ECDSA_SIG_free(signature);
    return both;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

inline KeySet key_set(boost::json::array keys) {
  return KeySet::parse(boost::json::value(boost::json::object{{"keys", std::move(keys)}})).value();
}

}  // namespace intra365::crypto
