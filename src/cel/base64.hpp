// Base64 (RFC 4648), standard alphabet.
#pragma once
#include <string>
#include <string_view>

namespace intra365::cel {

std::string base64_encode(std::string_view bytes);
/// With or without padding; false where it is not base64.
bool base64_decode(std::string_view text, std::string& bytes);

}  // namespace intra365::cel
