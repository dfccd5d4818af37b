#include "policy/lint.hpp"

#include <gtest/gtest.h>

#include <random>

#include "policy/reference.hpp"
#include "policy/suite.hpp"

namespace intra365::policy {
namespace {

/// `kind rule other` of every finding for policies in YAML.
std::vector<std::string> findings(std::string_view yaml) {
  const auto policies = read_policies(yaml, [](const std::string&) { return fail(errors::bad_policy); });
  EXPECT_TRUE(policies) << policies.error().detail;
  const auto report = lint(*policies);
  EXPECT_TRUE(report) << report.error().detail;
  std::vector<std::string> told;
  for (const auto& one : report->findings) {
    const auto tree = json::to_value(one);
    told.push_back(std::string(tree.at("kind").get_string()) + " " + one.rule +
                   (one.other ? " " + *one.other : ""));
  }
  return told;
}

using Told = std::vector<std::string>;

TEST(Lint, a_sound_set_has_no_findings) {
  EXPECT_EQ(findings(R"(
- {policyId: a, name: n, type: t, rules: [{effect: allow, subjects: ["mate:x"], resources: ["doc:*"], actions: [read], conditions: {user.age: {gte: 18, lt: 65}}}]}
- {policyId: b, name: n, type: t, rules: [{effect: allow, subjects: ["mate:y"], resources: ["doc:*"], actions: [read]}]}
)"),
            Told{});
}

TEST(Lint, what_allows_everybody_is_over_broad) {
  EXPECT_EQ(
      findings(
          R"([{policyId: a, name: n, type: t, rules: [{effect: allow, subjects: ["*"], resources: ["*"], actions: ["*"]}]}])"),
      Told{"over_broad a/0"});
  EXPECT_EQ(
      findings(
          R"([{policyId: a, name: n, type: t, rules: [{effect: allow, subjects: ["*"], resources: ["doc:y"], actions: [read]}]}])"),
      Told{"over_broad a/0"});
  EXPECT_EQ(
      findings(
          R"([{policyId: a, name: n, type: t, rules: [{effect: deny, subjects: ["*"], resources: ["*"], actions: ["*"]}]}])"),
      Told{});
}

TEST(Lint, conditions_that_exclude_each_other_never_match) {
  const auto with = [](const std::string& condition) {
    return findings(
        R"([{policyId: a, name: n, type: t, rules: [{effect: deny, subjects: ["mate:x"], resources: ["doc:y"], actions: [read], conditions: {user.v: )" +
        condition + "}}]}]");
  };
  EXPECT_EQ(with("{gt: 10, lt: 5}"), Told{"never_matching a/0"});
  EXPECT_EQ(with("{gt: 5, lt: 10}"), Told{});
  EXPECT_EQ(with("{gt: 5, lt: 5.5}"), Told{});
  EXPECT_EQ(with("{equals: a, notEquals: a}"), Told{"never_matching a/0"});
  EXPECT_EQ(with("{equals: a, notIn: [a, b]}"), Told{"never_matching a/0"});
  EXPECT_EQ(with("{in: [a, b], notEquals: a}"), Told{});
  EXPECT_EQ(with("{exists: false, equals: a}"), Told{"never_matching a/0"});
  EXPECT_EQ(with("{prefix: ab, suffix: yz}"), Told{});
  EXPECT_EQ(with("{prefix: ab, gt: 5}"), Told{"never_matching a/0"});
  EXPECT_EQ(with("{equals: a, contains: b}"), Told{}) << "a list can hold both";
}

TEST(Lint, a_rule_that_another_one_always_decides_is_shadowed) {
  EXPECT_EQ(findings(R"(
- {policyId: high, name: n, type: t, priority: 200, rules: [{effect: deny, subjects: ["mate:*"], resources: ["user:*"], actions: ["*"]}]}
- {policyId: low, name: n, type: t, priority: 100, rules: [{effect: allow, subjects: ["mate:x"], resources: ["user:*/mail"], actions: [read], conditions: {consent.granted: true}}]}
)"),
            Told{"shadowed low/0 high/0"});
  EXPECT_EQ(findings(R"(
- {policyId: high, name: n, type: t, priority: 200, rules: [{effect: deny, subjects: ["mate:*"], resources: ["user:*"], actions: ["*"], conditions: {user.country: XX}}]}
- {policyId: low, name: n, type: t, priority: 100, rules: [{effect: allow, subjects: ["mate:x"], resources: ["user:*/mail"], actions: [read], conditions: {consent.granted: true}}]}
)"),
            Told{})
      << "the higher one has a condition of its own";
  EXPECT_EQ(findings(R"([{policyId: a, name: n, type: t, rules: [
  {effect: allow, subjects: ["mate:x"], resources: ["doc:y"], actions: [read]},
  {effect: deny, subjects: ["mate:*"], resources: ["doc:*"], actions: [read, write]}]}])"),
            Told{"shadowed a/0 a/1"});
}

