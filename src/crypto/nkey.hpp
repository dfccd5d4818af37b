// NATS keys: Ed25519 signing keys (nkeys) and X25519 sealing keys (xkeys) in their text form.
// Encodings and test vectors: NATS nkeys; verified byte for byte against the reference implementation.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_key{ErrorKind::invalid, "key.malformed",
                                   "The key or seed is not a valid NATS key of the expected kind."};
inline constexpr ErrorCode bad_seal{ErrorKind::unauthenticated, "key.seal_broken",
                                    "The sealed message cannot be opened with this key."};
}  // namespace intra365::errors

namespace intra365::crypto {

enum class KeyKind : std::uint8_t {
  operator_ = 0x70,
  account = 0x00,
  user = 0xA0,
  server = 0x68,
  cluster = 0x10,
  curve = 0xB8
};

/// True when `text` is a public key of `kind` with a right checksum.
bool is_public_key(std::string_view text, KeyKind kind);
/// The 32 raw bytes of a public key in text form.
Result<std::array<unsigned char, 32>> decode_public_key(std::string_view text, KeyKind kind);
std::string encode_public_key(KeyKind kind, const std::array<unsigned char, 32>& raw);

/// A signing key pair; the secret is wiped when the object goes.
class Nkey {
 public:
  static Nkey generate(KeyKind kind);
  static Result<Nkey> from_seed(std::string_view seed);
  /// From 32 bytes of key material, for keys that are derived rather than stored.
  static Nkey from_raw(KeyKind kind, std::string_view bytes);
  Nkey(Nkey&&) noexcept;
  Nkey& operator=(Nkey&&) noexcept;
  Nkey(const Nkey&) = default;
  Nkey& operator=(const Nkey&) = default;
  ~Nkey();

  KeyKind kind() const { return kind_; }
  const std::string& public_key() const { return public_key_; }
  std::string seed() const;
  /// Raw 64-byte Ed25519 signature.
  std::string sign(std::string_view message) const;

 private:
  Nkey() = default;
  void complete();
  KeyKind kind_{};
  std::array<unsigned char, 32> seed_{};
  std::array<unsigned char, 64> secret_{};
  std::string public_key_;
};

/// Verifies a raw signature against a public key in text form (any Ed25519 kind).
bool verify(std::string_view public_key, std::string_view message, std::string_view signature);

/// An X25519 key pair that seals and opens `xkv1` boxes. The secret shared with each of the last few peers is
/// kept, because deriving it costs 25 times as much as the box. Copies share that memory; any thread may use
/// them. A box is at most 1 MiB and 44 bytes.
class Xkey {
 public:
  static Xkey generate();
  static Result<Xkey> from_seed(std::string_view seed);
  ~Xkey();
  Xkey(const Xkey&) = default;
  Xkey& operator=(const Xkey&) = default;

  const std::string& public_key() const { return public_key_; }
  std::string seed() const;
  Result<std::string> seal(std::string_view message, std::string_view recipient_public_key) const;
  Result<std::string> open(std::string_view sealed, std::string_view sender_public_key) const;

 private:
  class SharedSecrets;
  Xkey();
  void complete();
  std::array<unsigned char, 32> seed_{};
  std::string public_key_;
  std::shared_ptr<SharedSecrets> shared_secrets_;
};

}  // namespace intra365::crypto
