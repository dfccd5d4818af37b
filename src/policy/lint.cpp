#include "policy/lint.hpp"

#include <algorithm>
#include <map>

#include "json/json.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

/// Comparing every rule with every other takes about 0.2 µs a pair.
constexpr std::size_t kPairs = 25'000'000;

struct Entry {
  const CompiledPolicy* policy;
  std::size_t index;
  const Rule& rule() const { return policy->source().rules[index]; }
  const CompiledRule& compiled() const { return policy->rules()[index]; }
  std::string name() const { return std::string(policy->id()) + "/" + std::to_string(index); }
};

bool all_covered(const std::vector<std::string>& wide, const std::vector<std::string>& narrow) {
  return std::ranges::all_of(narrow, [&](const auto& one) {
    return std::ranges::any_of(wide, [&](const auto& other) { return covers(other, one); });
  });
}
bool any_overlap(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::any_of(a, [&](const auto& one) {
    return std::ranges::any_of(b, [&](const auto& other) { return overlap(one, other); });
  });
}
bool actions_covered(const Rule& wide, const Rule& narrow) {
  const auto has = [&](const std::string& one) {
    return std::ranges::find(wide.actions, one) != wide.actions.end();
  };
  return has("*") || std::ranges::all_of(narrow.actions, has);
}
bool actions_meet(const Rule& a, const Rule& b) {
  return std::ranges::any_of(a.actions, [&](const auto& one) {
    return std::ranges::any_of(b.actions,
                               [&](const auto& other) { return one == "*" || other == "*" || one == other; });
  });
}

/// Wherever `narrow` holds, `wide` holds: it asks for nothing that `narrow` does not ask for, too.
bool implied(const Rule& wide, const Rule& narrow) {
  if (wide.when && wide.when != narrow.when) return false;
  return std::ranges::all_of(wide.conditions, [&](const auto& one) {
    const auto same = narrow.conditions.find(one.first);
    return same != narrow.conditions.end() && same->second == one.second;
  });
}

bool scope_covered(const Rule& wide, const Rule& narrow) {
  return actions_covered(wide, narrow) && all_covered(wide.subjects, narrow.subjects) &&
         all_covered(wide.resources, narrow.resources);
}

bool covers_rule(const Rule& wide, const Rule& narrow) {
  return scope_covered(wide, narrow) && implied(wide, narrow);
}

/// Where an attribute is missing, an allow rule steps aside and a deny rule with the same condition does not:
/// such an allow rule decides first, but not always.
bool steps_aside(const Rule& wide, const Rule& narrow) {
  return wide.effect == RuleEffect::allow && narrow.effect == RuleEffect::deny &&
         (!wide.conditions.empty() || wide.when);
}

