#include "policy/diff.hpp"

#include <gtest/gtest.h>

namespace intra365::policy {
namespace {

Snapshot::Pointer set(std::string_view yaml) {
  const auto policies = read_policies(yaml, [](const std::string&) { return fail(errors::bad_policy); });
  EXPECT_TRUE(policies) << policies.error().detail;
  const auto snapshot = Snapshot::compile(*policies);
  EXPECT_TRUE(snapshot);
  return *snapshot;
}

TEST(Diff, tells_which_decisions_turn_around_and_why) {
  const auto before = set(
      R"([{policyId: p, name: n, type: t, rules: [{effect: allow, subjects: ["mate:*"], resources: ["doc:*"], actions: [read]}]}])");
  const auto after = set(R"(
- {policyId: p, name: n, type: t, rules: [{effect: allow, subjects: ["mate:*"], resources: ["doc:*"], actions: [read]}]}
- {policyId: q, name: n, type: t, rules: [{effect: deny, subjects: ["mate:*"], resources: ["doc:y"], actions: [read], conditions: {context.hold: true}}]}
- {policyId: r, name: n, type: t, rules: [{effect: allow, subjects: ["mate:a"], resources: ["doc:z"], actions: [read]}]}
)");
  const auto recorded = read_recorded(R"(
- {name: held, subject: mate:x, action: read, resource: doc:y, context: {hold: true}, decision: allow}
- {name: not held, subject: mate:x, action: read, resource: doc:y, context: {hold: false}, decision: allow}
- {subject: mate:x, action: read, resource: doc:y, decision: allow}
- {subject: mate:a, action: read, resource: doc:z, decision: deny}
)");
  ASSERT_TRUE(recorded) << recorded.error().detail;
  const auto report = diff(*before, *after, *recorded);
  ASSERT_TRUE(report) << report.error().detail;
  EXPECT_EQ(report->asked, 4u);
  ASSERT_EQ(report->changes.size(), 2u);
  EXPECT_EQ(report->changes[0].name, "held");
  EXPECT_EQ(report->changes[0].after, Decision::deny);
  EXPECT_EQ(report->changes[0].because_after[0].policy_id.str(), "q");
  EXPECT_EQ(report->changes[1].name, "#2");
  EXPECT_EQ(report->changes[1].because_after[0].error, "attribute missing: context.hold");
  EXPECT_EQ(report->other_reasons, 1u);
  EXPECT_EQ(report->not_reproduced, 1u);
}

}  // namespace
}  // namespace intra365::policy
