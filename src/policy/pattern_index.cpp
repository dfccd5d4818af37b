#include "policy/pattern_index.hpp"

#include <random>

namespace intra365::policy {

std::uint64_t hash_seed() {
  static const std::uint64_t seed = [] {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }();
  return seed;
}

std::uint32_t PatternIndex::child(std::uint32_t node, std::string_view segment) {
  const auto fresh = static_cast<std::uint32_t>(nodes_.size());
  std::uint32_t to = kNone;
  if (segment == "*") {
    to = nodes_[node].star == kNone ? nodes_[node].star = fresh : nodes_[node].star;
  } else {
    const bool is_type = segment.ends_with(":*");
    if (is_type) segment.remove_suffix(2);
    (is_type ? nodes_[node].has_types : nodes_[node].has_literals) = true;
    to = edges_.insert(edge(node, segments_.intern(segment), is_type), fresh);
  }
  if (to == fresh) nodes_.emplace_back();
  return to;
}

std::uint32_t PatternIndex::add(const Pattern& pattern) {
  auto& table = pattern.exact ? exact_ : wild_;
  auto& ids = pattern.exact ? exact_ids_ : wild_ids_;
  const auto at = table.intern(pattern.text);
  if (at < ids.size()) return ids[at];
  ids.push_back(count_);
  if (!pattern.exact) {
    std::uint32_t node = 0;
    auto rest = pattern.text;
    for (bool more = true; more;) {
      const auto segment = next_segment(rest, more);
      node = child(node, segment);
    }
    (pattern.open ? nodes_[node].open : nodes_[node].ends) = count_;
  }
  return count_++;
}

}  // namespace intra365::policy
