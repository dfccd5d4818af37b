// Which patterns of a set match a text? Exact ones by one table, the rest by a trie of segments.
#pragma once
#include <string>
#include <vector>

#include "policy/pattern.hpp"
#include "policy/table.hpp"

namespace intra365::policy {

/// Built once, then read by any number of threads. Patterns are numbered in the order they came.
class PatternIndex {
 public:
  /// The number of this pattern; equal texts share one.
  std::uint32_t add(const Pattern& pattern);
  std::uint32_t size() const { return count_; }

  /// Begins the look-up of `text`; its result goes into `match`.
  std::uint32_t start(std::string_view text) const { return exact_.start(text); }
  /// Calls `found(number)` for every pattern that matches `text`, each once.
  template <class Found>
  void match(std::string_view text, std::uint32_t started, Found&& found) const {
    if (const auto id = exact_.find(text, started); id != kNone) found(exact_ids_[id]);
    if (nodes_.size() > 1) walk(0, 0, text, found);
  }

 private:
  /// Edges: by literal segment, by type (`type:*`), and the star.
  struct Node {
    std::uint32_t star = kNone;
    std::uint32_t ends = kNone;  ///< pattern that ends here
    std::uint32_t open = kNone;  ///< pattern that ends here or anywhere below
    bool has_literals = false, has_types = false;
  };
  static std::uint64_t edge(std::uint32_t node, std::uint32_t text, bool is_type) {
    return (std::uint64_t{node} << 33) | (std::uint64_t{text} << 1) | std::uint64_t{is_type};
  }
  std::uint32_t child(std::uint32_t node, std::string_view segment);

  /// INVARIANT: every node is visited at most once a question (it has one parent), and a pattern has at most
  /// 16 segments, so the work is bounded by the trie and the depth by 16. pattern_index_test keeps it.
  template <class Found>
  void walk(std::uint32_t at, std::size_t depth, std::string_view rest, Found&& found) const {
    const auto& node = nodes_[at];
    bool more = false;
    const auto segment = next_segment(rest, more);
    const auto enter = [&](std::uint32_t to) {
      const auto& next = nodes_[to];
      if (next.open != kNone) found(next.open);
      if (!more) {
        if (next.ends != kNone) found(next.ends);
      } else if (depth + 1 < limits::kSegments && next.leads_on()) {
        walk(to, depth + 1, rest, found);
      }
    };
    if (node.has_literals) {
      if (const auto id = segments_.find(segment); id != kNone) {
        if (const auto to = edges_.find(edge(at, id, false)); to != kNone) enter(to);
      }
    }
    if (node.has_types) {
      std::size_t colon = 0;
      for (std::size_t tries = 0; tries < limits::kColons; ++tries) {
        colon = segment.find(':', colon);
        if (colon == std::string_view::npos || colon + 1 == segment.size()) break;
        if (const auto id = segments_.find(segment.substr(0, colon)); id != kNone) {
          if (const auto to = edges_.find(edge(at, id, true)); to != kNone) enter(to);
        }
        ++colon;
      }
    }
    if (node.star != kNone && !segment.empty()) enter(node.star);
  }

  struct TrieNode : Node {
    bool leads_on() const { return star != kNone || has_literals || has_types; }
  };
  TextTable exact_, wild_, segments_;
  std::vector<std::uint32_t> exact_ids_, wild_ids_;
  KeyTable edges_;
  std::vector<TrieNode> nodes_{1};
  std::uint32_t count_ = 0;
};

}  // namespace intra365::policy
