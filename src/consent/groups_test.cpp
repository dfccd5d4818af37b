#include "consent/groups.hpp"

#include <gtest/gtest.h>

namespace intra365::consent {
namespace {

using namespace std::chrono_literals;

const Moment kMoment{"user:alice", *parse_rfc3339("2026-06-01T12:00:00Z")};
const SubjectId kHome = household_subject(HouseholdId::trusted("h1"));

PurposeEntry entry(const std::string& name, bool inheritable) {
  PurposeEntry one;
  one.purpose = Purpose::trusted(name);
  one.inheritable = inheritable;
  return one;
}

InheritedRequest request(const std::string& purpose) {
  InheritedRequest one;
  one.mate_id = MateId::trusted("bob");
  one.purposes = {Purpose::trusted(purpose)};
  one.scopes = {Scope::trusted("diary")};
  return one;
}

std::string refusal(const Catalogue& catalogue, const std::string& purpose) {
  const auto granted =
      decide_group_grant(ConsentId::trusted("1"), kHome, request(purpose), catalogue, kMoment);
  return granted ? "" : granted.error().code;
}

TEST(Groups, names_are_told_apart_from_people) {
  EXPECT_EQ(kHome.str(), "household:h1");
  EXPECT_EQ(household_of("household:h1").str(), "h1");
  EXPECT_EQ(group_of("household:h1"), InheritedFrom::household);
  EXPECT_EQ(group_of(organisation_subject(TenantId::trusted("default")).str()), InheritedFrom::organisation);
  EXPECT_TRUE(household_of("organisation:default").empty());
  for (const auto* person : {"alice", "household", "organisation"}) EXPECT_EQ(group_of(person), std::nullopt);
}

TEST(Groups, consent_only_to_what_the_catalogue_calls_inheritable) {
  EXPECT_EQ(refusal(Catalogue(), "marketing"), "consent.not_inheritable");
  EXPECT_EQ(refusal(Catalogue(), "unlisted"), "consent.not_inheritable") << "though the catalogue is open";
  CatalogueReply own;
  own.purposes = {entry("care", true), entry("support", true), entry("support.voice", false)};
  const Catalogue catalogue(own);
  EXPECT_EQ(refusal(catalogue, "care"), "");
  EXPECT_EQ(refusal(catalogue, "care.medical"), "");
  EXPECT_EQ(refusal(catalogue, "careful"), "consent.not_inheritable");
  EXPECT_EQ(refusal(catalogue, "support"), "consent.not_inheritable") << "it would cover support.voice";
  EXPECT_EQ(refusal(catalogue, "support.chat"), "");
  auto both = request("care");
  both.purposes.push_back(Purpose::trusted("marketing"));
  EXPECT_FALSE(decide_group_grant(ConsentId::trusted("1"), kHome, both, catalogue, kMoment));
}

TEST(Groups, may_refuse_anything_and_a_refusal_has_no_end) {
  const auto refused =
      decide_group_refuse(ConsentId::trusted("1"), kHome, request("marketing"), Catalogue(), kMoment);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->user_id, kHome);
  EXPECT_EQ(refused->event, EventKind::refused);
  auto ending = request("marketing");
  ending.expires_at = kMoment.now + 1h;
  EXPECT_EQ(decide_group_refuse(ConsentId::trusted("1"), kHome, ending, Catalogue(), kMoment).error().code,
            "request.bad_value");
}

TEST(Groups, what_is_no_longer_inheritable_is_neither_renewed_nor_resumed) {
  Consent held;
  held.user_id = kHome;
  held.purposes = {Purpose::trusted("care")};
  EXPECT_FALSE(check_still_inheritable(held, Catalogue()));
  CatalogueReply own;
  own.purposes = {entry("care", true)};
  EXPECT_TRUE(check_still_inheritable(held, Catalogue(own)));
  held.user_id = SubjectId::trusted("alice");
  EXPECT_TRUE(check_still_inheritable(held, Catalogue())) << "a person decides about themselves";
}

TEST(Groups, an_objection_is_a_no_of_the_persons_own_whatever_the_catalogue_says) {
  const Objected objected{UserId::trusted("alice"),
                          MateId::trusted("bob"),
                          {Purpose::trusted("unlisted")},
                          {Scope::trusted("diary")}};
  const auto changes = decide_objection(objected, kMoment);
  ASSERT_EQ(changes.size(), 1u);
  auto change = changes.front();
  change.consent_id = ConsentId::trusted("1");  // the caller's to give
  Consent record;
  apply(record, change);
  EXPECT_EQ(record.status, Status::refused);
  EXPECT_EQ(record.user_id.str(), "alice");
  EXPECT_EQ(record.mate_id.str(), "bob");
  EXPECT_EQ(record.scopes, objected.scopes);
  EXPECT_EQ(record.method, "objection");
}

TEST(Groups, an_objection_to_more_than_a_record_holds_is_several) {
  Objected objected{UserId::trusted("alice"), MateId::trusted("bob"), {}, {Scope::trusted("diary")}};
  for (int i = 0; i < 99; ++i) objected.purposes.push_back(Purpose::trusted("care" + std::to_string(i)));
  const auto changes = decide_objection(objected, kMoment);
  ASSERT_EQ(changes.size(), 2u);
  std::vector<Purpose> all;
  for (const auto& change : changes) {
    EXPECT_LE(change.purposes.size(), kMaxNames);
    all.insert(all.end(), change.purposes.begin(), change.purposes.end());
  }
  EXPECT_EQ(all, objected.purposes);
}

}  // namespace
}  // namespace intra365::consent