TEST(Lint, overlapping_allow_and_deny_are_told_and_repetition_too) {
  EXPECT_EQ(findings(R"([{policyId: a, name: n, type: t, rules: [
  {effect: allow, subjects: ["mate:*"], resources: ["doc:y"], actions: [read]},
  {effect: deny, subjects: ["mate:x"], resources: ["doc:*"], actions: [read]}]}])"),
            Told{"conflicting a/0 a/1"});
  EXPECT_EQ(findings(R"([{policyId: a, name: n, type: t, rules: [
  {effect: allow, subjects: ["mate:*"], resources: ["doc:*"], actions: [read]},
  {effect: allow, subjects: ["mate:x"], resources: ["doc:y"], actions: [read]},
  {effect: allow, subjects: ["mate:x"], resources: ["doc:y"], actions: [read]}]}])"),
            (Told{"redundant a/1 a/0", "redundant a/2 a/0", "redundant a/2 a/1"}));
}

TEST(Lint, what_is_not_in_force_is_noted) {
  EXPECT_EQ(findings(R"([{policyId: a, name: n, type: t, status: draft, rules: []}])"),
            Told{"not_in_force a"});
}

TEST(Lint, patterns_cover_and_overlap_exactly_as_they_match) {
  const std::vector<std::string> patterns{"*",     "a:*",   "a:1",     "*/b",   "a:*/b", "a:1/b",  "a:*/*",
                                          "a:1/*", "*/*",   "a:1/*/c", "*/b/*", "a:b:*", "a:b:1",  "a:*/b:*",
                                          "x",     "x/y/z", "x/*/z",   "*/y/z", "a:2",   "a:1/b/c"};
  const std::vector<std::string> texts{"x",       "a:1",     "a:2",   "a:1/b",    "a:2/b", "a:1/c",
                                       "a:1/b/c", "a:1/x/c", "q/b",   "q/b/c",    "a:b:1", "a:b:1/b",
                                       "a:b:2",   "a:1/b:7", "x/y/z", "x/q/z",    "q/y/z", "x/y/z/w",
                                       "a:b",     "q",       "z/q",   "a:9/b:7/t"};
  for (const auto& a : patterns) {
    for (const auto& b : patterns) {
      bool all = true, some = false;
      for (const auto& text : texts) {
        const bool in_a = reference::pattern_matches(a, text), in_b = reference::pattern_matches(b, text);
        all = all && (!in_b || in_a);
        some = some || (in_a && in_b);
      }
      // The texts are a sample: what they refute is false, what one of them shows is true.
      if (covers(a, b)) {
        EXPECT_TRUE(all) << a << " covers " << b;
      }
      if (some) {
        EXPECT_TRUE(overlap(a, b)) << a << " overlaps " << b;
      }
      if (covers(a, b)) {
        EXPECT_TRUE(overlap(a, b)) << a << " " << b;
      }
    }
  }
  EXPECT_TRUE(covers("a:*", "a:1/b/c"));
  EXPECT_FALSE(covers("a:*/b", "a:1/*"));
  EXPECT_FALSE(overlap("a:1", "a:1/*"));
  EXPECT_TRUE(overlap("a:*/b", "*/*"));
}

}  // namespace
}  // namespace intra365::policy
