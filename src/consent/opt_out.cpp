#include "consent/opt_out.hpp"

#include "consent/lifecycle.hpp"

namespace intra365::consent {
namespace {

constexpr std::size_t kMaxText = 4000;
constexpr std::string_view kEvery = "*";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string opt_out_text(std::span<const Purpose> purposes) {
  std::string text;
  for (const auto& purpose : purposes) text.append(text.empty() ? "" : ",").append(purpose.str());
  return text.size() <= kMaxText ? text : std::string(kEvery);
}

bool opts_out(std::string_view text, const Purpose& purpose) {
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    const auto one = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one == kEvery || covers(one, purpose.str()) || covers(purpose.str(), one)) return true;
  }
  return false;
}

}  // namespace intra365::consent
