// Operations of the policy decision point: rules of a tenant, and the answers they give.
#pragma once
#include <map>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::policy {

using namespace std::chrono_literals;

enum class RuleEffect { allow, deny };
BOOST_DESCRIBE_ENUM(RuleEffect, allow, deny)

/// What an enforcement point must do besides letting through or refusing (AuthZEN obligations profile). One
/// that it cannot do turns an allow into a denial.
struct Obligation {
  std::string id;
  std::string type;               ///< `step-up`, `notification`, `session_termination`, `custom`
  boost::json::value properties;  ///< as its type wants them
};
BOOST_DESCRIBE_STRUCT(Obligation, (), (id, type, properties))

/// One rule: it applies when subject, resource and action each match a pattern, every condition holds and
/// `when` is true. Patterns compare by segment (`/`), `*` stands for one whole segment, or at the end for the
/// rest of it.
struct Rule {
  RuleEffect effect = RuleEffect::deny;
  std::vector<std::string> subjects;   ///< `mate:healthcare-ai`, `user:*`
  std::vector<std::string> resources;  ///< `user:*/health-records`
  std::vector<std::string> actions;
  /// Attribute path -> the value it must equal, a list of which it must be one, or operators (`{"gte": 18}`).
  std::map<std::string, boost::json::value> conditions;
  std::optional<std::string> when;           ///< an expression over the same attributes
  std::vector<Obligation> obligations;       ///< of a decision that this rule has determined
  std::optional<boost::json::value> output;  ///< an object, handed out with that decision
  std::optional<std::string> reason_admin;   ///< why, for who runs the tenant
  std::optional<std::string> reason_user;    ///< why, for the person; says nothing about the policy itself
};
BOOST_DESCRIBE_STRUCT(Rule, (),
                      (effect, subjects, resources, actions, conditions, when, obligations, output,
                       reason_admin, reason_user))

/// The life of a policy. Only `active` is in force; `shadow` is evaluated and recorded beside it.
enum class Status { draft, shadow, active, retired };
BOOST_DESCRIBE_ENUM(Status, draft, shadow, active, retired)

/// Whose policy it is.
enum class PolicyScope { tenant, organisation };
BOOST_DESCRIBE_ENUM(PolicyScope, tenant, organisation)

/// The mission's policy model.
struct Policy {
  std::optional<PolicyId> policy_id;  ///< chosen by the service when absent
  std::string name;
  std::string type;  ///< `data-access`, `mate-access` …
  std::vector<Rule> rules;
  std::optional<std::int64_t> priority;  ///< 100 when absent; higher tiers decide first
  std::optional<bool> active;            ///< true when absent
  std::optional<std::uint64_t> version;  ///< set by the service; on update, the version it must still have
  std::optional<Status> status;          ///< as `active` says when absent
  std::optional<PolicyScope> scope;      ///< `tenant` when absent
  /// A locked guardrail of the organisation: its denials stand above every priority.
  std::optional<bool> guardrail;
  std::optional<std::string> description;
  std::optional<std::string> change_reason;  ///< why it is created or updated; kept with the version
};
BOOST_DESCRIBE_STRUCT(Policy, (),
                      (policy_id, name, type, rules, priority, active, version, status, scope, guardrail,
                       description, change_reason))

struct ChangeReply {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::uint64_t policy_epoch = 0;  ///< of the tenant's whole set
};
BOOST_DESCRIBE_STRUCT(ChangeReply, (), (policy_id, version, policy_epoch))

struct PolicyRequest {
  PolicyId policy_id;
};
BOOST_DESCRIBE_STRUCT(PolicyRequest, (), (policy_id))

struct VersionsRequest {
  PolicyId policy_id;
  std::optional<int> limit;
  std::optional<std::uint64_t> before;  ///< continues behind this version
};
BOOST_DESCRIBE_STRUCT(VersionsRequest, (), (policy_id, limit, before))

/// One version of a policy, and who made it so.
struct PolicyVersion {
  std::uint64_t version = 0;
  std::string change;  ///< `created`, `updated`, `deleted`, `rolled_back`
  std::string changed_by;
  Timestamp changed_at;
  std::optional<std::string> reason;
  Policy policy;
};
BOOST_DESCRIBE_STRUCT(PolicyVersion, (), (version, change, changed_by, changed_at, reason, policy))

