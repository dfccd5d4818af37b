#include "base/ids.hpp"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace intra365 {
namespace {

constexpr bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '_' || c == '-'; });
}

bool is_dotted_name(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '-' || c == '.' || c == ':';
  });
}

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t filled = 0; filled < size;) {
    const auto got = ::getrandom(bytes.data() + filled, size - filled, 0);
    if (got < 0) std::abort();  // without randomness nothing we do is safe
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::string random_token(std::size_t length) {
  constexpr std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string token;
  token.reserve(length);
  while (token.size() < length) {
    for (const unsigned char byte : random_bytes(length)) {
      // 248 is the largest multiple of 62 in a byte: values above it would favour some characters.
      if (byte < 248 && token.size() < length) token.push_back(alphabet[byte % alphabet.size()]);
    }
  }
  return token;
}

std::string new_uuid() {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  auto bytes = random_bytes(16);
  for (int i = 0; i < 6; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(now >> (40 - 8 * i));
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x70);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);

  constexpr std::string_view hex = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(hex[static_cast<unsigned char>(bytes[i]) >> 4]);
    text.push_back(hex[static_cast<unsigned char>(bytes[i]) & 0x0f]);
  }
  return text;
}

}  // namespace intra365
