// Our own Ed25519 keys for tokens.
#include <boost/json/object.hpp>

#include "crypto/encoding.hpp"
#include "crypto/json_writer.hpp"
#include "crypto/jws.hpp"
#include "crypto/nkey.hpp"
#include "crypto/sodium.hpp"
#include "crypto/verification_key.hpp"

namespace intra365::crypto {

SigningKey::SigningKey(std::string raw_seed)
    : seed_(std::move(raw_seed)),
      secret_(crypto_sign_SECRETKEYBYTES, '\0'),
      public_(crypto_sign_PUBLICKEYBYTES, '\0') {
  ensure_sodium();
  crypto_sign_seed_keypair(bytes_of(public_), bytes_of(secret_), bytes_of(seed_));
  kid_ = ed25519_thumbprint(public_);
}

SigningKey::~SigningKey() {
  wipe(seed_);
  wipe(secret_);
}

SigningKey SigningKey::generate() {
  ensure_sodium();
  std::string seed(crypto_sign_SEEDBYTES, '\0');
  randombytes_buf(seed.data(), seed.size());
  return SigningKey(std::move(seed));
}

Result<SigningKey> SigningKey::from_seed(std::string_view raw_32_bytes) {
  if (raw_32_bytes.size() != crypto_sign_SEEDBYTES)
    return fail(errors::bad_key, "The seed of a token signing key has 32 bytes.");
  return SigningKey(std::string(raw_32_bytes));
}

boost::json::value SigningKey::public_jwk() const {
  return boost::json::object{{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", base64url(public_)},
                             {"kid", kid_},  {"alg", "EdDSA"},   {"use", "sig"}};
}

std::string SigningKey::sign(std::string_view typ, std::string_view payload) const {
  JsonWriter header;
  header.begin_object().member("alg", "EdDSA").member("typ", typ).member("kid", kid_).end_object();
  std::string token = base64url(header.text());
  token += '.';
  token += base64url(payload);
  std::string signature(crypto_sign_BYTES, '\0');
  crypto_sign_detached(bytes_of(signature), nullptr, bytes_of(std::string_view(token)), token.size(),
                       bytes_of(std::string_view(secret_)));
  token += '.';
  token += base64url(signature);
  return token;
}

}  // namespace intra365::crypto