struct VersionsReply {
  std::vector<PolicyVersion> versions;  ///< newest first
};
BOOST_DESCRIBE_STRUCT(VersionsReply, (), (versions))

struct RollbackRequest {
  PolicyId policy_id;
  std::uint64_t version = 0;  ///< the one that becomes the newest again
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(RollbackRequest, (), (policy_id, version, reason))

struct ListRequest {
  std::optional<int> limit;
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(ListRequest, (), (limit, cursor))

struct ListReply {
  std::vector<Policy> policies;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ListReply, (), (policies, next_cursor))

/// Subject, action and resource in short form ("mate:x", "read", "doc:y") or as AuthZEN objects.
struct EvaluateRequest {
  boost::json::value subject;
  boost::json::value action;
  boost::json::value resource;
  boost::json::value context;
};
BOOST_DESCRIBE_STRUCT(EvaluateRequest, (), (subject, action, resource, context))

enum class Decision { allow, deny };
BOOST_DESCRIBE_ENUM(Decision, allow, deny)

struct Reason {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::int64_t rule = 0;  ///< index in the policy's rules
  RuleEffect effect = RuleEffect::deny;
  std::optional<std::string> error;  ///< why a condition could not be evaluated
};
BOOST_DESCRIBE_STRUCT(Reason, (), (policy_id, version, rule, effect, error))

/// Why the answer is what it is.
enum class Cause {
  allowed,        ///< an allow rule holds, and no deny rule of its tier
  explicit_deny,  ///< a deny rule holds
  error_deny,     ///< a deny rule could not be evaluated
  no_permit,      ///< no rule applies
  error_permit,   ///< none applies, and an allow rule could not be evaluated
};
BOOST_DESCRIBE_ENUM(Cause, allowed, explicit_deny, error_deny, no_permit, error_permit)

struct EvaluateReply {
  Decision decision = Decision::deny;
  std::vector<Reason> reasons;
  std::optional<boost::json::value> consent;  ///< the consent attributes that were used
  std::string decision_id;
  Cause cause = Cause::no_permit;
  std::vector<Obligation> obligations;      ///< who enforces an allow does all of them, or denies
  std::vector<boost::json::value> outputs;  ///< of the rules that decided
  std::optional<std::string> reason_user;   ///< what may be told to the person
};
BOOST_DESCRIBE_STRUCT(EvaluateReply, (),
                      (decision, reasons, consent, decision_id, cause, obligations, outputs, reason_user))

/// A rule whose scope fits the question, and that did not decide.
struct Overridden {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::int64_t rule = 0;
  RuleEffect effect = RuleEffect::deny;
  std::string why;  ///< `lower tier`, `deny wins`, `condition false: user.country`, `attribute missing: …`
};
BOOST_DESCRIBE_STRUCT(Overridden, (), (policy_id, version, rule, effect, why))

/// What the consent would have to say for the answer to become an allow. It was tried: with exactly this the
/// same policies allow.
struct ConsentNeed {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::int64_t rule = 0;
  std::map<std::string, boost::json::value> consent;  ///< `consent.granted` -> true
};
BOOST_DESCRIBE_STRUCT(ConsentNeed, (), (policy_id, version, rule, consent))

struct Explanation {
  Decision decision = Decision::deny;
  Cause cause = Cause::no_permit;
  std::vector<Reason> determining;
  std::vector<Overridden> overridden;
  std::vector<std::string> missing;  ///< attributes that rules in scope asked for and the request lacks
  std::vector<ConsentNeed> consent_would_allow;
  std::string reason_admin;  ///< names policies, rules and attributes
  std::string reason_user;   ///< names none of them
};
BOOST_DESCRIBE_STRUCT(Explanation, (),
                      (decision, cause, determining, overridden, missing, consent_would_allow, reason_admin,
                       reason_user))

struct SyncRequest {
  std::uint64_t policy_epoch = 0;
};
BOOST_DESCRIBE_STRUCT(SyncRequest, (), (policy_epoch))

/// The tenant's active policies, when its epoch is not the one asked with.
struct SyncReply {
  std::uint64_t policy_epoch = 0;
  bool changed = false;
  std::vector<Policy> policies;
};
BOOST_DESCRIBE_STRUCT(SyncReply, (), (policy_epoch, changed, policies))

/// Pushed on `intra365.guard.policy`: the set has changed, sync.
struct PolicyPush {
  std::uint64_t policy_epoch = 0;
};
BOOST_DESCRIBE_STRUCT(PolicyPush, (), (policy_epoch))

inline constexpr auto create = operation<Policy, ChangeReply>({
    .subject = "intra365.policy.create",
    .http = {Method::post, "/v1/policies"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Adds a policy; every enforcement point of the tenant follows at once.",
    .example =
        R"({"name":"Health records","type":"data-access","rules":[{"effect":"allow","subjects":["mate:healthcare-ai"],"resources":["user:*/health-records"],"actions":["read"],"conditions":{"consent.granted":true}}]})",
});
inline constexpr auto update = operation<Policy, ChangeReply>({
    .subject = "intra365.policy.update",
    .http = {Method::put, "/v1/policies/{policyId}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Replaces a policy; the version before stays in its history.",
    .example = R"({"policyId":"p1","name":"Health records","type":"data-access","rules":[]})",
});
inline constexpr auto delete_ = operation<PolicyRequest, ChangeReply>({
    .subject = "intra365.policy.delete",
    .http = {Method::delete_, "/v1/policies/{policyId}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Takes a policy out of force; its versions stay.",
    .example = R"({"policyId":"p1"})",
});
inline constexpr auto list = operation<ListRequest, ListReply>({
    .subject = "intra365.policy.list",
    .http = {Method::get, "/v1/policies"},
    .access = Access::operator_,
    .summary = "The tenant's policies, page by page.",
    .example = R"({"limit":50})",
});
inline constexpr auto get = operation<PolicyRequest, Policy>({
    .subject = "intra365.policy.get",
    .http = {Method::get, "/v1/policies/{policyId}"},
    .access = Access::operator_,
    .summary = "One policy as it is in force.",
    .example = R"({"policyId":"p1"})",
});
inline constexpr auto versions = operation<VersionsRequest, VersionsReply>({
    .subject = "intra365.policy.versions",
    .http = {Method::get, "/v1/policies/{policyId}/versions"},
    .access = Access::operator_,
    .summary = "Every version a policy had: what it said, who changed it when, and why.",
    .example = R"({"policyId":"p1"})",
});
inline constexpr auto rollback = operation<RollbackRequest, ChangeReply>({
    .subject = "intra365.policy.rollback",
    .http = {Method::post, "/v1/policies/{policyId}/rollback"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Makes an earlier version the newest one, also of a policy that was deleted.",
    .example = R"({"policyId":"p1","version":1,"reason":"too strict"})",
});
inline constexpr auto evaluate = operation<EvaluateRequest, EvaluateReply>({
    .subject = "intra365.policy.evaluate",
    .http = {Method::post, "/v1/policies/evaluate"},
    .access = Access::anyone,
    .deadline = 250ms,
    .summary = "Is this subject allowed this action on this resource, and which rules say so?",
    .example =
        R"({"subject":"mate:assistant","action":"call","resource":"mate:image-analyzer/image-analysis/analyze-image","context":{}})",
});
inline constexpr auto explain = operation<EvaluateRequest, Explanation>({
    .subject = "intra365.policy.explain",
    .http = {Method::post, "/v1/policies/explain"},
    .access = Access::operator_,
    .summary =
        "Why is the answer what it is: rules that decided and that lost, what was missing, what consent "
        "would change it.",
    .example = R"({"subject":"mate:assistant","action":"read","resource":"user:alice/health-records"})",
});
inline constexpr auto sync = operation<SyncRequest, SyncReply>({
    .subject = "intra365.policy.sync",
    .access = Access::anyone,
    .deadline = 500ms,
    .audited = false,
    .summary = "The tenant's policy set for an enforcement point; renews its lease.",
    .example = R"({"policyEpoch":0})",
});

}  // namespace intra365::policy
