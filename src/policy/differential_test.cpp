// Random sets of policies and random questions: the engine answers as the plain evaluator does, for the same
// reasons, also behind a series of changes.
#include <gtest/gtest.h>

#include <random>

#include "policy/reference.hpp"
#include "policy/snapshot.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

/// Draws from small vocabularies, so that rules meet questions and each other.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::size_t below(std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_);
  }
  bool chance(int percent) { return static_cast<int>(below(100)) < percent; }
  template <std::size_t N>
  std::string pick(const char* const (&from)[N]) {
    return from[below(N)];
  }

  std::string subject() { return pick({"mate:a", "mate:b", "user:a", "user:b", "svc:x:1"}); }
  std::string resource() {
    return pick({"doc:1", "doc:2", "user:a/health", "user:b/health", "user:a/health/1", "user:a/mail",
                 "a/b/c/d", "a/b", "user:a", "svc:x:1/log", "doc:"});
  }
  std::string action() { return pick({"read", "write", "call"}); }

  bj::value scalar() {
    switch (below(8)) {
      case 0:
        return true;
      case 1:
        return nullptr;
      case 2:
        return static_cast<std::int64_t>(below(3));
      case 3:
        return static_cast<double>(below(3));
      case 4:
        return 1.5;
      case 5:
        return bj::value("US");
      case 6:
        return bj::value(pick({"10.1.2.3", "2026-01-01T00:00:00Z", "DE"}));
      default:
        return bj::value("DE");
    }
  }
  bj::value attribute() {
    if (chance(20)) {
      bj::array list;
      for (auto n = below(4); n > 0; --n) list.push_back(scalar());
      return list;
    }
    if (chance(5)) return bj::object{{"deep", scalar()}};
    return scalar();
  }
  std::string path() {
    return pick({"context.flag", "context.device.os", "user.country", "user.age", "consent.granted",
                 "consent.purpose", "resource.owner", "subject.roles"});
  }

  bj::value operand(std::string_view op) {
    if (op == "in" || op == "notIn") {
      bj::array list{scalar()};
      while (chance(50)) list.push_back(scalar());
      return list;
    }
    if (op == "prefix" || op == "suffix") return bj::value(pick({"D", "E", "10."}));
    if (op == "exists") return chance(50);
    if (op == "cidr") return bj::value(pick({"10.0.0.0/8", "::/0", "10.1.2.3/32"}));
    if (op == "lt" || op == "lte" || op == "gt" || op == "gte")
      return chance(30) ? bj::value("2026-01-01T00:00:00Z") : bj::value(static_cast<std::int64_t>(below(3)));
    return scalar();
  }
  bj::value expected() {
    if (chance(50)) return scalar();
    if (chance(20)) return operand("in");
    bj::object operators;
    do {
      const auto op = pick({"equals", "notEquals", "in", "notIn", "prefix", "suffix", "contains", "cidr",
                            "lt", "lte", "gt", "gte", "exists"});
      operators[op] = operand(op);
    } while (chance(20));
    return operators;
  }

  Rule rule(bool only_deny) {
    Rule rule;
    rule.effect = only_deny || chance(40) ? RuleEffect::deny : RuleEffect::allow;
    do {
      rule.subjects.push_back(chance(50) ? subject() : pick({"mate:*", "user:*", "*", "svc:x:*", "svc:*"}));
    } while (chance(20));
    do {
      rule.resources.push_back(
          chance(40) ? pick({"doc:1", "user:a/health", "a/b/c/d"})
                     : pick({"user:*/health", "user:*", "doc:*", "*", "*/*", "a/*/c/*", "a/*/c/d", "user:*/*",
                             "user:a/*", "*/health", "svc:x:*/log", "a/b/*"}));
    } while (chance(20));
    do {
      rule.actions.push_back(chance(80) ? action() : "*");
    } while (chance(20));
    while (chance(55)) rule.conditions[path()] = expected();
    return rule;
  }
  Policy policy(std::size_t number) {
    Policy policy;
    policy.policy_id = PolicyId::trusted("p" + std::to_string(number));
    policy.name = policy.type = "random";
    policy.priority = static_cast<std::int64_t>(below(3)) * 50;
    if (chance(5)) {
      policy.guardrail = true;
      policy.scope = PolicyScope::organisation;
    }
    for (auto n = 1 + below(3); n > 0; --n) policy.rules.push_back(rule(policy.guardrail.has_value()));
    return policy;
  }
  bj::object attributes() {
    bj::object all;
    for (const auto* root : {"context", "user", "consent", "resource", "subject"}) {
      if (chance(80)) all[root] = bj::object();
    }
    const auto put = [&](const char* root, const char* name, bj::value value) {
      if (all.contains(root) && chance(60)) all[root].get_object()[name] = std::move(value);
    };
    put("context", "flag", attribute());
    if (chance(50))
      put("context", "device", bj::object{{"os", attribute()}});
    else
      put("context", "device.os", attribute());
    put("user", "country", attribute());
    put("user", "age", attribute());
    put("consent", "granted", attribute());
    put("consent", "purpose", attribute());
    put("resource", "owner", attribute());
    put("subject", "roles", attribute());
    return all;
  }

 private:
  std::mt19937_64 random_;
};

