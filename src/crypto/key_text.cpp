// See key_text.hpp. Layout of a public key: prefix, 32 bytes, CRC-16 (little-endian). A seed has two prefix
// bytes, which hold 5 bits "seed" and the 8 bits of its kind:
//
//   byte 0: 1 0 0 1 0 k7 k6 k5      byte 1: k4 k3 k2 k1 k0 0 0 0
#include "crypto/key_text.hpp"

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "crypto/encoding.hpp"
#include "crypto/sodium.hpp"

namespace intra365::crypto {
namespace {

constexpr std::size_t kPublicSize = 1 + 32 + 2;
constexpr std::size_t kSeedSize = 2 + 32 + 2;
constexpr unsigned kSeedPrefix = 0x90;

/// CRC-16/XMODEM, eight bits at a time.
std::uint16_t crc16(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint16_t, 256> rows{};
    for (unsigned i = 0; i < 256; ++i) {
      unsigned remainder = i << 8;
      for (int bit = 0; bit < 8; ++bit) remainder = remainder << 1 ^ (remainder & 0x8000 ? 0x1021 : 0);
      rows[i] = static_cast<std::uint16_t>(remainder);
    }
    return rows;
  }();
  std::uint16_t remainder = 0;
  for (const unsigned char byte : bytes)
    remainder = static_cast<std::uint16_t>(remainder << 8 ^ table[(remainder >> 8 ^ byte) & 0xFF]);
  return remainder;
}

void append_checksum(std::string& bytes) {
  const std::uint16_t checksum = crc16(bytes);
  bytes += static_cast<char>(checksum & 0xFF);
  bytes += static_cast<char>(checksum >> 8);
}

/// The bytes before the checksum, when the text has exactly `size` bytes with it and the checksum is right.
std::optional<std::string> decode_checked(std::string_view text, std::size_t size) {
  if (text.size() != (size * 8 + 4) / 5) return std::nullopt;
  auto bytes = decode_base32(text);
  if (!bytes || bytes->size() != size) return std::nullopt;
  const std::uint16_t told =
      static_cast<unsigned char>((*bytes)[size - 2]) | static_cast<unsigned char>((*bytes)[size - 1]) << 8;
  bytes->resize(size - 2);
  if (crc16(*bytes) != told) return std::nullopt;
  return bytes;
}

std::optional<KeyKind> known_kind(unsigned prefix) {
  for (const KeyKind kind : {KeyKind::operator_, KeyKind::account, KeyKind::user, KeyKind::server,
                             KeyKind::cluster, KeyKind::curve})
    if (static_cast<unsigned>(kind) == prefix) return kind;
  return std::nullopt;
}

}  // namespace

std::optional<PublicKeyText> parse_public_key(std::string_view text) {
  const auto bytes = decode_checked(text, kPublicSize);
  if (!bytes) return std::nullopt;
  const auto kind = known_kind(static_cast<unsigned char>((*bytes)[0]));
  if (!kind) return std::nullopt;
  PublicKeyText result{*kind, {}};
  std::copy_n(bytes->begin() + 1, 32, result.key.begin());
  return result;
}

std::string encode_seed(KeyKind kind, const RawKey& seed) {
  const auto prefix = static_cast<unsigned>(kind);
  std::string bytes;
  bytes.reserve(kSeedSize);
  bytes += static_cast<char>(kSeedPrefix | prefix >> 5);
  bytes += static_cast<char>((prefix & 31) << 3);
  bytes.append(seed.begin(), seed.end());
  append_checksum(bytes);
  std::string text = base32(bytes);
  wipe(bytes);
  return text;
}

std::optional<PublicKeyText> parse_seed(std::string_view text) {
  auto bytes = decode_checked(text, kSeedSize);
  if (!bytes) return std::nullopt;
  const auto first = static_cast<unsigned char>((*bytes)[0]);
  const auto second = static_cast<unsigned char>((*bytes)[1]);
  std::optional<PublicKeyText> result;
  const auto kind = known_kind((first & 7U) << 5 | second >> 3);
  if ((first & 0xF8) == kSeedPrefix && (second & 7) == 0 && kind) {
    result.emplace(PublicKeyText{*kind, {}});
    std::copy_n(bytes->begin() + 2, 32, result->key.begin());
  }
  wipe(*bytes);
  return result;
}

bool is_public_key(std::string_view text, KeyKind kind) {
  const auto key = parse_public_key(text);
  return key && key->kind == kind;
}

Result<std::array<unsigned char, 32>> decode_public_key(std::string_view text, KeyKind kind) {
  const auto key = parse_public_key(text);
  if (!key) return fail(errors::bad_key, "The text is not a public NATS key with a right checksum.");
  if (key->kind != kind) return fail(errors::bad_key, "The NATS key is of another kind than expected here.");
  return key->key;
}

std::string encode_public_key(KeyKind kind, const std::array<unsigned char, 32>& raw) {
  std::string bytes(1, static_cast<char>(kind));
  bytes.append(raw.begin(), raw.end());
  append_checksum(bytes);
  return base32(bytes);
}

}  // namespace intra365::crypto
