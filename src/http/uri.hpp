// The text of a request target, taken apart and decoded. Strict: what is ambiguous is refused.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intra365::http {

/// Decodes `%41`; refuses broken escapes, NUL and, in a path, an encoded slash.
std::optional<std::string> decode_path(std::string_view text);
std::optional<std::string> decode_query_part(std::string_view text);
/// `a=1&b=2`, decoded, in order; nullopt when a part cannot be decoded or there are more than 64.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view text);
/// True when the path begins with '/', and no segment is `.` or `..` or empty in the middle.
bool is_clean_path(std::string_view path);

}  // namespace intra365::http
