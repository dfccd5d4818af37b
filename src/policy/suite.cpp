#include "policy/suite.hpp"

#include <algorithm>

#include "json/json.hpp"
#include "policy/request.hpp"
#include "policy/template.hpp"
#include "policy/yaml.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

constexpr std::size_t kIncludes = 50, kCases = 10'000;
constexpr int kIncludeDepth = 4;

struct SuiteDocument {
  std::string title;
  std::vector<std::string> include;
  std::vector<bj::value> policies;
  std::vector<Case> cases;
};
BOOST_DESCRIBE_STRUCT(SuiteDocument, (), (title, include, policies, cases))

Result<std::vector<Policy>> policies_of(const bj::value& document, const ReadFile& read_file, int depth);

Result<std::vector<Policy>> list_of(const bj::array& list, const Pointer& at) {
  std::vector<Policy> policies;
  for (std::size_t i = 0; i < list.size(); ++i) {
    TRY(auto policy, read_policy(list[i], Pointer(at, i)));
    policies.push_back(std::move(policy));
  }
  return policies;
}

Result<std::vector<Policy>> included(const bj::array& paths, const ReadFile& read_file, int depth) {
  if (depth >= kIncludeDepth || paths.size() > kIncludes)
    return fail(errors::bad_policy, "/include: at most 50 files, four levels deep");
  std::vector<Policy> all;
  for (const auto& path : paths) {
    if (!path.is_string()) return fail(errors::bad_policy, "/include: paths are expected");
    const std::string name(path.get_string());
    TRY(const auto text, read_file(name));
    TRY(const auto document, read_yaml(text));
    auto policies = policies_of(document, read_file, depth + 1);
    if (!policies) return fail(errors::bad_policy, name + ": " + policies.error().detail);
    std::ranges::move(*policies, std::back_inserter(all));
  }
  return all;
}

Result<std::vector<Policy>> policies_of(const bj::value& document, const ReadFile& read_file, int depth) {
  const Pointer root;
  if (const auto* list = document.if_array()) return list_of(*list, root);
  const auto* object = document.if_object();
  if (object == nullptr) return root.refuse("a policy, a list of them, or a suite is expected");
  if (object->contains("rules")) {
    TRY(auto policy, read_policy(document));
    return std::vector<Policy>{std::move(policy)};
  }
  if (object->contains("slots")) {
    TRY(const auto from, read_template(document));
    return instantiate(from, examples(from.slots));
  }
  std::vector<Policy> all;
  if (const auto* paths = object->if_contains("include"); paths != nullptr && paths->is_array()) {
    TRY(all, included(paths->get_array(), read_file, depth));
  }
  if (const auto* list = object->if_contains("policies"); list != nullptr && list->is_array()) {
    TRY(auto own, list_of(list->get_array(), Pointer(root, "policies")));
    std::ranges::move(own, std::back_inserter(all));
  }
  return all;
}

std::string rule_name(const PolicyId& id, std::int64_t rule) {
  return id.str() + "/" + std::to_string(rule);
}

std::string joined(std::vector<std::string> items) {
  std::ranges::sort(items);
  std::string text = "[";
  for (const auto& one : items) text += (text.size() > 1 ? ", " : "") + one;
  return text + "]";
}

class Comparison {
 public:
  void compare(std::string_view what, const std::string& expected, const std::string& got) {
    if (expected != got) differences.push_back(std::string(what) + ": expected " + expected + ", got " + got);
  }
  void compare(std::string_view what, const std::optional<std::vector<std::string>>& expected,
               const std::vector<std::string>& got) {
    if (expected) compare(what, joined(*expected), joined(got));
  }
  std::vector<std::string> differences;
};

template <class T>
std::string word(T value) {
  auto text = json::to_value(std::vector<T>{value});
  return std::string(text.get_array()[0].get_string());
}

