// Whose consent decides: a table of who says what and what comes of it, held against the pure function and
// the index, which have to agree.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "guard/consent_copy.hpp"

namespace intra365::guard {
namespace {

using namespace std::chrono_literals;
using consent::DecisionCode;
using consent::InheritedFrom;
using consent::Status;

const Timestamp kNow = *parse_rfc3339("2026-06-01T12:00:00Z");
constexpr auto kOrganisation = "organisation:default", kHome = "household:h1", kOtherHome = "household:h2";

struct Wish {
  std::string subject;
  std::vector<std::string> scopes;
  Status status = Status::active;
  std::optional<std::chrono::hours> expires_in = {};
  std::string purpose = "care";
};

consent::Consent record(const Wish& wish, std::string id, std::vector<std::string> members) {
  consent::Consent one;
  one.consent_id = ConsentId::trusted(std::move(id));
  one.user_id = consent::SubjectId::trusted(wish.subject);
  one.mate_id = MateId::trusted("bob");
  one.purposes = {Purpose::trusted(wish.purpose)};
  for (const auto& scope : wish.scopes) one.scopes.push_back(Scope::trusted(scope));
  one.status = wish.status;
  one.granted = wish.status == Status::active;
  if (wish.status == Status::revoked) one.revoked_at = kNow;
  if (wish.expires_in) one.expires_at = kNow + *wish.expires_in;
  one.epoch = one.mate_epoch = 1;
  if (wish.subject.starts_with("household:")) {
    auto& names = one.members.emplace();
    for (auto& member : members) names.push_back(UserId::trusted(std::move(member)));
  }
  return one;
}

struct Answer {
  DecisionCode code = DecisionCode::none;
  std::optional<InheritedFrom> from;
  bool operator==(const Answer&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  out << boost::describe::enum_to_string(answer.code, "?");
  if (answer.from) out << " from the " << boost::describe::enum_to_string(*answer.from, "?");
  return out;
}

std::vector<Scope> scopes(const std::vector<std::string>& names) {
  std::vector<Scope> list;
  for (const auto& name : names) list.push_back(Scope::trusted(name));
  return list;
}

/// Of alice, who lives in h1.
Answer decided(const std::vector<Wish>& said, const std::vector<std::string>& asked) {
  ConsentIndex index;
  std::vector<consent::Consent> records;
  records.reserve(said.size());
  for (std::size_t i = 0; i < said.size(); ++i)
    records.push_back(
        record(said[i], "c" + std::to_string(i), {"ben", said[i].subject == kHome ? "alice" : "cleo"}));
  std::vector<const consent::Consent*> own, inherited;
  for (const auto& one : records) {
    index.apply(one, kNow);
    if (one.user_id.str() == "alice") own.push_back(&one);
    if (one.user_id.str() == kHome || one.user_id.str() == kOrganisation) inherited.push_back(&one);
  }
  const auto needed = scopes(asked);
  const auto pure = decide_inherited(own, inherited, needed, Purpose::trusted("care"), kNow);
  const auto fast = index.decide("alice", "bob", needed, "care", kNow);
  EXPECT_EQ((Answer{pure.code, pure.inherited_from}), (Answer{fast.code, fast.inherited_from}));
  if (pure.allowed()) EXPECT_EQ(pure.consent->consent_id, index.consent_id(fast.record));
  return {pure.code, pure.inherited_from};
}

constexpr auto kFromHome = InheritedFrom::household;
constexpr auto kFromOrganisation = InheritedFrom::organisation;

TEST(Precedence, decides_as_the_table_says) {
  const Wish home{kHome, {"diary"}}, organisation{kOrganisation, {"diary"}};
  const struct {
    const char* name;
    std::vector<Wish> said;
    Answer expected;
    std::vector<std::string> asked = {"diary"};
  } cases[] = {
      {"nobody said anything", {}, {DecisionCode::none, {}}},
      {"a household's yes holds for its members", {home}, {DecisionCode::granted, kFromHome}},
      {"another household's does not", {{kOtherHome, {"diary"}}}, {DecisionCode::none, {}}},
      {"the organisation's yes holds", {organisation}, {DecisionCode::granted, kFromOrganisation}},
      {"the household comes before the organisation",
       {organisation, home},
       {DecisionCode::granted, kFromHome}},
      {"one's own yes comes before both",
       {home, organisation, {"alice", {"diary"}}},
       {DecisionCode::granted, {}}},
      {"one's own refusal ends the search",
       {home, organisation, {"alice", {"diary"}, Status::refused}},
       {DecisionCode::refused, {}}},
      {"one's own revocation does",
       {home, {"alice", {"diary"}, Status::revoked}},
       {DecisionCode::revoked, {}}},
      {"one's own pause does",
       {home, {"alice", {"diary"}, Status::suspended}},
       {DecisionCode::suspended, {}}},
      {"one's own expired consent does",
       {home, {"alice", {"diary"}, Status::active, -1h}},
       {DecisionCode::expired, {}}},
      {"what was superseded does not",
       {home, {"alice", {"diary"}, Status::superseded}},
       {DecisionCode::granted, kFromHome}},
      {"a no above what is asked does",
       {home, {"alice", {"diary"}, Status::refused}},
       {DecisionCode::refused, {}},
       {"diary.read"}},
      {"a no below what is asked does not: it is about less than that",
       {home, {"alice", {"diary.read"}, Status::refused}},
       {DecisionCode::granted, kFromHome}},
      {"a no for one of the scopes ends the search for all of them",
       {{kHome, {"diary", "contacts"}}, {"alice", {"contacts"}, Status::refused}},
       {DecisionCode::refused, {}},
       {"diary", "contacts"}},
      {"a no for another scope does not touch",
       {home, {"alice", {"contacts"}, Status::refused}},
       {DecisionCode::granted, kFromHome}},
      {"a no for another purpose does not touch",
       {home, {"alice", {"diary"}, Status::refused, {}, "marketing"}},
       {DecisionCode::granted, kFromHome}},
      {"a yes for one of the scopes keeps the question at that level",
       {{kHome, {"diary", "contacts"}}, {"alice", {"contacts"}}},
       {DecisionCode::scope_missing, {}},
       {"diary", "contacts"}},
      {"levels do not add up",
       {home, {kOrganisation, {"contacts"}}},
       {DecisionCode::scope_missing, kFromHome},
       {"diary", "contacts"}},
      {"a household's refusal ends the search",
       {organisation, {kHome, {"diary"}, Status::refused}},
       {DecisionCode::refused, kFromHome}},
      {"a household's expired consent does",
       {organisation, {kHome, {"diary"}, Status::active, -1h}},
       {DecisionCode::expired, kFromHome}},
      {"the organisation's no is the last word",
       {{kOrganisation, {"diary"}, Status::revoked}},
       {DecisionCode::revoked, kFromOrganisation}},
      {"of several records of a level the nearest decides, as always",
       {{kHome, {"diary"}, Status::revoked}, home},
       {DecisionCode::granted, kFromHome}},
      {"a group that says nothing about this leaves one's own answer",
       {{"alice", {"contacts"}}, {kHome, {"image"}}},
       {DecisionCode::scope_missing, {}}},
  };
  for (const auto& one : cases) EXPECT_EQ(decided(one.said, one.asked), one.expected) << one.name;
}

TEST(Precedence, no_user_id_can_be_taken_for_a_group) {
  for (const auto* group : {kHome, kOrganisation}) {
    EXPECT_FALSE(UserId::parse(group)) << group;
    EXPECT_TRUE(consent::SubjectId::parse(group)) << group;
  }
  ConsentIndex index;
  index.apply(record({kOrganisation, {"diary"}}, "1", {}), kNow);
  index.apply(record({"organisation", {"image"}}, "2", {}), kNow);  // a person called so
  EXPECT_TRUE(index.decide("alice", "bob", scopes({"diary"}), "care", kNow).allowed());
  EXPECT_FALSE(index.decide("alice", "bob", scopes({"image"}), "care", kNow).allowed());
}

TEST(Precedence, a_household_without_members_or_with_too_many_speaks_for_nobody) {
  ConsentIndex index;
  auto one = record({kHome, {"diary"}}, "1", {"alice"});
  const auto allows = [&] { return index.decide("alice", "bob", scopes({"diary"}), "care", kNow).allowed(); };
  index.apply(one, kNow);
  EXPECT_TRUE(allows());
  one.members.reset();
  ++one.epoch;
  index.apply(one, kNow);
  EXPECT_FALSE(allows());
  one.members.emplace(51, UserId::trusted("alice"));
  ++one.epoch;
  index.apply(one, kNow);
  EXPECT_FALSE(allows());
}

TEST(Precedence, the_newest_of_a_households_records_says_who_belongs_to_it) {
  ConsentIndex index;
  index.apply(record({kHome, {"diary"}}, "1", {"alice", "ben"}), kNow);
  auto other = record({kHome, {"image"}}, "2", {"ben"});
  other.epoch = 2;
  index.apply(other, kNow);
  const auto allows = [&](const char* user, const char* scope) {
    return index.decide(user, "bob", scopes({scope}), "care", kNow).allowed();
  };
  EXPECT_FALSE(allows("alice", "diary"));
  EXPECT_TRUE(allows("ben", "diary"));
  index.apply(record({kHome, {"diary"}}, "1", {"alice", "ben"}), kNow);  // late
  EXPECT_FALSE(allows("alice", "diary"));
}

TEST(Precedence, a_use_under_a_groups_consent_ends_with_any_no_before_it_and_when_the_person_leaves) {
  ConsentIndex index;
  auto home = record({kHome, {"diary"}}, "home", {"alice"});
  index.apply(home, kNow);
  index.apply(record({kOrganisation, {"diary"}}, "organisation", {}), kNow);
  const auto by = [&](const char* consent) {
    return index.decide_by(consent, "alice", "bob", scopes({"diary"}), "care", kNow).code;
  };
  EXPECT_EQ(by("home"), DecisionCode::granted);
  EXPECT_EQ(by("organisation"), DecisionCode::granted);
  EXPECT_EQ(index.decide_by("home", "dora", "bob", scopes({"diary"}), "care", kNow).code, DecisionCode::none);
  home.members->clear();
  ++home.epoch;
  index.apply(home, kNow);
  EXPECT_EQ(by("home"), DecisionCode::none);
  EXPECT_EQ(by("organisation"), DecisionCode::granted);
  index.apply(record({"alice", {"diary"}, Status::refused}, "own", {}), kNow);
  EXPECT_EQ(by("organisation"), DecisionCode::refused);
}

/// The index and the pure function over the same records and members, whatever happened before.
TEST(Precedence, the_index_answers_as_the_pure_function_does) {
  std::mt19937 random(5);
  const auto pick = [&](auto... of) {
    const std::array all{of...};
    return all[random() % all.size()];
  };
  ConsentIndex index;
  std::vector<consent::Consent> all;
  std::map<std::string, std::string> homes{{"u0", ""}, {"u1", ""}, {"u2", ""}, {"u3", ""}};
  std::uint64_t epoch = 0;
  const auto fill = [&](consent::Consent& one) {
    one.epoch = ++epoch;
    if (!one.user_id.str().starts_with("household:")) return;
    one.members.emplace();
    for (const auto& [user, home] : homes) {
      if (home == one.user_id.str()) one.members->push_back(UserId::trusted(user));
    }
  };
  int inherited_answers = 0;
  for (int step = 0; step < 40'000; ++step) {
    if (random() % 4 == 0) {  // somebody moves, and a record of each household tells of it
      homes["u" + std::to_string(random() % 4)] = pick("", kHome, kOtherHome);
      for (const auto* home : {kHome, kOtherHome}) {
        for (auto& one : all) {
          if (one.user_id.str() != home) continue;
          fill(one);
          index.apply(one, kNow);
          break;
        }
      }
    }
    const auto number = random() % 60;
    const std::string subjects[] = {"u0", "u1", "u2", "u3", kHome, kOtherHome, kOrganisation};
    Wish wish{subjects[number % 7], {pick("a", "a.b", "b"), pick("a", "b", "c")}};
    wish.status = pick(Status::active, Status::suspended, Status::refused, Status::revoked,
                       Status::superseded, Status::superseded);
    if (random() % 3 == 0) wish.expires_in = pick(-1h, 1h);
    wish.purpose = pick("care", "care.home", "other");
    auto one = record(wish, "c" + std::to_string(number), {});
    fill(one);
    index.apply(one, kNow);
    std::erase_if(all, [&](const auto& known) { return known.consent_id == one.consent_id; });
    all.push_back(one);
    if (step % 2000 == 1999) {  // forgotten on both sides
      index.prune_replaced(kNow + 1h);
      std::erase_if(all, [](const auto& known) { return known.status == Status::superseded; });
      ASSERT_EQ(index.size(), all.size());
    }

    const auto user = "u" + std::to_string(random() % 4);
    const auto asked = scopes({pick("a", "a.b.c", "b"), pick("a", "c", "d")});
    const auto purpose = Purpose::trusted(pick("care", "care.home", "care.home.x"));
    std::vector<const consent::Consent*> own, inherited;
    for (const auto& held : all) {
      if (held.user_id.str() == user) own.push_back(&held);
      if (held.user_id.str() == kOrganisation || held.user_id.str() == homes[user])
        inherited.push_back(&held);
    }
    const auto expected = decide_inherited(own, inherited, asked, purpose, kNow);
    const auto answer = index.decide(user, "bob", asked, purpose.str(), kNow);
    ASSERT_EQ((Answer{answer.code, answer.inherited_from}), (Answer{expected.code, expected.inherited_from}))
        << step;
    const auto& named = all[random() % all.size()];
    const auto by = decide_by(named.consent_id, own, inherited, asked, purpose, kNow);
    const auto by_index = index.decide_by(named.consent_id.str(), user, "bob", asked, purpose.str(), kNow);
    ASSERT_EQ((Answer{by_index.code, by_index.inherited_from}), (Answer{by.code, by.inherited_from})) << step;
    inherited_answers += answer.inherited_from.has_value() ? 1 : 0;
  }
  EXPECT_GT(inherited_answers, 2000);
}

consent::SyncReply answer(std::vector<consent::Consent> records, bool inherited) {
  consent::SyncReply reply;
  for (const auto& one : records) reply.mate_epoch = std::max(reply.mate_epoch, one.mate_epoch);
  reply.consents = std::move(records);
  reply.inherited = inherited;
  return reply;
}

constexpr Instant at(Timestamp wall) {
  return {wall, BootTime(std::chrono::hours(1))};
}

TEST(ConsentCopy, decides_by_groups_only_once_it_has_every_no) {
  ConsentCopy copy(MateId::trusted("bob"));
  const auto allows = [&](const char* user) {
    return copy.index().decide(user, "bob", scopes({"diary"}), "care", kNow).allowed();
  };
  const auto own = record({"cleo", {"diary"}}, "cleo", {});
  auto organisation = record({kOrganisation, {"diary"}}, "all", {});
  organisation.mate_epoch = 3;
  auto refused = record({"alice", {"diary"}, Status::refused}, "no", {});
  refused.mate_epoch = 2;

  EXPECT_EQ(copy.on_answer(0, answer({own}, false), at(kNow)), ConsentCopy::Answered::all);
  EXPECT_FALSE(copy.second_question());
  auto later = answer({}, true);
  later.mate_epoch = 3;
  EXPECT_EQ(copy.on_answer(1, later, at(kNow)), ConsentCopy::Answered::all);
  ASSERT_TRUE(copy.second_question());
  EXPECT_EQ(copy.second_question()->whole, true);
  EXPECT_EQ(copy.second_question()->mate_epoch, 0u);
  EXPECT_FALSE(allows("ben")) << "not before the refusals are here";
  EXPECT_TRUE(allows("cleo")) << "meanwhile what was known holds";

  EXPECT_FALSE(copy.on_second_answer(0, answer({own, refused, organisation}, true), at(kNow)));
  EXPECT_FALSE(copy.second_question());
  EXPECT_EQ(copy.question().whole, true);
  EXPECT_TRUE(allows("ben"));
  EXPECT_FALSE(allows("alice"));
  copy.prune(at(kNow + 25h));
  EXPECT_FALSE(allows("alice")) << "a no is not forgotten where its absence would be a yes";
}

TEST(ConsentCopy, a_push_of_a_groups_consent_makes_it_ask_for_everything) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record({"cleo", {"diary"}}, "cleo", {})}, false), at(kNow));
  auto organisation = record({kOrganisation, {"diary"}}, "all", {});
  organisation.mate_epoch = 2;
  EXPECT_EQ(copy.on_push(organisation, at(kNow)), Push::applied);
  EXPECT_FALSE(copy.index().decide("ben", "bob", scopes({"diary"}), "care", kNow).allowed());
  ASSERT_TRUE(copy.second_question());
  auto first = answer({record({"cleo", {"diary"}}, "cleo", {})}, true);
  EXPECT_TRUE(copy.on_second_answer(0, first, at(kNow))) << "older than what is known by pushes";
  EXPECT_FALSE(copy.on_second_answer(0, answer({organisation}, true), at(kNow)));
  EXPECT_TRUE(copy.index().decide("ben", "bob", scopes({"diary"}), "care", kNow).allowed());
}

}  // namespace
}  // namespace intra365::guard
