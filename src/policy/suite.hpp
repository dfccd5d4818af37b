// Tests of policies, as their authors write them: policies, questions, expected answers, in one YAML file.
//
//   title: Deny wins inside a tier
//   policies: [ {policyId: p1, …} ]      # or `include: [other.yaml]`, or a template with `slots`
//   cases:
//     - name: what holds
//       subject: mate:x                  # `type:id`, or an object with properties
//       action: read
//       resource: doc:y
//       context: {blocked: true}         # and user, mate, consent; absent means: not known
//       expect: {decision: deny, cause: explicit_deny, because: [p1/0], missing: [user.age], obligations:
//       [mfa]}
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "policy/explain.hpp"

namespace intra365::policy {

/// What a case expects. Only what is written is compared.
struct Expectation {
  Decision decision = Decision::deny;
  std::optional<Cause> cause;
  std::optional<std::vector<std::string>> because;  ///< `policy/rule`, all that decided, in any order
  std::optional<std::vector<std::string>> missing;
  std::optional<std::vector<std::string>> obligations;
  std::optional<std::vector<std::string>> overridden;
  std::optional<std::map<std::string, boost::json::value>> consent_would_allow;
  std::optional<std::string> reason_user;
};
BOOST_DESCRIBE_STRUCT(Expectation, (),
                      (decision, cause, because, missing, obligations, overridden, consent_would_allow,
                       reason_user))

/// A question as authors write it. What stands for user, mate and consent is what the platform would know.
struct Probe {
  std::string name;
  boost::json::value subject, action, resource;
  boost::json::value context, user, mate, consent;
};
BOOST_DESCRIBE_STRUCT(Probe, (), (name, subject, action, resource, context, user, mate, consent))

/// A probe made ready; it owns what its question views.
struct PreparedProbe {
  std::string subject, action, resource;
  boost::json::object attributes;
  Question question() const { return {subject, action, resource, &attributes}; }
};
Result<PreparedProbe> prepare(const Probe& probe);

struct Case : Probe {
  Expectation expect;
};
BOOST_DESCRIBE_STRUCT(Case, (Probe), (expect))

struct Suite {
  std::string title;
  std::vector<Policy> policies;
  std::vector<Case> cases;
};

struct CaseResult {
  std::string name;
  bool passed = false;
  std::vector<std::string> differences;  ///< `decision: expected allow, got deny`
};
BOOST_DESCRIBE_STRUCT(CaseResult, (), (name, passed, differences))

/// How often a rule was tried by the cases: in scope, and deciding.
struct RuleCoverage {
  std::string rule;  ///< `policy/rule`
  std::size_t in_scope = 0, decided = 0;
};
BOOST_DESCRIBE_STRUCT(RuleCoverage, (), (rule, in_scope, decided))

struct SuiteReport {
  std::string title;
  std::vector<CaseResult> cases;
  std::vector<RuleCoverage> coverage;
  std::size_t passed = 0, failed = 0;
  std::size_t rules = 0, rules_decided = 0;  ///< coverage in one line
};
BOOST_DESCRIBE_STRUCT(SuiteReport, (), (title, cases, coverage, passed, failed, rules, rules_decided))

/// Gives the text of a file that a suite includes, by the path written there.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

/// Reads a suite or a template with its cases. Fails with `policy.invalid` and the place of the fault.
Result<Suite> read_suite(std::string_view yaml, const ReadFile& read_file);
/// Policies alone, of a file of one, a list of them, a suite or a template (with its examples).
Result<std::vector<Policy>> read_policies(std::string_view yaml, const ReadFile& read_file);
Result<SuiteReport> run(const Suite& suite);

}  // namespace intra365::policy
