// Whose consent decides where several might: the person's own, then their household's, then their
// organisation's (docs/adr/0007). The one place where that is said; a lookup in memory and one in the truth
// both go through it.
#pragma once
#include <optional>

#include "contract/operations/consent.hpp"

namespace intra365::guard {

/// What the records of one level say. `Answer` has `code`, and `inherited_from` for the level.
template <class Answer>
struct Said {
  Answer answer;  ///< of the record that came nearest
  /// Some record of the level, in whatever state but superseded, is about what is asked: it covers the
  /// purpose and at least one of the scopes.
  bool touches = false;
};

/// The first level that grants what is asked, or that has anything to say about it, decides; its yes has to
/// cover everything, and its no is not overridden by any level after it. Where no level has anything to say,
/// the answer is the one the person's own records give. `ask(level)` is called for one level after the other,
/// and no further than needed; no level stands for the person's own.
template <class Ask>
auto decide_by_precedence(Ask&& ask) {
  using consent::InheritedFrom;
  const auto own = ask(std::optional<InheritedFrom>());
  if (own.touches || own.answer.allowed()) return own.answer;
  for (const auto level : {InheritedFrom::household, InheritedFrom::organisation}) {
    auto said = ask(std::optional(level));
    said.answer.inherited_from = level;
    if (said.touches || said.answer.allowed()) return said.answer;
  }
  return own.answer;
}

}  // namespace intra365::guard
