// Base 64 and 32 share one bit-accumulating codec; digests come from OpenSSL, which knows the CPU's
// instructions for them.
#include "crypto/encoding.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cassert>
#include <memory>

#include "crypto/sodium.hpp"

namespace intra365::crypto {
namespace {

/// An alphabet of 2^Bits characters and its inverse, where 0xFF marks characters outside it.
template <unsigned Bits>
struct Alphabet {
  std::string_view characters;
  std::array<std::uint8_t, 256> values{};

  constexpr explicit Alphabet(std::string_view text) : characters(text) {
    values.fill(0xFF);
    for (std::size_t i = 0; i < text.size(); ++i) values[static_cast<unsigned char>(text[i])] = i;
  }

  std::string encode(std::string_view bytes) const {
    std::string text((bytes.size() * 8 + Bits - 1) / Bits, '\0');
    std::uint32_t pending = 0;
    unsigned pending_bits = 0;
    char* out = text.data();
    for (const unsigned char byte : bytes) {
      pending = pending << 8 | byte;
      for (pending_bits += 8; pending_bits >= Bits; pending_bits -= Bits)
        *out++ = characters[pending >> (pending_bits - Bits) & kMask];
    }
    if (pending_bits > 0) *out++ = characters[pending << (Bits - pending_bits) & kMask];
    assert(out == text.data() + text.size());
    return text;
  }

  /// Refuses lengths that no byte string has and leftover bits that are not zero, so that two texts never
  /// stand for the same bytes.
  std::optional<std::string> decode(std::string_view text) const {
    std::string bytes(text.size() * Bits / 8, '\0');
    if ((bytes.size() * 8 + Bits - 1) / Bits != text.size()) return std::nullopt;
    std::uint32_t pending = 0;
    unsigned pending_bits = 0;
    std::uint8_t outside = 0;
    char* out = bytes.data();
    for (const unsigned char character : text) {
      const std::uint8_t value = values[character];
      outside |= value;
      pending = pending << Bits | (value & kMask);
      pending_bits += Bits;
      if (pending_bits >= 8) {
        pending_bits -= 8;
        *out++ = static_cast<char>(pending >> pending_bits);
      }
    }
    if ((outside & 0x80) != 0) return std::nullopt;
    if ((pending & ((1U << pending_bits) - 1)) != 0) return std::nullopt;
    return bytes;
  }

 private:
  static constexpr std::uint32_t kMask = (1U << Bits) - 1;
};

constexpr Alphabet<6> kUrl{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};
constexpr Alphabet<6> kStandard{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"};
constexpr Alphabet<5> kBase32{"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"};

std::string digest(const EVP_MD* algorithm, std::string_view bytes) {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  // One context per thread: making one costs more than hashing a short text.
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  std::string result(32, '\0');
  unsigned size = 0;
  const bool done =
      EVP_DigestInit_ex2(context.get(), algorithm, nullptr) == 1 &&
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(result.data()), &size) == 1;
  assert(done && size == result.size());
  (void)done;
  return result;
}

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t remainder = i;
    for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ (remainder & 1 ? 0xEDB88320U : 0);
    table[i] = remainder;
  }
  return table;
}

}  // namespace

std::string base64url(std::string_view bytes) {
  return kUrl.encode(bytes);
}
std::optional<std::string> decode_base64url(std::string_view text) {
  return kUrl.decode(text);
}
std::string base32(std::string_view bytes) {
  return kBase32.encode(bytes);
}
std::optional<std::string> decode_base32(std::string_view text) {
  return kBase32.decode(text);
}

std::string base64(std::string_view bytes) {
  std::string text = kStandard.encode(bytes);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  // Four characters hold one byte at least, so at most two of them are padding.
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return kStandard.decode(text);
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::optional<std::string> decode_hex(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

std::string sha256(std::string_view bytes) {
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return digest(algorithm, bytes);
}

std::string sha512_256(std::string_view bytes) {
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA512-256", nullptr);
  return digest(algorithm, bytes);
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string result(32, '\0');
  // OpenSSL reads a null key as "the key of the call before", so an empty one must still point somewhere.
  const char* key_data = key.empty() ? "" : key.data();
  [[maybe_unused]] const auto* done = HMAC(EVP_sha256(), key_data, static_cast<int>(key.size()),
                                           reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                                           reinterpret_cast<unsigned char*>(result.data()), nullptr);
  assert(done != nullptr);
  return result;
}

std::uint32_t crc32(std::string_view bytes) {
  static constexpr auto table = make_crc_table();
  std::uint32_t remainder = 0xFFFFFFFFU;
  for (const unsigned char byte : bytes) remainder = remainder >> 8 ^ table[(remainder ^ byte) & 0xFF];
  return ~remainder;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace intra365::crypto
