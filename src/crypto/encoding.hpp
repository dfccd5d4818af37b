// Text forms of bytes. Decoders are strict: no white space, no leftover bits, one spelling for each value.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace intra365::crypto {

std::string base64url(std::string_view bytes);  ///< RFC 4648 section 5, without padding
std::optional<std::string> decode_base64url(std::string_view text);
std::string base64(std::string_view bytes);  ///< RFC 4648 section 4, with padding
std::optional<std::string> decode_base64(std::string_view text);
std::string base32(std::string_view bytes);  ///< upper case, without padding
std::optional<std::string> decode_base32(std::string_view text);
std::string hex(std::string_view bytes);  ///< lower case
std::optional<std::string> decode_hex(std::string_view text);
std::string sha256(std::string_view bytes);      ///< 32 raw bytes
std::string sha512_256(std::string_view bytes);  ///< 32 raw bytes
std::string hmac_sha256(std::string_view key, std::string_view bytes);
std::uint32_t crc32(std::string_view bytes);  ///< IEEE
/// Compares in a time that does not depend on where the difference is.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace intra365::crypto
