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

TEST(Groups, purposes_in_common_are_the_narrower_of_each_two) {
  const auto purposes = [](std::vector<std::string> names) {
    std::vector<Purpose> list;
    for (auto& name : names) list.push_back(Purpose::trusted(std::move(name)));
    return list;
  };
  EXPECT_EQ(in_common(purposes({"care", "marketing.mail", "research"}), purposes({"marketing", "care.home"})),
            purposes({"care.home", "marketing.mail"}));
}

}  // namespace
}  // namespace intra365::consent
