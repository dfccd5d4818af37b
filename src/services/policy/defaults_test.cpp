#include "services/policy/defaults.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "policy/lint.hpp"
#include "policy/suite.hpp"

namespace intra365::services::policy {
namespace {

Result<std::string> no_includes(const std::string&) {
  return fail(intra365::errors::bad_policy);
}

TEST(Defaults, hold_in_their_own_cases_and_have_nothing_to_lint) {
  const auto folder = std::filesystem::path(INTRA365_SOURCE_DIR) / "src/services/policy/policies";
  std::size_t policies = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const auto suite = intra365::policy::read_suite(text.str(), no_includes);
    ASSERT_TRUE(suite) << suite.error().detail;
    const auto report = intra365::policy::run(*suite);
    ASSERT_TRUE(report) << report.error().detail;
    EXPECT_GT(report->passed, 0u);
    for (const auto& one : report->cases) EXPECT_TRUE(one.passed) << one.name;
    EXPECT_EQ(report->rules_decided, report->rules);
    policies += suite->policies.size();
  }
  const auto embedded = default_policies();
  EXPECT_EQ(embedded.size(), policies);
  const auto lint = intra365::policy::lint(embedded);
  ASSERT_TRUE(lint);
  EXPECT_TRUE(lint->findings.empty());
}

}  // namespace
}  // namespace intra365::services::policy
