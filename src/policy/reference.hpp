// The semantics of policies, written down the plainest way: every rule, one after the other, on the JSON as
// it stands. It shares no code with the engine but the parsing of times and addresses. Only tests, fuzz
// targets and benchmarks use it, to hold the engine to it.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/condition.hpp"
#include "policy/question.hpp"

namespace intra365::policy::reference {

namespace bj = boost::json;

enum class Truth3 { no, yes, error };

inline std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

inline bool segment_matches(const std::string& pattern, const std::string& segment) {
  if (pattern == "*") return !segment.empty();
  if (pattern.size() > 2 && pattern.ends_with(":*")) {
    const auto type = pattern.substr(0, pattern.size() - 1);
    return segment.size() > type.size() && segment.starts_with(type);
  }
  return pattern == segment;
}

inline bool pattern_matches(const std::string& pattern, std::string_view text) {
  const auto wanted = split(pattern, '/'), given = split(text, '/');
  const bool open = wanted.back() == "*" || (wanted.size() == 1 && wanted[0].ends_with(":*"));
  if (open ? given.size() < wanted.size() : given.size() != wanted.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!segment_matches(wanted[i], given[i])) return false;
  }
  return true;
}

inline std::optional<bj::value> find(const bj::object& attributes, const std::string& path) {
  const auto names = split(path, '.');
  bj::value level = attributes;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!level.is_object()) return std::nullopt;
    std::string rest = names[i];
    for (auto j = i + 1; j < names.size(); ++j) rest += "." + names[j];
    if (i > 0 && level.get_object().contains(rest)) return level.get_object().at(rest);
    if (!level.get_object().contains(names[i])) return std::nullopt;
    level = bj::value(level.get_object().at(names[i]));
  }
  return level;
}

inline long double number(const bj::value& value) {
  return value.is_int64()    ? static_cast<long double>(value.get_int64())
         : value.is_uint64() ? static_cast<long double>(value.get_uint64())
                             : static_cast<long double>(value.get_double());
}

inline bool equal(const bj::value& a, const bj::value& b) {
  if (a.is_number() && b.is_number()) return number(a) == number(b);
  if (a.is_structured() || b.is_structured() || a.kind() != b.kind()) return false;
  return a == b;
}

inline bool equal_or_contains(const bj::value& actual, const bj::value& wanted) {
  if (!actual.is_array()) return equal(actual, wanted);
  for (const auto& one : actual.get_array()) {
    if (equal(one, wanted)) return true;
  }
  return false;
}

inline Truth3 check(std::string_view op, const std::optional<bj::value>& actual, const bj::value& operand) {
  const auto truth = [](bool yes) { return yes ? Truth3::yes : Truth3::no; };
  if (op == "exists") return truth(actual.has_value() == operand.get_bool());
  if (!actual) return Truth3::error;
  if (actual->is_array() && actual->get_array().size() > limits::kAttributeItems) return Truth3::error;
  if (op == "equals") return truth(equal_or_contains(*actual, operand));
  if (op == "notEquals") return truth(!equal_or_contains(*actual, operand));
  if (op == "in" || op == "notIn") {
    bool found = false;
    for (const auto& one : operand.get_array()) found = found || equal_or_contains(*actual, one);
    return truth(found == (op == "in"));
  }
  const std::string text = actual->is_string() ? std::string(actual->get_string()) : std::string();
  if (op == "contains") {
    if (actual->is_array()) return truth(equal_or_contains(*actual, operand));
    if (!actual->is_string() || !operand.is_string()) return Truth3::error;
    return truth(text.find(std::string(operand.get_string())) != std::string::npos);
  }
  if (op == "prefix" || op == "suffix") {
    if (!actual->is_string()) return Truth3::error;
    const std::string part(operand.get_string());
    return truth(op == "prefix" ? text.starts_with(part) : text.ends_with(part));
  }
  if (op == "cidr") {
    const auto address = actual->is_string() ? parse_address(text) : std::nullopt;
    if (!address) return Truth3::error;
    bool inside = false;
    const bj::array blocks = operand.is_array() ? operand.get_array() : bj::array{operand};
    for (const auto& one : blocks)
      inside = inside || AddressBlock::parse(one.get_string(), Pointer())->contains(*address);
    return truth(inside);
  }
  long double order = 0;
  if (operand.is_number()) {
    if (!actual->is_number()) return Truth3::error;
    order = number(*actual) - number(operand);
  } else {
    const auto time = actual->is_string() ? parse_rfc3339(text) : Result<Timestamp>(fail(errors::bad_policy));
    if (!time) return Truth3::error;
    order = static_cast<long double>((*time - *parse_rfc3339(operand.get_string())).count());
  }
  return truth(op == "lt" ? order < 0 : op == "lte" ? order <= 0 : op == "gt" ? order > 0 : order >= 0);
}

inline Truth3 conditions_hold(const Rule& rule, const bj::object& attributes) {
  bool error = false;
  const auto add = [&](Truth3 truth) {
    error = error || truth == Truth3::error;
    return truth != Truth3::no;
  };
  for (const auto& [path, expected] : rule.conditions) {
    const auto actual = find(attributes, path);
    if (expected.is_object()) {
      for (const auto& item : expected.get_object()) {
        if (!add(check(item.key(), actual, item.value()))) return Truth3::no;
      }
    } else if (!add(check(expected.is_array() ? "in" : "equals", actual, expected))) {
      return Truth3::no;
    }
  }
  return error ? Truth3::error : Truth3::yes;
}

struct Outcome {
  bool allowed = false;
  std::vector<std::string> reasons;  ///< `policy#rule`, sorted
};

/// Policies without a status other than active, and without `when`.
inline Outcome decide(const std::vector<Policy>& policies, const Question& question) {
  struct Tier {
    std::vector<std::string> allow, deny;
  };
  std::map<std::pair<bool, std::int64_t>, Tier> tiers;
  const bj::object nothing;
  const auto& attributes = question.attributes == nullptr ? nothing : *question.attributes;
  for (const auto& policy : policies) {
    for (std::size_t i = 0; i < policy.rules.size(); ++i) {
      const auto& rule = policy.rules[i];
      const auto any = [](const std::vector<std::string>& patterns, std::string_view text) {
        return std::ranges::any_of(patterns, [&](const auto& one) { return pattern_matches(one, text); });
      };
      if (!any(rule.subjects, question.subject) || !any(rule.resources, question.resource)) continue;
      if (std::ranges::none_of(rule.actions,
                               [&](const auto& one) { return one == "*" || one == question.action; }))
        continue;
      const auto holds = conditions_hold(rule, attributes);
      if (holds == Truth3::no || (holds == Truth3::error && rule.effect == RuleEffect::allow)) continue;
      const bool guardrail = policy.guardrail.value_or(false);  // one tier, whatever their priorities
      auto& tier = tiers[{guardrail, guardrail ? 0 : policy.priority.value_or(100)}];
      (rule.effect == RuleEffect::allow ? tier.allow : tier.deny)
          .push_back((policy.policy_id ? policy.policy_id->str() : "") + "#" + std::to_string(i));
    }
  }
  Outcome outcome;
  if (tiers.empty()) return outcome;
  const auto& [key, tier] = *tiers.rbegin();
  outcome.allowed = tier.deny.empty();
  outcome.reasons = outcome.allowed ? tier.allow : tier.deny;
  std::ranges::sort(outcome.reasons);
  return outcome;
}

}  // namespace intra365::policy::reference
