#include "guard/policy_set.hpp"

#include <algorithm>

#include "contract/errors.hpp"

namespace intra365::guard {
namespace {

using errors_policy::bad_policy;
namespace bj = boost::json;

constexpr std::size_t kMaxRules = 200, kMaxPatterns = 200, kMaxConditions = 50, kMaxPatternLength = 512,
                      kMaxSegments = 16;
constexpr std::string_view kRoots[] = {"subject", "user", "mate", "resource", "action", "consent", "context"};

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  for (;;) {
    const auto at = text.find(by);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// `*` matches any whole segment; `mate:*` any id of that type; everything else itself only.
bool segment_matches(std::string_view pattern, std::string_view segment) {
  if (pattern == "*") return !segment.empty();
  if (pattern.ends_with(":*"))
    return segment.size() > pattern.size() - 1 && segment.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == segment;
}

const bj::value* find_attribute(const bj::object& attributes, const std::vector<std::string>& path) {
  const bj::object* level = &attributes;
  for (std::size_t i = 0; i < path.size(); ++i) {
    // An attribute name may itself hold dots ("user.country" sent as one key): the longest match wins.
    if (i > 0) {
      std::string rest = path[i];
      for (auto j = i + 1; j < path.size(); ++j) rest += "." + path[j];
      if (const auto* whole = level->if_contains(rest)) return whole;
    }
    const auto* found = level->if_contains(path[i]);
    if (found == nullptr) return nullptr;
    if (i + 1 == path.size()) return found;
    level = found->if_object();
    if (level == nullptr) return nullptr;
  }
  return nullptr;
}

/// An expected list means "one of"; an actual list means "contains".
bool holds(const bj::value& actual, const bj::value& expected) {
  if (const auto* any_of = expected.if_array()) {
    return std::ranges::any_of(*any_of, [&](const bj::value& one) { return holds(actual, one); });
  }
  if (const auto* many = actual.if_array()) return std::ranges::find(*many, expected) != many->end();
  return actual == expected;
}

}  // namespace

bool PolicySet::Pattern::matches(std::string_view text) const {
  std::size_t at = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (at > text.size()) return false;
    const bool last = i + 1 == segments.size();
    const auto end = text.find('/', at);
    if (last && open_end)
      return segment_matches(segments[i], text.substr(at, end == std::string_view::npos ? end : end - at));
    if (!segment_matches(segments[i], text.substr(at, end == std::string_view::npos ? end : end - at)))
      return false;
    if (end == std::string_view::npos) return last;
    at = end + 1;
  }
  return false;
}

Result<PolicySet::Pattern> PolicySet::compile_pattern(std::string_view text, std::string_view where) {
  const auto refuse = [&](std::string_view why) {
    return fail(bad_policy, std::string(where) + ": " + std::string(why));
  };
  if (text.empty() || text.size() > kMaxPatternLength) return refuse("a pattern has 1 to 512 characters");
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return refuse("a pattern is printable ASCII without spaces");
  Pattern pattern{split(text, '/'), false};
  if (pattern.segments.size() > kMaxSegments) return refuse("a pattern has at most 16 segments");
  for (const auto& segment : pattern.segments) {
    if (segment.empty()) return refuse("a segment is empty");
    const auto star = segment.find('*');
    const bool whole = segment == "*" || (segment.ends_with(":*") && star == segment.size() - 1);
    if (star != std::string::npos && !whole)
      return refuse("'*' stands for a whole segment or a whole id, not for a part");
  }
  pattern.open_end = pattern.segments.back() == "*" || pattern.segments.size() == 1;
  // A single exact segment is not open: `doc:y` must not match `doc:y/secret`.
  if (pattern.segments.size() == 1 && !pattern.segments[0].ends_with("*")) pattern.open_end = false;
  return pattern;
}

Result<PolicySet::CompiledRule> PolicySet::compile_rule(const policy::Policy& policy, std::size_t index) {
  const auto& rule = policy.rules[index];
  const auto at = "rules[" + std::to_string(index) + "]";
  CompiledRule compiled{policy.priority.value_or(100),
                        rule.effect,
                        {},
                        {},
                        rule.actions,
                        {},
                        policy.policy_id.value_or(PolicyId()),
                        policy.version.value_or(1),
                        static_cast<std::int64_t>(index)};
  const auto patterns = [&](const std::vector<std::string>& texts, std::vector<Pattern>& into,
                            std::string_view field) -> Result<void> {
    if (texts.empty() || texts.size() > kMaxPatterns)
      return fail(bad_policy, at + "." + std::string(field) + ": 1 to 200 patterns are needed");
    for (std::size_t i = 0; i < texts.size(); ++i) {
      TRY(auto pattern,
          compile_pattern(texts[i], at + "." + std::string(field) + "[" + std::to_string(i) + "]"));
      into.push_back(std::move(pattern));
    }
    return {};
  };
  CHECK(patterns(rule.subjects, compiled.subjects, "subjects"));
  CHECK(patterns(rule.resources, compiled.resources, "resources"));
  if (rule.actions.empty() || rule.actions.size() > kMaxPatterns)
    return fail(bad_policy, at + ".actions: 1 to 200 actions are needed");
  for (const auto& action : rule.actions) {
    if (action.empty() || action.size() > 128 || (action != "*" && !is_dotted_name(action)))
      return fail(bad_policy, at + ".actions: '" + action.substr(0, 64) + "' is not an action name or '*'");
  }
  if (rule.conditions.size() > kMaxConditions) return fail(bad_policy, at + ".conditions: at most 50");
  for (const auto& [path, expected] : rule.conditions) {
    auto parts = split(path, '.');
    if (parts.size() < 2 || parts.size() > 8 || std::ranges::find(kRoots, parts[0]) == std::end(kRoots) ||
        std::ranges::find(parts, "") != parts.end()) {
      return fail(bad_policy,
                  at + ".conditions: '" + path.substr(0, 64) +
                      "' must be a path below subject, user, mate, resource, action, consent or context");
    }
    if (expected.is_object())
      return fail(bad_policy,
                  at + ".conditions." + path.substr(0, 64) + ": a value or a list of values is expected");
    compiled.conditions.push_back({std::move(parts), expected});
  }
  return compiled;
}

Result<std::shared_ptr<const PolicySet>> PolicySet::compile(const std::vector<policy::Policy>& policies) {
  auto set = std::make_shared<PolicySet>();
  for (const auto& policy : policies) {
    if (!policy.active.value_or(true)) continue;
    for (std::size_t i = 0; i < policy.rules.size(); ++i) {
      TRY(auto rule, compile_rule(policy, i));
      set->rules_.push_back(std::move(rule));
    }
  }
  std::ranges::stable_sort(set->rules_, std::ranges::greater{}, &CompiledRule::priority);
  return set;
}

PolicySet::Truth PolicySet::check(const Condition& condition, const PolicyRequest& request,
                                  std::string& error) {
  const auto* actual =
      request.attributes == nullptr ? nullptr : find_attribute(*request.attributes, condition.path);
  if (actual == nullptr) {
    error = "attribute missing: " + condition.path.front();
    for (std::size_t i = 1; i < condition.path.size(); ++i) error += "." + condition.path[i];
    return Truth::error;
  }
  return holds(*actual, condition.expected) ? Truth::yes : Truth::no;
}

PolicyDecision PolicySet::evaluate(const PolicyRequest& request) const {
  PolicyDecision allowed, denied;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& rule = rules_[i];
    const bool new_tier = i > 0 && rule.priority != rules_[i - 1].priority;
    if (new_tier && !(allowed.reasons.empty() && denied.reasons.empty())) break;

    const auto matches = [](std::string_view text) {
      return [text](const Pattern& pattern) { return pattern.matches(text); };
    };
    if (std::ranges::none_of(rule.actions,
                             [&](const auto& action) { return action == "*" || action == request.action; }))
      continue;
    if (std::ranges::none_of(rule.subjects, matches(request.subject))) continue;
    if (std::ranges::none_of(rule.resources, matches(request.resource))) continue;

    // A false condition settles the rule even where another one cannot be evaluated.
    bool fails = false;
    std::string error;
    for (const auto& condition : rule.conditions)
      fails = fails || check(condition, request, error) == Truth::no;
    if (fails) continue;
    const bool unknown = !error.empty();
    policy::Reason reason{rule.policy_id, rule.version, rule.index, rule.effect,
                          unknown ? std::optional(error) : std::nullopt};
    if (rule.effect == policy::RuleEffect::deny)
      denied.reasons.push_back(std::move(reason));
    else if (!unknown)
      allowed.reasons.push_back(std::move(reason));
  }
  if (!denied.reasons.empty() || allowed.reasons.empty()) return denied;
  allowed.decision = policy::Decision::allow;
  return allowed;
}

