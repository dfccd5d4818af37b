#include "http/uri.hpp"

#include <algorithm>

namespace intra365::http {
namespace {

constexpr std::size_t kMaxParameters = 64;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view text, bool plus_is_space, std::string_view refused) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
      continue;
    }
    if (static_cast<unsigned char>(text[i]) <= ' ' || text[i] == 0x7f) return std::nullopt;
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return std::nullopt;
    const auto byte = static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
    if (byte == '\0' || refused.find(byte) != std::string_view::npos) return std::nullopt;
    out.push_back(byte);
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<std::string> decode_path(std::string_view text) {
  return decode(text, false, "/\\");
}
std::optional<std::string> decode_query_part(std::string_view text) {
  return decode(text, true, "");
}

std::optional<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> parameters;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    auto name = decode_query_part(part.substr(0, equals));
    auto value =
        decode_query_part(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    if (!name || !value || parameters.size() == kMaxParameters) return std::nullopt;
    parameters.emplace_back(*std::move(name), *std::move(value));
  }
  return parameters;
}

bool is_clean_path(std::string_view path) {
  if (!path.starts_with('/')) return false;
  path.remove_prefix(1);
  while (!path.empty()) {
    const auto segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == ".." || (segment.empty() && path.size() > 0)) return false;
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
  }
  return true;
}

}  // namespace intra365::http
