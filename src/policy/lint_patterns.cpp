// Patterns compared with patterns.
#include "policy/lint.hpp"

namespace intra365::policy {
namespace {

struct Segments {
  std::vector<std::string_view> items;
  bool open = false;
};

Segments split(std::string_view pattern) {
  Segments segments;
  for (bool more = true; more;) segments.items.push_back(next_segment(pattern, more));
  const auto last = segments.items.back();
  segments.open = last == "*" || (segments.items.size() == 1 && last.ends_with(":*"));
  return segments;
}

bool is_type(std::string_view segment) {
  return segment.ends_with(":*");
}

/// Every segment `narrow` stands for is one that `wide` stands for.
bool segment_covers(std::string_view wide, std::string_view narrow) {
  if (wide == "*" || wide == narrow) return true;
  if (!is_type(wide) || narrow == "*") return false;
  const auto type = wide.substr(0, wide.size() - 1);
  return narrow.starts_with(type) && (is_type(narrow) || narrow.size() > type.size());
}

bool segments_overlap(std::string_view a, std::string_view b) {
  if (segment_covers(a, b) || segment_covers(b, a)) return true;
  return is_type(a) && is_type(b) &&
         (a.starts_with(b.substr(0, b.size() - 1)) || b.starts_with(a.substr(0, a.size() - 1)));
}

}  // namespace

bool covers(std::string_view wide, std::string_view narrow) {
  const auto w = split(wide), n = split(narrow);
  if (w.open ? n.items.size() < w.items.size() : (n.open || n.items.size() != w.items.size())) return false;
  for (std::size_t i = 0; i < w.items.size(); ++i) {
    if (!segment_covers(w.items[i], n.items[i])) return false;
  }
  return true;
}

bool overlap(std::string_view a, std::string_view b) {
  const auto x = split(a), y = split(b);
  const auto shorter = std::min(x.items.size(), y.items.size());
  if (x.items.size() > shorter && !y.open) return false;
  if (y.items.size() > shorter && !x.open) return false;
  for (std::size_t i = 0; i < shorter; ++i) {
    if (!segments_overlap(x.items[i], y.items[i])) return false;
  }
  return true;
}

}  // namespace intra365::policy
