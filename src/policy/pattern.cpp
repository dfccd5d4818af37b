#include "policy/pattern.hpp"

#include <algorithm>

#include "base/ids.hpp"

namespace intra365::policy {

Result<Pattern> Pattern::parse(std::string_view text, const Pointer& at) {
  if (text.empty() || text.size() > limits::kPatternLength)
    return at.refuse("a pattern has 1 to 512 characters");
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return at.refuse("a pattern is printable ASCII without spaces");
  std::size_t segments = 0, wildcards = 0;
  std::string_view rest = text, segment;
  for (bool more = true; more;) {
    segment = next_segment(rest, more);
    if (++segments > limits::kSegments) return at.refuse("a pattern has at most 16 segments");
    if (segment.empty()) return at.refuse("a segment is empty");
    const auto star = segment.find('*');
    if (star == std::string_view::npos) continue;
    ++wildcards;
    if (segment == "*") continue;
    if (!segment.ends_with(":*") || star != segment.size() - 1 || segment.size() == 2)
      return at.refuse("'*' stands for a whole segment or a whole id, not for a part");
    if (std::ranges::count(segment, ':') > static_cast<std::ptrdiff_t>(limits::kColons))
      return at.refuse("a segment with a wildcard has at most 4 colons");
  }
  if (wildcards > limits::kWildcards) return at.refuse("a pattern has at most 8 wildcards");
  return Pattern{text, wildcards == 0, segment == "*" || (segments == 1 && wildcards == 1)};
}

bool Pattern::matches(std::string_view other) const {
  if (exact) return text == other;
  std::string_view wanted = text, given = other;
  for (bool more_wanted = true, more_given = true; more_wanted;) {
    if (!more_given) return false;
    const auto pattern = next_segment(wanted, more_wanted), segment = next_segment(given, more_given);
    const auto fixed = pattern.substr(0, pattern.size() - (pattern.ends_with('*') ? 1 : 0));
    const bool fits = fixed.size() == pattern.size()
                          ? segment == pattern
                          : segment.size() > fixed.size() && segment.starts_with(fixed);
    if (!fits || (!more_wanted && more_given && !open)) return false;
  }
  return true;
}

Result<void> check_action(std::string_view text, const Pointer& at) {
  if (text == "*") return {};
  if (text.size() > limits::kActionLength || !is_dotted_name(text))
    return at.refuse("'" + std::string(text.substr(0, 64)) + "' is not an action name or '*'");
  return {};
}

}  // namespace intra365::policy