Result<Entity> read_entity(const bj::value& value, std::string_view field) {
  const auto refuse = [&](std::string_view why) {
    return fail(errors::bad_value, std::string(field) + ": " + std::string(why));
  };
  if (const auto* text = value.if_string()) {
    const std::string_view view(*text);
    const auto colon = view.find(':');
    if (view.size() > 512 || colon == 0 || colon == std::string_view::npos || colon + 1 == view.size())
      return refuse("expected 'type:id'");
    return Entity{std::string(view), {{"type", view.substr(0, colon)}, {"id", view.substr(colon + 1)}}};
  }
  const auto* object = value.if_object();
  if (object == nullptr) return refuse("expected 'type:id' or an object with type and id");
  const auto* type = object->if_contains("type");
  const auto* id = object->if_contains("id");
  if (type == nullptr || id == nullptr || !type->is_string() || !id->is_string())
    return refuse("type and id must be strings");
  Entity entity{std::string(type->get_string()) + ":" + std::string(id->get_string()), {}};
  if (entity.text.size() > 512) return refuse("longer than 512 characters");
  if (const auto* properties = object->if_contains("properties")) {
    if (!properties->is_object()) return refuse("properties must be an object");
    entity.properties = properties->get_object();
  }
  entity.properties["type"] = *type;
  entity.properties["id"] = *id;
  return entity;
}

