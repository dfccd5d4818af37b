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

TEST(Names, a_message_of_a_mate_names_a_person_wherever_the_mate_keeps_ids) {
  EXPECT_TRUE(names(kAlice, "acct.ACCOUNT.intra365.events.ward.seen", R"({"patient":"alice"})"));
  EXPECT_TRUE(
      names(kAlice, "acct.ACCOUNT.intra365.events.ward.seen", R"({"beds":[{"of":["bob","alice"]}]})"));
  EXPECT_TRUE(
      names(kAlice, "acct.ACCOUNT.intra365.events.ward.seen", R"({"note":"asked by user:alice, today"})"));
  EXPECT_TRUE(names(kAlice, "acct.ACCOUNT.intra365.events.ward.seen", R"({"patient":"al\u0069ce"})"));
  EXPECT_TRUE(names(kAlice, "$KV.beds.acme.alice", "7"));
  const Person distinctive{TenantId::trusted("acme"), "ACCOUNT", UserId::trusted("u-48213")};
  EXPECT_TRUE(names(distinctive, "x.acme", R"({"note":"called u-48213 twice"})"));
  EXPECT_TRUE(names(distinctive, "x.acme", R"({"beds":{"u-48213":7}})"));
  EXPECT_FALSE(names(distinctive, "x.acme", R"({"note":"called u-48213-b"})"));
}

TEST(Names, a_word_is_no_name_although_somebody_has_it_for_an_id) {
  const Person word{TenantId::trusted("acme"), "ACCOUNT", UserId::trusted("active")};
  EXPECT_FALSE(names(word, "$KV.consents.acme.c1", R"({"userId":"bob","status":"active"})"));
  EXPECT_FALSE(names(word, "x.acme", R"({"note":"bob is active","active":true})"));
  EXPECT_FALSE(names(word, "acct.ACCOUNT.intra365.events.active.x", R"({"userId":"bob"})"));
  EXPECT_TRUE(names(word, "x.acme", R"({"status":"active","userId":"active"})"));
  const Person mate{TenantId::trusted("acme"), "ACCOUNT", UserId::trusted("assistant")};
  EXPECT_FALSE(names(mate, "x.acme", R"({"userId":"bob","mateId":"assistant","actor":"mate:assistant"})"));
}

TEST(Names, words_that_only_look_like_the_id_do_not) {
  EXPECT_FALSE(names(kAlice, "x.acme", R"({"userId":"alice2","note":"ask alice"})"));
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

TEST(Names, a_change_that_was_set_aside_is_put_together_before_it_is_judged) {
  const std::string change =
      R"({"table":"consent_history","row":{"tenant_id":"acme","user_id":"alice","note":"x"}})";
  AsideParts parts;
  EXPECT_FALSE(names(kAlice, "change.aside.s", change.substr(0, 62)));
  EXPECT_FALSE(parts.add("c1", "1/2", 7, change.substr(0, 62))->complete);
  EXPECT_FALSE(parts.add("c2", "1/2", 8, "other")->complete);
  const auto* whole = parts.add("c1", "2/2", 9, change.substr(62));
  ASSERT_TRUE(whole->complete);
  EXPECT_EQ(whole->sequences, (std::vector<std::uint64_t>{7, 9}));
  EXPECT_TRUE(names(kAlice, "change.aside.s", whole->text));
  parts.forget("c1");
  EXPECT_EQ(parts.first_open(), 8u);
  EXPECT_EQ(parts.add("c3", "no part", 10, "x"), nullptr);
}

TEST(Names, a_set_aside_change_that_was_told_twice_is_one) {
  AsideParts parts;
  parts.add("c1", "1/2", 1, "ab");
  parts.add("c1", "1/2", 2, "ab");
  const auto* whole = parts.add("c1", "2/2", 3, "cd");
  ASSERT_TRUE(whole->complete);
  EXPECT_EQ(whole->text, "abcd");
  EXPECT_EQ(whole->sequences.size(), 3u);
  EXPECT_FALSE(parts.add("c2", "2/2", 4, "the beginning is gone")->complete);
}

TEST(Names, an_event_that_was_set_aside_tells_its_tenant) {
  EXPECT_TRUE(names(kAlice, "change.aside.s", R"({"source":"/intra365/acme","data":{"userId":"alice"}})"));
  EXPECT_FALSE(names(kAlice, "change.aside.s", R"({"source":"/intra365/other","data":{"userId":"alice"}})"));
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

TEST(AccessPosition, thirty_days_end_where_it_is_asked_for_or_now) {
  const auto now = day(2026, 11, 23);
  wire::AccessRequest request;
  EXPECT_EQ(access_position(request, now)->until, now);
  EXPECT_EQ(access_position(request, now)->since, now - std::chrono::days(30));
  request.until = day(2026, 3, 2);
  EXPECT_EQ(access_position(request, now)->since, day(2026, 1, 31));
  request.since = day(2020, 1, 1);
  EXPECT_EQ(access_position(request, now)->since, day(2020, 1, 1));
}

TEST(AccessPosition, a_cursor_names_the_last_group_and_keeps_the_times) {
  const auto first = *access_position({}, day(2026, 11, 23));
  wire::AccessEntry last;
  last.user_id = UserId::trusted("alice");
  last.actor = "mate:reader";
  last.resource = "mate:store/shelf";
  last.outcome = "allowed";
  last.consent_id = ConsentId::trusted("c1");
  last.scopes = {Scope::trusted("mail")};
  wire::AccessRequest request;
  request.cursor = access_cursor(first, last);
  const auto next = access_position(request, day(2027, 5, 1));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->since, first.since);
  EXPECT_EQ(next->until, first.until);
  EXPECT_EQ(next->user_id, last.user_id);
  EXPECT_EQ(next->resource, last.resource);
  EXPECT_EQ(next->consent, "c1");
  EXPECT_EQ(next->purpose, "");
  EXPECT_EQ(next->scopes, last.scopes);
}

}  // namespace
}  // namespace intra365::services::privacy
