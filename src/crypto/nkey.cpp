// Ed25519 keys of NATS, over libsodium.
#include "crypto/nkey.hpp"

#include <cassert>

#include "crypto/key_text.hpp"
#include "crypto/sodium.hpp"

namespace intra365::crypto {

/// Derives secret and public half from the seed.
void Nkey::complete() {
  ensure_sodium();
  RawKey raw{};
  crypto_sign_seed_keypair(raw.data(), secret_.data(), seed_.data());
  public_key_ = encode_public_key(kind_, raw);
}

Nkey Nkey::generate(KeyKind kind) {
  assert(kind != KeyKind::curve && "sealing keys are Xkey");
  ensure_sodium();
  Nkey key;
  key.kind_ = kind;
  randombytes_buf(key.seed_.data(), key.seed_.size());
  key.complete();
  return key;
}

Result<Nkey> Nkey::from_seed(std::string_view seed) {
  auto parsed = parse_seed(seed);
  if (!parsed) return fail(errors::bad_key, "The text is not the seed of a NATS key.");
  if (parsed->kind == KeyKind::curve)
    return fail(errors::bad_key, "The seed is for a sealing key, not for a signing key.");
  Nkey key;
  key.kind_ = parsed->kind;
  key.seed_ = parsed->key;
  sodium_memzero(parsed->key.data(), parsed->key.size());
  key.complete();
  return key;
}

Nkey Nkey::from_raw(KeyKind kind, std::string_view bytes) {
  assert(bytes.size() == 32 && kind != KeyKind::curve);
  Nkey key;
  key.kind_ = kind;
  std::ranges::copy(bytes, key.seed_.begin());
  key.complete();
  return key;
}

Nkey::Nkey(Nkey&& other) noexcept {
  *this = std::move(other);
}

Nkey& Nkey::operator=(Nkey&& other) noexcept {
  if (this == &other) return *this;
  kind_ = other.kind_;
  seed_ = other.seed_;
  secret_ = other.secret_;
  public_key_ = std::move(other.public_key_);
  sodium_memzero(other.seed_.data(), other.seed_.size());
  sodium_memzero(other.secret_.data(), other.secret_.size());
  return *this;
}

Nkey::~Nkey() {
  sodium_memzero(seed_.data(), seed_.size());
  sodium_memzero(secret_.data(), secret_.size());
}

std::string Nkey::seed() const {
  return encode_seed(kind_, seed_);
}

std::string Nkey::sign(std::string_view message) const {
  std::string signature(crypto_sign_BYTES, '\0');
  crypto_sign_detached(bytes_of(signature), nullptr, bytes_of(message), message.size(), secret_.data());
  return signature;
}

bool verify(std::string_view public_key, std::string_view message, std::string_view signature) {
  ensure_sodium();
  if (signature.size() != crypto_sign_BYTES) return false;
  const auto key = parse_public_key(public_key);
  if (!key || key->kind == KeyKind::curve) return false;
  return crypto_sign_verify_detached(bytes_of(signature), bytes_of(message), message.size(),
                                     key->key.data()) == 0;
}

}  // namespace intra365::crypto