void expect_alike(const Snapshot& snapshot, const std::vector<Policy>& policies, Dice& dice, Scratch& scratch,
                  std::uint64_t seed) {
  const auto subject = dice.subject(), action = dice.action(), resource = dice.resource();
  const auto attributes = dice.attributes();
  const Question question{subject, action, resource, dice.chance(95) ? &attributes : nullptr};
  const auto expected = reference::decide(policies, question);
  const auto answer = snapshot.answer(question, scratch);
  std::vector<std::string> reasons;
  for (const auto& one : answer.reasons)
    reasons.push_back(one.policy_id.str() + "#" + std::to_string(one.rule));
  std::ranges::sort(reasons);
  std::string involved;  // what somebody who mends a difference needs to see
  for (const auto& names : {reasons, expected.reasons}) {
    for (const auto& name : names) {
      const auto hash = name.find('#');
      const auto found = std::ranges::find(policies, PolicyId::trusted(name.substr(0, hash)),
                                           [](const Policy& one) { return *one.policy_id; });
      involved += name + " " + json::encode(found->rules[std::stoul(name.substr(hash + 1))]) + "\n";
    }
  }
  const auto told = "seed " + std::to_string(seed) + ": " + subject + " " + action + " " + resource + " " +
                    bj::serialize(attributes) + "\n" + involved;
  ASSERT_EQ(answer.allowed(), expected.allowed) << told;
  ASSERT_EQ(reasons, expected.reasons) << told;
}

TEST(Differential, the_index_answers_as_the_plain_evaluator_does) {
  Scratch scratch;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Dice dice(seed);
    std::vector<Policy> policies;
    // Every tenth set is large enough for dense bitmaps and for dimensions of values.
    const auto size = seed % 10 == 0 ? 1500 : dice.below(40);
    for (std::size_t i = 0; i < size; ++i) policies.push_back(dice.policy(i));
    const auto snapshot = Snapshot::compile(policies);
    ASSERT_TRUE(snapshot) << snapshot.error().detail;
    for (int i = 0; i < (size > 100 ? 30 : 100); ++i) {
      expect_alike(**snapshot, policies, dice, scratch, seed);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Differential, a_set_behind_many_changes_answers_like_one_compiled_afresh) {
  Scratch scratch;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Dice dice(seed * 7919);
    std::map<std::size_t, Policy> current;
    auto snapshot = *Snapshot::compile({});
    for (int step = 0; step < 500; ++step) {
      const auto number = dice.below(200);
      if (dice.chance(25)) {
        current.erase(number);
        snapshot = snapshot->without(PolicyId::trusted("p" + std::to_string(number)));
      } else {
        const auto policy = dice.policy(number);
        current[number] = policy;
        const auto next = snapshot->with(policy);
        ASSERT_TRUE(next) << next.error().detail;
        snapshot = *next;
      }
      if (step % 5 != 0) continue;
      std::vector<Policy> policies;
      for (const auto& [n, policy] : current) policies.push_back(policy);
      ASSERT_EQ(snapshot->policies(), policies.size());
      for (int i = 0; i < 5; ++i) {
        expect_alike(*snapshot, policies, dice, scratch, seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace intra365::policy
