// Which texts are subjects, and which subjects a pattern covers.
#include <array>
#include <cstdint>

#include "nats/connection.hpp"

namespace intra365::nats {
namespace {

enum class Class : std::uint8_t { plain, dot, wildcard, bad };

constexpr auto kClasses = [] {
  std::array<Class, 256> classes{};
  for (int c = 0; c <= ' '; ++c) classes[c] = Class::bad;
  classes[127] = Class::bad;
  classes['.'] = Class::dot;
  classes['*'] = classes['>'] = Class::wildcard;
  return classes;
}();

/// Checks tokens from the front; `wildcard(token, is_last)` decides about tokens that are `*` or `>` alone.
template <class Wildcard>
bool check_tokens(std::string_view text, Wildcard wildcard) {
  std::size_t start = 0;
  bool has_wildcard = false;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const auto kind = i == text.size() ? Class::dot : kClasses[static_cast<unsigned char>(text[i])];
    if (kind == Class::plain) continue;
    if (kind == Class::bad) return false;
    if (kind == Class::wildcard) {
      has_wildcard = true;
      continue;
    }
    if (i == start) return false;  // an empty token
    if (has_wildcard && i - start == 1 && !wildcard(text[start], i == text.size())) return false;
    has_wildcard = false;
    start = i + 1;
  }
  return true;
}

std::string_view take_token(std::string_view& rest) {
  const auto dot = rest.find('.');
  const auto token = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  return token;
}

}  // namespace

bool is_publish_subject(std::string_view text) {
  return check_tokens(text, [](char, bool) { return false; });
}

bool is_subscribe_subject(std::string_view text) {
  return check_tokens(text, [](char c, bool last) { return c == '*' || last; });
}

bool matches(std::string_view pattern, std::string_view subject) {
  while (!pattern.empty() && !subject.empty()) {
    const auto expected = take_token(pattern);
    if (expected == ">") return true;
    const auto token = take_token(subject);
    if (expected != "*" && expected != token) return false;
  }
  return pattern.empty() && subject.empty();
}

}  // namespace intra365::nats
