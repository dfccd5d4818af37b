// The semantics and the templates, as the YAML files beside this test tell them.
#include "policy/suite.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "policy/template.hpp"
#include "policy/yaml.hpp"

namespace intra365::policy {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<fs::path> files_of(const char* folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(INTRA365_SOURCE_DIR) / "src/policy" / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

Result<std::string> no_includes(const std::string&) {
  return fail(errors::bad_policy, "no includes here");
}

class File : public testing::TestWithParam<fs::path> {};

TEST_P(File, holds_in_every_case_and_leaves_no_rule_untried) {
  const auto suite = read_suite(text_of(GetParam()), no_includes);
  ASSERT_TRUE(suite) << suite.error().detail;
  ASSERT_FALSE(suite->cases.empty());
  const auto report = run(*suite);
  ASSERT_TRUE(report) << report.error().detail;
  for (const auto& one : report->cases) {
    for (const auto& difference : one.differences) ADD_FAILURE() << one.name << ": " << difference;
  }
  for (const auto& rule : report->coverage) EXPECT_GT(rule.in_scope, 0u) << rule.rule << " is never in scope";
}

std::string name_of(const testing::TestParamInfo<fs::path>& info) {
  return info.param.stem().string();
}
INSTANTIATE_TEST_SUITE_P(Scenarios, File, testing::ValuesIn(files_of("scenarios")), name_of);
INSTANTIATE_TEST_SUITE_P(Templates, File, testing::ValuesIn(files_of("templates")), name_of);

constexpr std::string_view kWrong = R"(
title: Expects the wrong things
policies:
  - {policyId: p, name: t, type: t, rules: [{effect: allow, subjects: ["mate:x"], resources: ["doc:y"], actions: [read]},
                                            {effect: deny, subjects: ["mate:x"], resources: ["doc:z"], actions: [read]}]}
cases:
  - {name: one, subject: mate:x, action: read, resource: doc:y, expect: {decision: deny, because: [p/1]}}
  - {name: two, subject: mate:x, action: read, resource: doc:y, expect: {decision: allow}}
)";

TEST(Suite, a_wrong_expectation_fails_and_says_what_it_got) {
  const auto suite = read_suite(kWrong, no_includes);
  ASSERT_TRUE(suite) << suite.error().detail;
  const auto report = run(*suite);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->passed, 1u);
  EXPECT_EQ(report->failed, 1u);
  const std::vector<std::string> expected{"decision: expected deny, got allow",
                                          "because: expected [p/1], got [p/0]"};
  EXPECT_EQ(report->cases[0].differences, expected);
  EXPECT_EQ(report->rules, 2u);
  EXPECT_EQ(report->rules_decided, 1u);
}

TEST(Suite, what_it_does_not_know_is_refused_with_its_place) {
  const auto told = [](std::string_view yaml) {
    const auto suite = read_suite(yaml, no_includes);
    return suite ? std::string("accepted") : suite.error().detail;
  };
  EXPECT_NE(told("title: t\npolicies: []\ncases: []\ncolour: red\n").find("colour"), std::string::npos);
  EXPECT_NE(told("title: [\n").find(":"), std::string::npos);
  EXPECT_NE(told("a: 1\na: 2\n").find("2:1: the key 'a' stands twice"), std::string::npos);
  EXPECT_NE(told("policies:\n  - {policyId: p, name: t, type: t, rules: [{effect: maybe, subjects: [], "
                 "resources: [], actions: []}]}\n")
                .find("/policies/0/rules/0/effect"),
            std::string::npos);
  std::string deep = "a: ";
  for (int i = 0; i < 100; ++i) deep += "[";
  EXPECT_NE(told(deep + std::string(100, ']')).find("32 levels"), std::string::npos);
  // Nine levels of nine aliases each would be 387 million nodes.
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const auto before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 8; ++j) bomb += ", " + before;
    bomb += "]\n";
  }
  EXPECT_NE(told(bomb).find("nodes"), std::string::npos);
}

TEST(Suite, includes_bring_the_policies_of_other_files) {
  const auto suite = read_suite("title: t\ninclude: [one.yaml]\ncases: []\n",
                                [](const std::string& path) -> Result<std::string> {
                                  EXPECT_EQ(path, "one.yaml");
                                  return std::string("[{policyId: p, name: t, type: t, rules: []}]");
                                });
  ASSERT_TRUE(suite) << suite.error().detail;
  EXPECT_EQ(suite->policies.size(), 1u);
  const auto endless = read_suite("include: [self]\n", [](const std::string&) -> Result<std::string> {
    return std::string("include: [self]\n");
  });
  EXPECT_FALSE(endless);
}

TEST(Template, slots_take_what_their_type_says_and_nothing_else) {
  const auto document =
      read_yaml(text_of(fs::path(INTRA365_SOURCE_DIR) / "src/policy/templates/health_data.yaml"));
  ASSERT_TRUE(document) << document.error().detail;
  const auto from = read_template(*document);
  ASSERT_TRUE(from) << from.error().detail;
  const boost::json::object good{{"mate", "doctor"}, {"purpose", "care"}, {"countries", {"DE"}}};
  const auto policies = instantiate(*from, good);
  ASSERT_TRUE(policies) << policies.error().detail;
  EXPECT_EQ(policies->front().policy_id->str(), "health-data-doctor");
  EXPECT_EQ(policies->front().rules[0].subjects[0], "mate:doctor");
  EXPECT_TRUE(policies->front().rules[0].conditions.at("user.country").is_array());

  const auto told = [&](std::string_view slot, boost::json::value value) {
    auto values = good;
    values[slot] = std::move(value);
    const auto refused = instantiate(*from, values);
    return refused ? std::string("accepted") : refused.error().detail;
  };
  EXPECT_NE(told("mate", "*").find("/mate: an id"), std::string::npos);
  EXPECT_NE(told("mate", "a/b").find("/mate: an id"), std::string::npos);
  EXPECT_NE(told("countries", {"Germany"}).find("/countries"), std::string::npos);
  EXPECT_NE(told("purpose", 5).find("/purpose"), std::string::npos);
  EXPECT_NE(told("colour", "red").find("/colour: is no slot"), std::string::npos);
  auto lacking = good;
  lacking.erase("mate");
  EXPECT_FALSE(instantiate(*from, lacking));
}

}  // namespace
}  // namespace intra365::policy