class Linter {
 public:
  explicit Linter(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  LintReport run() {
    report_.rules = entries_.size();
    for (const auto& one : entries_) {
      breadth(one);
      contradiction(one);
    }
    report_.pairs_checked = entries_.size() * entries_.size() / 2 <= kPairs;
    if (report_.pairs_checked) pairs();
    std::ranges::stable_sort(report_.findings, {}, &LintFinding::severity);
    return std::move(report_);
  }

  void add(LintKind kind, Severity severity, std::string rule, std::optional<std::string> other,
           std::string message) {
    report_.findings.push_back({kind, severity, std::move(rule), std::move(other), std::move(message)});
  }

 private:
  void breadth(const Entry& one) {
    const auto& rule = one.rule();
    if (rule.effect == RuleEffect::deny) return;
    const auto has_star = [](const std::vector<std::string>& list) {
      return std::ranges::find(list, "*") != list.end();
    };
    const bool subjects = has_star(rule.subjects), resources = has_star(rule.resources),
               actions = has_star(rule.actions);
    const bool unconditional = rule.conditions.empty() && !rule.when;
    if (subjects + resources + actions == 3 && unconditional) {
      add(LintKind::over_broad, Severity::error, one.name(), {}, "allows everybody everything");
    } else if (subjects && unconditional) {
      add(LintKind::over_broad, Severity::warning, one.name(), {}, "allows everybody, under no condition");
    } else if (resources && actions) {
      add(LintKind::over_broad, Severity::warning, one.name(), {}, "allows every action on every resource");
    }
  }

  /// Tries whether one value can satisfy all conditions on each attribute. Candidates are the values that the
  /// conditions themselves name, and a little beside them; where they all fail, none can be thought of.
  void contradiction(const Entry& one) {
    std::map<std::string_view, std::vector<const Condition*>> by_path;
    for (const auto& condition : one.compiled().conditions)
      by_path[condition.path.text()].push_back(&condition);
    for (const auto& [path, conditions] : by_path) {
      if (conditions.size() < 2 || satisfiable(conditions)) continue;
      add(LintKind::never_matching, Severity::error, one.name(), {},
          "no value of " + std::string(path) + " satisfies its conditions");
    }
  }

  static bool satisfiable(const std::vector<const Condition*>& conditions) {
    std::vector<bj::value> candidates{"\x01", std::int64_t{0}, true};
    const auto add = [&](const bj::value& value) {
      candidates.push_back(value);
      if (value.is_number()) {
        const double number = value.to_number<double>();
        for (const double beside : {-1.0, -0.001, 0.001, 1.0}) candidates.push_back(number + beside);
      }
    };
    std::string prefix, suffix, middle;
    bool lists = false;
    for (const auto* one : conditions) {
      if (const auto* list = one->operand->if_array()) {
        for (const auto& value : *list) add(value);
      } else {
        add(*one->operand);
      }
      if (one->op == Operator::prefix) prefix = one->operand->get_string();
      if (one->op == Operator::suffix) suffix = one->operand->get_string();
      if (one->op == Operator::contains && one->operand->is_string()) middle += one->operand->get_string();
      // Addresses, times and combinations of texts cannot be tried out: they count as satisfiable.
      if (one->op == Operator::cidr || one->time) return true;
      lists =
          lists || one->op == Operator::equals || one->op == Operator::in || one->op == Operator::contains;
    }
    candidates.push_back(bj::value(prefix + middle + suffix));
    const auto fits = [&](const bj::value* value) {
      return std::ranges::all_of(conditions,
                                 [&](const Condition* one) { return one->check(value) == Truth::yes; });
    };
    if (fits(nullptr)) return true;
    if (lists) {  // an attribute that is a list can equal several values at once
      const bj::value all = bj::array(candidates.begin(), candidates.end());
      if (fits(&all)) return true;
    }
    return std::ranges::any_of(candidates, [&](const bj::value& one) { return fits(&one); });
  }

  void pairs() {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      for (std::size_t j = 0; j < entries_.size(); ++j) {
        if (i != j) pair(entries_[i], entries_[j], i < j);
      }
    }
  }

  /// Looks whether `a` makes `b` needless; and, once a pair, whether they conflict.
  void pair(const Entry& a, const Entry& b, bool first) {
    const auto &wide = a.rule(), &narrow = b.rule();
    if (!actions_meet(wide, narrow)) return;
    const auto tier_a = a.policy->tier(), tier_b = b.policy->tier();
    const bool same_effect = wide.effect == narrow.effect;
    const bool decides_first =
        tier_a > tier_b || (tier_a == tier_b && wide.effect == RuleEffect::deny && !same_effect);
    if (decides_first && covers_rule(wide, narrow) && !steps_aside(wide, narrow)) {
      add(LintKind::shadowed, Severity::warning, b.name(), a.name(),
          tier_a > tier_b ? "a higher tier decides wherever it applies"
                          : "a deny rule wins wherever it applies");
    } else if (tier_a == tier_b && same_effect && covers_rule(wide, narrow) &&
               (first || !covers_rule(narrow, wide))) {
      add(LintKind::redundant, Severity::note, b.name(), a.name(), "another rule says the same, or more");
    } else if (first && tier_a == tier_b && !same_effect && any_overlap(wide.subjects, narrow.subjects) &&
               any_overlap(wide.resources, narrow.resources)) {
      const auto& allow = wide.effect == RuleEffect::allow ? a : b;
      const auto& deny = wide.effect == RuleEffect::allow ? b : a;
      if (!covers_rule(deny.rule(), allow.rule()))
        add(LintKind::conflicting, Severity::note, allow.name(), deny.name(), "deny wins where both apply");
    }
  }

  std::vector<Entry> entries_;
  LintReport report_;
};

}  // namespace

Result<LintReport> lint(const std::vector<Policy>& policies) {
  TRY(const auto snapshot, Snapshot::compile(policies));
  std::vector<Entry> entries;
  const auto all = snapshot->all();
  for (const auto& policy : all) {
    for (std::size_t i = 0; i < policy->rules().size(); ++i) entries.push_back({policy.get(), i});
  }
  Linter linter(std::move(entries));
  for (const auto& policy : policies) {
    if (status_of(policy) != Status::active)
      linter.add(LintKind::not_in_force, Severity::note,
                 policy.policy_id ? policy.policy_id->str() : policy.name, {}, "is not in force");
  }
  return linter.run();
}

}  // namespace intra365::policy
