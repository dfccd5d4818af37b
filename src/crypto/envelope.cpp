// Layout of a sealed secret: version (1 byte, 0x01), nonce (24), ciphertext, authenticator (16).
#include "crypto/envelope.hpp"

#include <cassert>

#include "crypto/sodium.hpp"

namespace intra365::crypto {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kNonceSize = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagSize = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kOverhead = 1 + kNonceSize + kTagSize;

/// The version is authenticated too, so that a later format cannot be passed off as this one.
std::string additional_data(std::string_view context) {
  return std::string(1, kVersion).append(context);
}

}  // namespace

Envelope::Envelope(std::string key_32_bytes) : key_(std::move(key_32_bytes)) {
  ensure_sodium();
  assert(key_.size() == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
}

Envelope::~Envelope() {
  wipe(key_);
}

std::string Envelope::seal(std::string_view plain, std::string_view context) const {
  std::string sealed(kOverhead + plain.size(), '\0');
  sealed[0] = kVersion;
  unsigned char* nonce = bytes_of(sealed) + 1;
  randombytes_buf(nonce, kNonceSize);
  const std::string additional = additional_data(context);
  crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + kNonceSize, nullptr, bytes_of(plain), plain.size(),
                                             bytes_of(std::string_view(additional)), additional.size(),
                                             nullptr, nonce, bytes_of(std::string_view(key_)));
  return sealed;
}

Result<std::string> Envelope::open(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < kOverhead || sealed[0] != kVersion) return fail(errors::bad_envelope);
  const unsigned char* nonce = bytes_of(sealed) + 1;
  const std::string additional = additional_data(context);
  std::string plain(sealed.size() - kOverhead, '\0');
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(bytes_of(plain), nullptr, nullptr, nonce + kNonceSize,
                                                 sealed.size() - 1 - kNonceSize,
                                                 bytes_of(std::string_view(additional)), additional.size(),
                                                 nonce, bytes_of(std::string_view(key_))) != 0)
    return fail(errors::bad_envelope);
  return plain;
}

}  // namespace intra365::crypto
