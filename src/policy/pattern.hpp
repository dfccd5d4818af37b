// Patterns of subjects and resources: `user:*/health-records`.
#pragma once
#include <string_view>

#include "policy/errors.hpp"
#include "policy/limits.hpp"

namespace intra365::policy {

/// Compares by segment. `*` stands for one whole segment, `type:*` for any id of that type; a `*` at the end
/// stands for the rest of the text, one segment or more, and so does `type:*` alone. Everything else stands
/// for itself only: `doc:y` does not match `doc:y/secret`. Views the text it was parsed from.
struct Pattern {
  std::string_view text;
  bool exact = false;  ///< without a wildcard
  bool open = false;   ///< matches everything below its last segment, too

  static Result<Pattern> parse(std::string_view text, const Pointer& at);
  /// One pattern against one text, for who has no index over many.
  bool matches(std::string_view other) const;
};

/// Takes the first segment off `rest`; `more` says whether another one follows.
inline std::string_view next_segment(std::string_view& rest, bool& more) {
  const auto slash = rest.find('/');
  const auto segment = rest.substr(0, slash);
  more = slash != std::string_view::npos;
  rest = more ? rest.substr(slash + 1) : std::string_view();
  return segment;
}

/// An action is a dotted name, or `*` for every action.
Result<void> check_action(std::string_view text, const Pointer& at);

}  // namespace intra365::policy
