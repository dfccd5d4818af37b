// See verification_key.hpp. Ed25519 is verified by libsodium (twice as fast), RSA and P-256 by OpenSSL.
#include "crypto/verification_key.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "crypto/encoding.hpp"
#include "crypto/json_writer.hpp"
#include "crypto/sodium.hpp"
#include "crypto/strict_json.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMinRsaBytes = 2048 / 8;
constexpr std::size_t kMaxRsaBytes = 8192 / 8;  // larger ones only cost time to verify
constexpr std::size_t kMaxExponentBytes = 4;
constexpr std::size_t kP256Bytes = 32;
constexpr std::size_t kMaxNameSize = 256;

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;

std::string_view text_of(const bj::object& object, std::string_view name) {
  const auto* text = string_member(object, name);
  return text != nullptr ? std::string_view(*text) : std::string_view();
}

std::string bytes_member(const bj::object& jwk, std::string_view name) {
  return decode_base64url(text_of(jwk, name)).value_or("");
}

Number number_of(std::string_view big_endian) {
  return Number(BN_bin2bn(bytes_of(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

/// A public key of OpenSSL from its parameters; null when they make no key.
EVP_PKEY* make_key(const char* type, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return nullptr;
  return key;
}

/// True when a member, where it stands, allows to verify signatures.
bool is_for_verifying(const bj::object& jwk) {
  if (jwk.contains("use") && text_of(jwk, "use") != "sig") return false;
  const bj::value* operations = jwk.if_contains("key_ops");
  if (operations == nullptr) return true;
  const bj::array* list = operations->if_array();
  return list != nullptr && std::ranges::any_of(*list, [](const bj::value& operation) {
           return operation.is_string() && operation.get_string() == "verify";
         });
}

/// Whoever publishes a private key has lost it; symmetric keys have no place here either.
bool is_private(const bj::object& jwk) {
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"d", "p", "q", "dp", "dq", "qi", "oth", "k"},
      [&](std::string_view member) { return jwk.contains(member); });
}

/// r and s, 32 bytes each, as the DER that OpenSSL wants; empty when one of them cannot be right.
std::string der_of(std::string_view raw) {
  if (raw.size() != 2 * kP256Bytes) return {};
  Number r = number_of(raw.substr(0, kP256Bytes));
  Number s = number_of(raw.substr(kP256Bytes));
  if (!r || !s || BN_is_zero(r.get()) || BN_is_zero(s.get())) return {};
  const std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>> signature(ECDSA_SIG_new());
  if (!signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  (void)r.release();
  (void)s.release();
  std::string der(static_cast<std::size_t>(std::max(0, i2d_ECDSA_SIG(signature.get(), nullptr))), '\0');
  unsigned char* out = bytes_of(der);
  return i2d_ECDSA_SIG(signature.get(), &out) > 0 ? der : std::string();
}

std::string thumbprint_of(const bj::object& jwk, std::initializer_list<std::string_view> sorted_members) {
  JsonWriter json;
  json.begin_object();
  for (const std::string_view member : sorted_members) json.member(member, text_of(jwk, member));
  json.end_object();
  return base64url(sha256(json.text()));
}

}  // namespace

std::string ed25519_thumbprint(std::string_view public_key) {
  return base64url(sha256(R"({"crv":"Ed25519","kty":"OKP","x":")" + base64url(public_key) + "\"}"));
}

std::shared_ptr<const VerificationKey> VerificationKey::from_jwk(const bj::object& jwk) {
  if (!is_for_verifying(jwk) || is_private(jwk)) return nullptr;
  const std::string_view type = text_of(jwk, "kty");
  const std::string_view curve = text_of(jwk, "crv");
  auto key = std::make_shared<VerificationKey>();
  bool loaded = false;
  if (type == "OKP" && curve == "Ed25519")
    loaded = key->load_ed25519(jwk);
  else if (type == "RSA")
    loaded = key->load_rsa(jwk);
  else if (type == "EC" && curve == "P-256")
    loaded = key->load_p256(jwk);
  ERR_clear_error();
  if (!loaded || (jwk.contains("alg") && !key->accepts(text_of(jwk, "alg")))) return nullptr;

  key->kid_ = jwk.contains("kid") ? std::string(text_of(jwk, "kid")) : key->thumbprint_;
  key->issuer_ = text_of(jwk, "issuer");
  if (jwk.contains("issuer") && key->issuer_.empty()) return nullptr;  // it would mean "any issuer"
  if (key->kid_.empty() || key->kid_.size() > kMaxNameSize || key->issuer_.size() > kMaxNameSize)
    return nullptr;
  return key;
}

bool VerificationKey::load_ed25519(const bj::object& jwk) {
  ensure_sodium();
  algorithm_ = Algorithm::eddsa;
  ed25519_ = bytes_member(jwk, "x");
  if (ed25519_.size() != crypto_sign_PUBLICKEYBYTES) return false;
  thumbprint_ = ed25519_thumbprint(ed25519_);
  return crypto_core_ed25519_is_valid_point(bytes_of(ed25519_)) == 1;
}

bool VerificationKey::load_rsa(const bj::object& jwk) {
  algorithm_ = Algorithm::rs256;
  const std::string modulus = bytes_member(jwk, "n");
  const std::string exponent = bytes_member(jwk, "e");
  if (modulus.size() < kMinRsaBytes || modulus.size() > kMaxRsaBytes || exponent.empty() ||
      exponent.size() > kMaxExponentBytes)
    return false;
  const Number n = number_of(modulus);
  const Number e = number_of(exponent);
  if (BN_num_bits(n.get()) < static_cast<int>(kMinRsaBytes * 8) || !BN_is_odd(n.get()) ||
      !BN_is_odd(e.get()) || BN_is_one(e.get()))
    return false;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  key_.reset(make_key("RSA", builder.get()));
  thumbprint_ = thumbprint_of(jwk, {"e", "kty", "n"});
  return key_ != nullptr;
}

bool VerificationKey::load_p256(const bj::object& jwk) {
  algorithm_ = Algorithm::es256;
  const std::string x = bytes_member(jwk, "x");
  const std::string y = bytes_member(jwk, "y");
  if (x.size() != kP256Bytes || y.size() != kP256Bytes) return false;
  const std::string point = "\x04" + x + y;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  key_.reset(make_key("EC", builder.get()));
  thumbprint_ = thumbprint_of(jwk, {"crv", "kty", "x", "y"});
  if (!key_) return false;
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  return context && EVP_PKEY_public_check(context.get()) == 1;
}

bool VerificationKey::accepts(std::string_view algorithm_name) const {
  switch (algorithm_) {
    case Algorithm::eddsa:
      return algorithm_name == "EdDSA" || algorithm_name == "Ed25519";
    case Algorithm::rs256:
      return algorithm_name == "RS256";
    case Algorithm::es256:
      return algorithm_name == "ES256";
  }
  return false;
}

bool VerificationKey::verify(std::string_view message, std::string_view signature) const {
  if (algorithm_ != Algorithm::eddsa) return verify_with_openssl(message, signature);
  return signature.size() == crypto_sign_BYTES &&
         crypto_sign_verify_detached(bytes_of(signature), bytes_of(message), message.size(),
                                     bytes_of(ed25519_)) == 0;
}

bool VerificationKey::verify_with_openssl(std::string_view message, std::string_view signature) const {
  std::string converted;
  if (algorithm_ == Algorithm::es256) {
    converted = der_of(signature);
    if (converted.empty()) return false;
    signature = converted;
  } else if (signature.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()))) {
    return false;
  }
  const std::string digest = sha256(message);
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  bool holds = context && EVP_PKEY_verify_init(context.get()) == 1;
  if (holds && algorithm_ == Algorithm::rs256)
    holds = EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1;
  holds = holds && EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
          EVP_PKEY_verify(context.get(), bytes_of(signature), signature.size(),
                          bytes_of(std::string_view(digest)), digest.size()) == 1;
  if (!holds) ERR_clear_error();  // the queue belongs to the thread: leave nothing behind for others to find
  return holds;
}

}  // namespace intra365::crypto