Result<std::string> read_action(const bj::value& value) {
  if (const auto* text = value.if_string(); text != nullptr && !text->empty() && text->size() <= 128)
    return std::string(*text);
  if (const auto* object = value.if_object()) {
    const auto* name = object->if_contains("name");
    if (name != nullptr && name->is_string() && !name->get_string().empty() &&
        name->get_string().size() <= 128)
      return std::string(name->get_string());
  }
  return fail(errors::bad_value, "action: expected a name or an object with a name");
}

Result<bj::object> attributes_of(const policy::EvaluateRequest& request, const Entity& subject,
                                 const Entity& resource) {
  bj::object attributes;
  if (request.context.is_object()) {
    attributes["context"] = request.context;
    // Facts about the person and the Mate may be handed in; consent never: only the consent service knows it.
    for (const auto* root : {"user", "mate"}) {
      if (const auto* given = request.context.get_object().if_contains(root)) attributes[root] = *given;
    }
  } else if (request.context.is_null()) {
    attributes["context"] = bj::object{};
  } else {
    return fail(errors::bad_value, "context: expected an object");
  }
  attributes["subject"] = subject.properties;
  attributes["resource"] = resource.properties;
  const auto& type = subject.properties.at("type").get_string();
  if ((type == "user" || type == "mate") && !attributes.contains(type)) attributes[type] = subject.properties;
  return attributes;
}

Result<void> validate(const policy::Policy& policy) {
  if (policy.name.empty() || policy.name.size() > 200) return fail(bad_policy, "name: 1 to 200 characters");
  if (policy.type.empty() || policy.type.size() > 64) return fail(bad_policy, "type: 1 to 64 characters");
  if (policy.rules.size() > kMaxRules) return fail(bad_policy, "rules: at most 200");
  if (const auto priority = policy.priority.value_or(100); priority < 0 || priority > 1'000'000)
    return fail(bad_policy, "priority: 0 to 1000000");
  auto active = policy;
  active.active = true;
  CHECK(PolicySet::compile({active}));
  return {};
}

}  // namespace intra365::guard
