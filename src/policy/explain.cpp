#include "policy/explain.hpp"

#include <algorithm>

namespace intra365::policy {
namespace {

namespace bj = boost::json;

/// What became of one rule in scope.
struct Candidate {
  const CompiledPolicy* policy = nullptr;
  std::size_t index = 0;
  Truth truth = Truth::yes;
  std::string at_fault;      ///< the first condition that is false or an error
  bool only_consent = true;  ///< nothing but conditions on consent keeps it from holding
  std::vector<const Condition*> unmet;
  const Rule& rule() const { return policy->source().rules[index]; }
};

const bj::object& attributes_of(const Question& question) {
  static const bj::object kNothing;
  return question.attributes == nullptr ? kNothing : *question.attributes;
}

/// The attributes that an expression asks for and that nobody has given; "when" where none can be named.
std::vector<std::string> absent(const Expression& when, const bj::object& attributes) {
  std::vector<std::string> paths;
  for (auto& path : when.references()) {
    const auto parsed = AttributePath::parse(path, Pointer());
    if (parsed && parsed->find(attributes) == nullptr) paths.push_back(std::move(path));
  }
  if (paths.empty()) paths.emplace_back("when");
  return paths;
}

Candidate look_at(const CompiledPolicy& policy, std::size_t index, const Question& question,
                  std::vector<std::string>& missing) {
  Candidate candidate{&policy, index, Truth::yes, {}, true, {}};
  const auto note = [&](Truth truth, std::string_view path) {
    if (truth == Truth::yes) return;
    if (truth == Truth::missing && std::ranges::find(missing, path) == missing.end())
      missing.emplace_back(path);
    // A false condition settles the rule, an error only where none is false.
    if (candidate.truth != Truth::no && (candidate.truth == Truth::yes || truth == Truth::no)) {
      candidate.truth = truth;
      candidate.at_fault = path;
    }
  };
  const auto& rule = policy.rules()[index];
  for (const auto& condition : rule.conditions) {
    const auto truth = condition.check(condition.path.find(attributes_of(question)));
    note(truth, condition.path.text());
    if (truth == Truth::yes) continue;
    candidate.unmet.push_back(&condition);
    candidate.only_consent = candidate.only_consent && condition.path.text().starts_with("consent.");
  }
  if (rule.when) {
    const auto truth = rule.when->evaluate(attributes_of(question));
    if (truth == Truth::missing) {
      for (const auto& path : absent(*rule.when, attributes_of(question))) note(truth, path);
    } else {
      note(truth, "when");
    }
    candidate.only_consent = candidate.only_consent && truth == Truth::yes;
  }
  return candidate;
}

std::string why_not(const Candidate& candidate, const Verdict& verdict) {
  switch (candidate.truth) {
    case Truth::no:
      return "condition false: " + candidate.at_fault;
    case Truth::missing:
      if (candidate.rule().effect == RuleEffect::allow) return "attribute missing: " + candidate.at_fault;
      break;
    case Truth::wrong_type:
      if (candidate.rule().effect == RuleEffect::allow)
        return "attribute has the wrong type: " + candidate.at_fault;
      break;
    case Truth::failed:
      if (candidate.rule().effect == RuleEffect::allow) return "the expression cannot be evaluated";
      break;
    case Truth::yes:
      break;
  }
  return candidate.policy->tier() < verdict.tier ? "lower tier" : "deny wins";
}

/// Puts `value` at `consent.…` of the tree.
void put(bj::object& attributes, std::string_view path, const bj::value& value) {
  auto* level = &attributes;
  for (;;) {
    const auto dot = path.find('.');
    if (dot == std::string_view::npos) break;
    auto& next = (*level)[path.substr(0, dot)];
    if (!next.is_object()) next.emplace_object();
    level = &next.get_object();
    path.remove_prefix(dot + 1);
  }
  (*level)[path] = value;
}

/// A value that satisfies the condition, where one can be named.
std::optional<bj::value> satisfying(const Condition& condition) {
  switch (condition.op) {
    case Operator::equals:
    case Operator::lte:
    case Operator::gte:
    case Operator::prefix:
    case Operator::suffix:
    case Operator::contains:
      return *condition.operand;
    case Operator::in:
      return condition.operand->get_array().front();
    case Operator::exists:
      return condition.operand->get_bool() ? std::optional<bj::value>(true) : std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<ConsentNeed> need_of(const Snapshot& snapshot, const Question& question,
                                   const Candidate& candidate, Scratch& scratch) {
  ConsentNeed need{candidate.policy->source().policy_id.value_or(PolicyId()),
                   candidate.policy->version(),
                   static_cast<std::int64_t>(candidate.index),
                   {}};
  auto attributes = attributes_of(question);
  for (const auto* condition : candidate.unmet) {
    const auto value = satisfying(*condition);
    if (!value) return std::nullopt;
    put(attributes, condition->path.text(), *value);
    need.consent.emplace(condition->path.text(), *value);
  }
  auto changed = question;
  changed.attributes = &attributes;
  if (!snapshot.decide(changed, scratch).allowed()) return std::nullopt;
  return need;
}

std::string name_of(const Reason& reason) {
  return reason.policy_id.str() + " v" + std::to_string(reason.version) + " rule " +
         std::to_string(reason.rule);
}

std::string admin_text(const Explanation& explanation) {
  std::string text;
  switch (explanation.cause) {
    case Cause::allowed:
      text = "Allowed by ";
      break;
    case Cause::explicit_deny:
      text = "Denied by ";
      break;
    case Cause::error_deny:
      text = "Denied because a deny rule could not be evaluated: ";
      break;
    case Cause::no_permit:
      return "Denied: no rule allows it.";
    case Cause::error_permit:
      text = "Denied: no rule allows it, and an allow rule could not be evaluated";
      for (const auto& path : explanation.missing) text += "; missing " + path;
      return text + ".";
  }
  for (std::size_t i = 0; i < explanation.determining.size(); ++i) {
    const auto& reason = explanation.determining[i];
    text += (i > 0 ? ", " : "") + name_of(reason) + (reason.error ? " (" + *reason.error + ")" : "");
  }
  return text + ".";
}

std::string user_text(const Explanation& explanation) {
  if (explanation.decision == Decision::allow) return "This use is allowed.";
  if (!explanation.consent_would_allow.empty()) return "This use needs your consent.";
  if (explanation.cause == Cause::error_deny || explanation.cause == Cause::error_permit)
    return "It could not be decided whether this use is allowed, so it is not.";
  return explanation.cause == Cause::explicit_deny ? "This use is not allowed."
                                                   : "Nobody has allowed this use.";
}

}  // namespace

Explanation explain_decision(const Snapshot& snapshot, const Question& question) {
  Scratch scratch;
  const auto answer = snapshot.answer(question, scratch);
  Explanation explanation;
  explanation.decision = answer.verdict.decision;
  explanation.cause = answer.verdict.cause;
  explanation.determining = answer.reasons;

  std::vector<Candidate> candidates;
  snapshot.for_each_in_scope(question, scratch, [&](const CompiledPolicy& policy, std::size_t index) {
    candidates.push_back(look_at(policy, index, question, explanation.missing));
  });
  std::ranges::stable_sort(candidates, std::ranges::greater{},
                           [](const Candidate& one) { return one.policy->tier(); });
  for (const auto& one : candidates) {
    const auto index = static_cast<std::int64_t>(one.index);
    const bool decided = std::ranges::any_of(answer.reasons, [&](const Reason& reason) {
      return reason.rule == index && reason.policy_id.str() == one.policy->id();
    });
    if (decided) continue;
    explanation.overridden.push_back({one.policy->source().policy_id.value_or(PolicyId()),
                                      one.policy->version(), index, one.rule().effect,
                                      why_not(one, answer.verdict)});
    if (!answer.allowed() && one.rule().effect == RuleEffect::allow && one.only_consent &&
        !one.unmet.empty()) {
      if (auto need = need_of(snapshot, question, one, scratch))
        explanation.consent_would_allow.push_back(*std::move(need));
    }
  }
  explanation.reason_admin = answer.reason_admin.value_or(admin_text(explanation));
  explanation.reason_user = answer.reason_user.value_or(user_text(explanation));
  return explanation;
}

}  // namespace intra365::policy
