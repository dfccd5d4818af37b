// What is well-formed and still wrong: rules that never decide, that contradict each other, or that allow
// more than anybody can have meant.
#pragma once
#include <string>
#include <vector>

#include "policy/snapshot.hpp"

namespace intra365::policy {

enum class LintKind {
  over_broad,      ///< allows without saying to whom, on what, or doing what
  never_matching,  ///< its conditions exclude each other
  shadowed,        ///< another rule decides wherever it applies
  redundant,       ///< another rule of its tier and effect says the same and more
  conflicting,     ///< allow and deny of one tier where both apply; deny wins
  not_in_force,    ///< draft, shadow, retired or inactive
};
BOOST_DESCRIBE_ENUM(LintKind, over_broad, never_matching, shadowed, redundant, conflicting, not_in_force)

enum class Severity { error, warning, note };
BOOST_DESCRIBE_ENUM(Severity, error, warning, note)

struct LintFinding {
  LintKind kind = LintKind::over_broad;
  Severity severity = Severity::warning;
  std::string rule;                  ///< `policy/rule`, or a policy
  std::optional<std::string> other;  ///< the rule it collides with
  std::string message;
};
BOOST_DESCRIBE_STRUCT(LintFinding, (), (kind, severity, rule, other, message))

struct LintReport {
  std::vector<LintFinding> findings;  ///< errors first
  std::size_t rules = 0;
  bool pairs_checked = true;  ///< false: the set is too large to compare every rule with every other
};
BOOST_DESCRIBE_STRUCT(LintReport, (), (findings, rules, pairs_checked))

/// Fails with `policy.invalid` where the set cannot be compiled. Rules with `when` are taken to hold
/// sometimes: nothing is concluded from the expression.
Result<LintReport> lint(const std::vector<Policy>& policies);

/// True when every text that `narrow` matches is matched by `wide`, too.
bool covers(std::string_view wide, std::string_view narrow);
/// True when some text is matched by both.
bool overlap(std::string_view a, std::string_view b);

}  // namespace intra365::policy
