// The rules of one tenant, compiled for evaluation, and the decision they give. Pure: no I/O, no clock.
//
// Semantics: nothing is allowed unless a rule allows it. Tiers of higher priority decide first; inside a
// tier deny wins. A condition that cannot be evaluated (attribute missing) makes an allow rule not apply and
// a deny rule apply: an error never opens a door.
#pragma once
#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "contract/operations/policy.hpp"

namespace intra365::guard {

namespace errors_policy {
inline constexpr ErrorCode bad_policy{ErrorKind::invalid, "policy.invalid",
                                      "The policy is not well-formed; the message says where."};
}  // namespace errors_policy

/// The question. Attribute paths in conditions begin with one of: subject, user, mate, resource, action,
/// consent, context.
struct PolicyRequest {
  std::string_view subject;                         ///< `mate:assistant`
  std::string_view action;                          ///< `call`
  std::string_view resource;                        ///< `mate:image-analyzer/image-analysis/analyze-image`
  const boost::json::object* attributes = nullptr;  ///< `{"context":{…},"user":{…},"consent":{…},…}`
};

struct PolicyDecision {
  policy::Decision decision = policy::Decision::deny;
  std::vector<policy::Reason> reasons;  ///< the rules that decided; empty: no rule applied
  bool allowed() const { return decision == policy::Decision::allow; }
};

/// Immutable once built; share it by pointer and swap it whole.
class PolicySet {
 public:
  /// Compiles; inactive policies are left out. Fails with `policy.invalid`, naming policy and field.
  static Result<std::shared_ptr<const PolicySet>> compile(const std::vector<policy::Policy>& policies);

  PolicyDecision evaluate(const PolicyRequest& request) const;
  std::size_t rules() const { return rules_.size(); }

 private:
  struct Pattern {
    std::vector<std::string> segments;
    bool open_end = false;  ///< ends in `*`: matches the rest, one segment or more
    bool matches(std::string_view text) const;
  };
  struct Condition {
    std::vector<std::string> path;
    boost::json::value expected;
  };
  struct CompiledRule {
    std::int64_t priority = 0;
    policy::RuleEffect effect = policy::RuleEffect::deny;
    std::vector<Pattern> subjects, resources;
    std::vector<std::string> actions;
    std::vector<Condition> conditions;
    PolicyId policy_id;
    std::uint64_t version = 0;
    std::int64_t index = 0;
  };
  enum class Truth { yes, no, error };
  static Result<Pattern> compile_pattern(std::string_view text, std::string_view where);
  static Result<CompiledRule> compile_rule(const policy::Policy& policy, std::size_t index);
  static Truth check(const Condition& condition, const PolicyRequest& request, std::string& error);

  std::vector<CompiledRule> rules_;  ///< by priority, highest first
};

/// Reads the short form ("mate:x") or an AuthZEN object ({"type","id","properties"}) of subject or resource.
struct Entity {
  std::string text;                ///< `type:id`
  boost::json::object properties;  ///< with `type` and `id`
};
Result<Entity> read_entity(const boost::json::value& value, std::string_view field);
/// `"read"` or {"name":"read"}.
Result<std::string> read_action(const boost::json::value& value);
/// The attribute tree of an evaluate request: context as sent, subject, resource, and the subject again
/// under its own type (`user`, `mate`).
Result<boost::json::object> attributes_of(const policy::EvaluateRequest& request, const Entity& subject,
                                          const Entity& resource);

/// Checked at publication: names, patterns, conditions, and their numbers are within limits.
Result<void> validate(const policy::Policy& policy);

}  // namespace intra365::guard