std::vector<std::string> compare(const Expectation& expect, const Answer& answer,
                                 const Explanation& explanation) {
  Comparison comparison;
  comparison.compare("decision", word(expect.decision), word(answer.verdict.decision));
  if (expect.cause) comparison.compare("cause", word(*expect.cause), word(answer.verdict.cause));
  std::vector<std::string> because, obligations, overridden;
  for (const auto& one : answer.reasons) because.push_back(rule_name(one.policy_id, one.rule));
  for (const auto& one : answer.obligations) obligations.push_back(one.id);
  for (const auto& one : explanation.overridden)
    overridden.push_back(rule_name(one.policy_id, one.rule) + " " + one.why);
  comparison.compare("because", expect.because, because);
  comparison.compare("obligations", expect.obligations, obligations);
  comparison.compare("missing", expect.missing, explanation.missing);
  comparison.compare("overridden", expect.overridden, overridden);
  if (expect.consent_would_allow) {
    const auto needed = [](const std::map<std::string, bj::value>& consent) {
      return bj::serialize(json::to_value(ConsentNeed{{}, 0, 0, consent}).at("consent"));
    };
    comparison.compare("consentWouldAllow", needed(*expect.consent_would_allow),
                       explanation.consent_would_allow.empty()
                           ? "{}"
                           : needed(explanation.consent_would_allow.front().consent));
  }
  if (expect.reason_user) comparison.compare("reasonUser", *expect.reason_user, explanation.reason_user);
  return std::move(comparison.differences);
}

}  // namespace

Result<std::vector<Policy>> read_policies(std::string_view yaml, const ReadFile& read_file) {
  TRY(const auto document, read_yaml(yaml));
  return policies_of(document, read_file, 0);
}

Result<Suite> read_suite(std::string_view yaml, const ReadFile& read_file) {
  TRY(const auto document, read_yaml(yaml));
  TRY(auto policies, policies_of(document, read_file, 0));
  const bool is_template = document.is_object() && document.get_object().contains("slots");
  auto parsed =
      json::from_value<SuiteDocument>(document, is_template ? json::Unknown::ignore : json::Unknown::refuse);
  if (!parsed) return fail(errors::bad_policy, parsed.error().detail);
  if (parsed->cases.size() > kCases) return fail(errors::bad_policy, "/cases: at most 10000");
  return Suite{std::move(parsed->title), std::move(policies), std::move(parsed->cases)};
}

Result<PreparedProbe> prepare(const Probe& probe) {
  const auto named = [&](const Error& error) {
    return fail(errors::bad_policy, "'" + probe.name + "': " + error.detail);
  };
  const auto subject = read_entity(probe.subject, "subject"),
             resource = read_entity(probe.resource, "resource");
  const auto action = read_action(probe.action);
  if (!subject) return named(subject.error());
  if (!resource) return named(resource.error());
  if (!action) return named(action.error());
  EvaluateRequest request;
  request.action = probe.action;
  request.context = probe.context;
  auto attributes = attributes_of(request, *subject, *resource);
  if (!attributes) return named(attributes.error());
  for (const auto& [root, value] :
       {std::pair{"user", &probe.user}, {"mate", &probe.mate}, {"consent", &probe.consent}}) {
    if (value->is_null()) continue;
    if (!value->is_object()) return fail(errors::bad_policy, std::string(root) + ": an object is expected");
    (*attributes)[root] = *value;
  }
  return PreparedProbe{subject->text, *action, resource->text, *std::move(attributes)};
}

Result<SuiteReport> run(const Suite& suite) {
  TRY(const auto snapshot, Snapshot::compile(suite.policies));
  SuiteReport report;
  report.title = suite.title;
  std::map<std::string, RuleCoverage> coverage;
  for (const auto& policy : snapshot->all()) {
    for (std::size_t i = 0; i < policy->rules().size(); ++i) {
      const auto name = std::string(policy->id()) + "/" + std::to_string(i);
      coverage[name].rule = name;
    }
  }
  Scratch scratch;
  for (const auto& one : suite.cases) {
    TRY(const auto prepared, prepare(one));
    const auto question = prepared.question();
    const auto answer = snapshot->answer(question, scratch);
    for (const auto& reason : answer.reasons) ++coverage[rule_name(reason.policy_id, reason.rule)].decided;
    snapshot->for_each_in_scope(question, scratch, [&](const CompiledPolicy& policy, std::size_t index) {
      ++coverage[std::string(policy.id()) + "/" + std::to_string(index)].in_scope;
    });
    auto differences = compare(one.expect, answer, explain_decision(*snapshot, question));
    const bool passed = differences.empty();
    ++(passed ? report.passed : report.failed);
    report.cases.push_back({one.name, passed, std::move(differences)});
  }
  for (auto& [name, one] : coverage) {
    ++report.rules;
    report.rules_decided += one.decided > 0;
    report.coverage.push_back(std::move(one));
  }
  return report;
}

}  // namespace intra365::policy
