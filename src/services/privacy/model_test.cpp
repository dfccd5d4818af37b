#include "services/privacy/model.hpp"

#include <gtest/gtest.h>

namespace intra365::services::privacy {
namespace {

const Person kAlice{TenantId::trusted("acme"), "ACCOUNT", UserId::trusted("alice")};

TEST(Names, a_message_that_holds_the_id_where_ids_stand_names_the_person) {
  EXPECT_TRUE(
      names(kAlice, "acct.ACCOUNT.intra365.events.consent.granted", R"({"data":{"userId":"alice"}})"));
  EXPECT_TRUE(names(kAlice, "$KV.consents.acme.c1", R"({"consentId":"c1","userId":"alice"})"));
  EXPECT_TRUE(names(kAlice, "change.row.consent_history.acme.3", R"({"row":{"actor":"user:alice"}})"));
  EXPECT_TRUE(names(kAlice, "x.acme", R"({"resource":"calendar:alice/today"})"));
  EXPECT_TRUE(names(kAlice, "x.acme", "plain text of alice."));
}

TEST(Names, words_that_only_look_like_the_id_do_not) {
  EXPECT_FALSE(names(kAlice, "x.acme", R"({"userId":"alice2","note":"alice"})"));
  EXPECT_FALSE(names(kAlice, "x.acme", R"({"actor":"user:alice-b"})"));
  EXPECT_FALSE(names(kAlice, "x.acme", "malice"));
}

TEST(Names, a_namesake_of_another_tenant_is_somebody_else) {
  EXPECT_FALSE(names(kAlice, "acct.OTHER.intra365.events.consent.granted", R"({"data":{"userId":"alice"}})"));
  EXPECT_FALSE(names(kAlice, "x.acme", R"({"tenant":"other","entry":{"userId":"alice"}})"));
  EXPECT_TRUE(
      names(kAlice, "platform.audit",
            R"([{"tenant":"other","entry":{"userId":"bob"}},{"tenant":"acme","entry":{"userId":"alice"}}])"));
  EXPECT_FALSE(names(kAlice, "platform.audit", R"([{"tenant":"other","entry":{"userId":"alice"}}])"));
}

Timestamp day(int year, unsigned month, unsigned day) {
  return std::chrono::sys_days(std::chrono::year(year) / month / day) + std::chrono::hours(9);
}

TEST(DueAt, a_month_and_for_opt_outs_fifteen_business_days) {
  using enum wire::RequestKind;
  EXPECT_EQ(due_at(access, day(2026, 11, 23)), day(2026, 12, 23));
  EXPECT_EQ(due_at(erasure, day(2027, 1, 31)), day(2027, 2, 28));
  EXPECT_EQ(due_at(opt_out, day(2026, 11, 23)), day(2026, 12, 14));  // a Monday: three weeks
  EXPECT_EQ(due_at(opt_out, day(2026, 11, 28)), day(2026, 12, 18));  // a Saturday
}

}  // namespace
}  // namespace intra365::services::privacy
