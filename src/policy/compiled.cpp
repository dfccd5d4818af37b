#include "policy/compiled.hpp"

#include "contract/errors.hpp"

namespace intra365::policy {
namespace {

template <class T, class Check>
Result<void> check_many(const std::vector<T>& items, std::size_t most, const Pointer& at, Check check) {
  if (items.empty() || items.size() > most) return at.refuse("1 to " + std::to_string(most) + " are needed");
  for (std::size_t i = 0; i < items.size(); ++i) CHECK(check(items[i], Pointer(at, i)));
  return {};
}

Result<void> check_text(const std::optional<std::string>& text, const Pointer& at) {
  if (text && text->size() > limits::kTextLength) return at.refuse("at most 2000 characters");
  return {};
}

Result<void> check_obligations(const std::vector<Obligation>& obligations, const Pointer& at) {
  if (obligations.size() > limits::kObligations) return at.refuse("at most 20");
  for (std::size_t i = 0; i < obligations.size(); ++i) {
    const Pointer here(at, i);
    const auto& one = obligations[i];
    if (!is_token(one.id)) return Pointer(here, "id").refuse("must match [A-Za-z0-9_-]{1,64}");
    if (one.type != "step-up" && one.type != "notification" && one.type != "session_termination" &&
        one.type != "custom")
      return Pointer(here, "type").refuse("one of step-up, notification, session_termination, custom");
    if (!one.properties.is_null() && !one.properties.is_object())
      return Pointer(here, "properties").refuse("an object is expected");
    for (std::size_t j = 0; j < i; ++j) {
      if (obligations[j].id == one.id) return Pointer(here, "id").refuse("stands twice");
    }
  }
  return {};
}

Result<void> compile_rule(const Rule& rule, const Pointer& at, CompiledRule& into) {
  const auto patterns = [](std::vector<Pattern>& list) {
    return [&list](const std::string& text, const Pointer& where) -> Result<void> {
      TRY(const auto pattern, Pattern::parse(text, where));
      list.push_back(pattern);
      return {};
    };
  };
  into.subjects.reserve(rule.subjects.size());
  into.resources.reserve(rule.resources.size());
  CHECK(check_many(rule.subjects, limits::kPatterns, Pointer(at, "subjects"), patterns(into.subjects)));
  CHECK(check_many(rule.resources, limits::kPatterns, Pointer(at, "resources"), patterns(into.resources)));
  CHECK(check_many(rule.actions, limits::kPatterns, Pointer(at, "actions"),
                   [](const std::string& text, const Pointer& where) { return check_action(text, where); }));
  const Pointer conditions(at, "conditions");
  if (rule.conditions.size() > limits::kConditions) return conditions.refuse("at most 50");
  into.conditions.reserve(rule.conditions.size());
  for (const auto& [path, expected] : rule.conditions)
    CHECK(compile_conditions(path, expected, Pointer(conditions, path), into.conditions));
  if (rule.when) {
    const Pointer when(at, "when");
    if (rule.when->empty() || rule.when->size() > limits::kWhenLength)
      return when.refuse("an expression has 1 to 8192 characters");
    TRY(into.when, compile_expression(*rule.when, when));
  }
  CHECK(check_obligations(rule.obligations, Pointer(at, "obligations")));
  if (rule.output && !rule.output->is_object()) return Pointer(at, "output").refuse("an object is expected");
  CHECK(check_text(rule.reason_admin, Pointer(at, "reasonAdmin")));
  return check_text(rule.reason_user, Pointer(at, "reasonUser"));
}

Result<void> check_head(const Policy& policy) {
  const Pointer root;
  if (policy.name.empty() || policy.name.size() > 200)
    return Pointer(root, "name").refuse("1 to 200 characters");
  if (policy.type.empty() || policy.type.size() > 64)
    return Pointer(root, "type").refuse("1 to 64 characters");
  if (policy.rules.size() > limits::kRules) return Pointer(root, "rules").refuse("at most 200");
  const auto priority = policy.priority.value_or(100);
  if (priority < 0 || priority > limits::kPriority) return Pointer(root, "priority").refuse("0 to 1000000");
  if (policy.status && policy.active && *policy.active != (*policy.status == Status::active))
    return Pointer(root, "active").refuse("contradicts the status");
  CHECK(check_text(policy.description, Pointer(root, "description")));
  CHECK(check_text(policy.change_reason, Pointer(root, "changeReason")));
  if (!policy.guardrail.value_or(false)) return {};
  if (policy.scope.value_or(PolicyScope::tenant) != PolicyScope::organisation)
    return Pointer(root, "guardrail").refuse("only a policy of the organisation can be a guardrail");
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    if (policy.rules[i].effect == RuleEffect::allow) {
      const Pointer rules(root, "rules"), rule(rules, i);
      return Pointer(rule, "effect")
          .refuse("a guardrail only denies; what is allowed is for the tiers below");
    }
  }
  return {};
}

/// The reader names a field as `rules[2].effect`; a pointer says `/rules/2/effect`.
std::string pointer_of(std::string_view path) {
  std::string pointer = "/";
  for (const char c : path) {
    if (c == '.' || c == '[')
      pointer += pointer.size() > 1 ? "/" : "";
    else if (c != ']')
      pointer += c;
  }
  return pointer;
}

Failure with_pointer(const Error& error, const Pointer& at) {
  const auto open = error.detail.find('\''), close = error.detail.find('\'', open + 1);
  if (close == std::string::npos) return at.refuse(error.detail);
  const auto path = error.detail.substr(open + 1, close - open - 1);
  auto rest = error.detail.substr(close + 1);
  rest.erase(0, rest.find_first_not_of(' '));
  return fail(errors::bad_policy, at.text() + pointer_of(path) + ": " + rest);
}

}  // namespace

Status status_of(const Policy& policy) {
  return policy.status.value_or(policy.active.value_or(true) ? Status::active : Status::retired);
}

Status CompiledPolicy::status() const {
  return status_of(source_);
}

std::uint64_t CompiledPolicy::tier() const {
  return source_.guardrail.value_or(false) ? kGuardrailTier
                                           : static_cast<std::uint64_t>(source_.priority.value_or(100));
}

Result<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::compile(Policy policy) {
  auto compiled = std::make_shared<CompiledPolicy>(std::move(policy));
  const auto& source = compiled->source_;
  CHECK(check_head(source));
  compiled->rules_.resize(source.rules.size());
  const Pointer root, rules(root, "rules");
  for (std::size_t i = 0; i < source.rules.size(); ++i)
    CHECK(compile_rule(source.rules[i], Pointer(rules, i), compiled->rules_[i]));
  return compiled;
}

Result<void> validate(const Policy& policy) {
  CHECK(CompiledPolicy::compile(policy));
  return {};
}

Result<Policy> read_policy(std::string_view text) {
  if (text.size() > limits::kDocumentBytes) return Pointer().refuse("longer than 1 MiB");
  const auto value = json::parse(text);
  if (!value) return Pointer().refuse(value.error().detail);
  return read_policy(*value);
}

Result<Policy> read_policy(const boost::json::value& value, const Pointer& at) {
  auto policy = json::from_value<Policy>(value);
  if (!policy) return with_pointer(policy.error(), at);
  return policy;
}

}  // namespace intra365::policy
