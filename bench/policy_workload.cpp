#include "bench/policy_workload.hpp"

#include <random>

namespace intra365::bench {
namespace {

namespace bj = boost::json;
using policy::Policy;
using policy::RuleEffect;

constexpr std::size_t kQuestions = 1024;
constexpr const char* kCountries[] = {"DE", "FR", "US", "NL", "JP", "BR", "IN", "SE"};
constexpr const char* kPurposes[] = {"analytics", "personalization", "medical-analysis", "support",
                                     "billing"};
constexpr const char* kDevices[] = {"managed", "private", "kiosk"};
constexpr const char* kDepartments[] = {"sales", "care", "legal", "finance", "research"};

struct Generator {
  std::mt19937_64 random;
  std::size_t size;

  std::size_t below(std::size_t end) { return random() % end; }
  template <std::size_t N>
  const char* pick(const char* const (&from)[N]) {
    return from[below(N)];
  }
  static std::string name(const char* prefix, std::size_t number) { return prefix + std::to_string(number); }

  Policy policy(std::size_t number) {
    Policy policy;
    policy.policy_id = PolicyId::trusted(name("p", number));
    policy.name = policy.type = "bench";
    auto& rule = policy.rules.emplace_back();
    rule.effect = RuleEffect::allow;
    const auto kind = number % 100;
    if (number == 0) {
      rule.effect = RuleEffect::deny;
      rule.subjects = rule.resources = rule.actions = {"*"};
      rule.conditions = {{"context.blocked", true}};
    } else if (kind < 60) {
      rule.subjects = {name("mate:m", number)};
      rule.resources = {name("user:*/records-", number % 50)};
      rule.actions = {"read"};
      rule.conditions = {{"consent.granted", true},
                         {"consent.purpose", kPurposes[number % 5]},
                         {"user.country", kCountries[number % 8]}};
    } else if (kind < 80) {
      rule.subjects = {"mate:*"};
      rule.resources = {name("doc:d", number)};
      rule.actions = {"read"};
      rule.conditions = {{"context.device", kDevices[number % 3]}};
    } else if (kind < 99) {
      rule.subjects = {name("user:u", number)};
      rule.resources = {name("doc:d", number) + "/*"};
      rule.actions = {"write"};
      rule.conditions = {{"context.department", kDepartments[number % 5]}};
    } else {
      rule.effect = RuleEffect::deny;
      rule.subjects = {"*"};
      rule.resources = {name("doc:d", number - 30)};
      rule.actions = {"*"};
      rule.conditions = {{"context.hold", true}};
    }
    return policy;
  }

  WorkloadQuestion question() {
    const bool hit = below(10) < 7;
    auto number = below(size);
    const auto kind = number % 100;
    const auto other = hit ? number : below(size);
    WorkloadQuestion question;
    std::size_t country = below(8), purpose = below(5), device = below(3), department = below(5);
    if (number == 0 || kind < 60 || kind == 99) {
      question.subject = name("mate:m", number);
      question.action = "read";
      question.resource = name("user:alice", below(1000)) + name("/records-", other % 50);
      if (hit) country = number % 8, purpose = number % 5;
    } else if (kind < 80) {
      question.subject = name("mate:m", below(size));
      question.action = "read";
      question.resource = name("doc:d", number);
      if (hit) device = number % 3;
    } else {
      question.subject = name("user:u", number);
      question.action = "write";
      question.resource = name("doc:d", other) + "/draft";
      if (hit) department = number % 5;
    }
    question.attributes =
        bj::object{{"context",
                    {{"blocked", below(50) == 0},
                     {"hold", below(50) == 0},
                     {"device", kDevices[device]},
                     {"department", kDepartments[department]}}},
                   {"user", {{"country", kCountries[country]}}},
                   {"consent", {{"granted", below(10) != 0}, {"purpose", kPurposes[purpose]}}}};
    return question;
  }
};

}  // namespace

Workload make_workload(std::size_t size, std::uint64_t seed) {
  Generator generator{std::mt19937_64(seed), size};
  Workload workload;
  workload.policies.reserve(size);
  for (std::size_t i = 0; i < size; ++i) workload.policies.push_back(generator.policy(i));
  for (std::size_t i = 0; i < kQuestions; ++i) workload.questions.push_back(generator.question());
  return workload;
}

Workload make_random_workload(std::uint64_t seed) {
  constexpr const char* kSubjects[] = {"mate:a", "mate:b", "mate:c", "user:a", "user:b"};
  constexpr const char* kKinds[] = {"mate:*", "user:*", "*"};
  constexpr const char* kResources[] = {"doc:1",         "doc:2",   "user:a/mail", "user:b/mail",
                                        "user:a/health", "doc:1/x", "user:a",      "org:o/t/p"};
  constexpr const char* kPatterns[] = {"user:*/mail", "user:*/health", "doc:*",    "doc:1/*",
                                       "*",           "user:*",        "org:o/*/p"};
  constexpr const char* kActions[] = {"read", "write", "call"};
  constexpr const char* kValues[] = {"v", "w", "x"};
  constexpr const char* kPaths[] = {"context.a", "context.b", "user.c", "consent.d"};
  Generator dice{std::mt19937_64(seed), 0};
  Workload workload;
  for (auto policies = 1 + dice.below(60); policies > 0; --policies) {
    auto& policy = workload.policies.emplace_back();
    policy.policy_id = PolicyId::trusted(Generator::name("p", policies));
    policy.name = policy.type = "random";
    for (auto rules = 1 + dice.below(3); rules > 0; --rules) {
      auto& rule = policy.rules.emplace_back();
      rule.effect = dice.below(3) == 0 ? RuleEffect::deny : RuleEffect::allow;
      do rule.subjects.push_back(dice.below(2) == 0 ? dice.pick(kSubjects) : dice.pick(kKinds));
      while (dice.below(4) == 0);
      do rule.resources.push_back(dice.below(2) == 0 ? dice.pick(kResources) : dice.pick(kPatterns));
      while (dice.below(4) == 0);
      do rule.actions.push_back(dice.below(5) == 0 ? "*" : dice.pick(kActions));
      while (dice.below(4) == 0);
      for (const auto* path : kPaths) {
        if (dice.below(2) == 0) continue;
        if (dice.below(3) == 0)
          rule.conditions[path] = {dice.pick(kValues), static_cast<std::int64_t>(dice.below(2))};
        else if (dice.below(3) == 0)
          rule.conditions[path] = dice.below(2) == 0;
        else
          rule.conditions[path] = dice.pick(kValues);
      }
    }
  }
  const auto value = [&]() -> bj::value {
    const auto kind = dice.below(4);
    if (kind == 0) return dice.below(2) == 0;
    if (kind == 1) return static_cast<std::int64_t>(dice.below(2));
    return bj::value(dice.pick(kValues));
  };
  for (std::size_t i = 0; i < kQuestions; ++i) {
    auto& question = workload.questions.emplace_back();
    question.subject = dice.pick(kSubjects);
    question.resource = dice.pick(kResources);
    question.action = dice.pick(kActions);
    question.attributes = bj::object{{"context", {{"a", value()}, {"b", value()}}},
                                     {"user", {{"c", value()}}},
                                     {"consent", {{"d", value()}}}};
  }
  return workload;
}

}  // namespace intra365::bench
