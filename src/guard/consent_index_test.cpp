#include "guard/consent_copies.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace intra365::guard {
namespace {

using namespace std::chrono_literals;
using consent::DecisionCode;
using consent::Status;

const Timestamp kNow = *parse_rfc3339("2026-06-01T12:00:00Z");

consent::Consent record(std::string id, std::vector<std::string> scopes, std::string user = "alice",
                        std::string mate = "bob") {
  consent::Consent one;
  one.consent_id = ConsentId::trusted(std::move(id));
  one.user_id = consent::SubjectId::trusted(std::move(user));
  one.mate_id = MateId::trusted(std::move(mate));
  one.purposes = {Purpose::trusted("analytics")};
  for (auto& scope : scopes) one.scopes.push_back(Scope::trusted(scope));
  one.granted = true;
  one.granted_at = kNow - 1h;
  one.epoch = one.mate_epoch = 1;
  return one;
}

void set_status(consent::Consent& one, Status status) {
  one.status = status;
  one.granted = status == Status::active;
  one.revoked_at = status == Status::revoked ? std::optional(kNow) : std::nullopt;
}

std::vector<Scope> scopes(std::vector<std::string> names) {
  std::vector<Scope> list;
  for (auto& name : names) list.push_back(Scope::trusted(name));
  return list;
}

DecisionCode code(const ConsentIndex& index, std::string_view scope, std::string_view user = "alice",
                  Timestamp now = kNow) {
  return index.decide(user, "bob", scopes({std::string(scope)}), "analytics", now).code;
}

TEST(ConsentIndex, revoked_denies_and_an_older_copy_cannot_bring_it_back) {
  ConsentIndex index;
  auto revoked = record("1", {"a"});
  set_status(revoked, Status::revoked);
  revoked.epoch = 5;
  revoked.revoked_at = kNow - 48h;  // they said so long before we learned it
  index.apply(revoked, kNow);
  index.prune(kNow - 24h);
  index.apply(record("1", {"a"}), kNow);  // arrives late, epoch 1
  EXPECT_EQ(code(index, "a"), DecisionCode::revoked);
  EXPECT_EQ(index.decide("alice", "bob", scopes({"a"}), "analytics", kNow).epoch, 5u);
  index.prune(kNow + 1s);
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(code(index, "a"), DecisionCode::none);
}

TEST(ConsentIndex, keeps_ids_that_are_uuids_and_those_that_are_not) {
  ConsentIndex index;
  const std::vector<std::string> ids{new_uuid(),
                                     "short",
                                     "FFFFFFFF-0000-7000-8000-000000000000",
                                     "ffffffff-0000-7000-8000-000000000000",
                                     "00000000-0000-f000-0000-000000000000",
                                     "00000000-0000-7000-0000-00000000000"};
  for (const auto& id : ids) index.apply(record(id, {"a"}, "user-" + id), kNow);
  for (const auto& id : ids) {
    const auto answer = index.decide("user-" + id, "bob", scopes({"a"}), "analytics", kNow);
    ASSERT_TRUE(answer.allowed()) << id;
    EXPECT_EQ(index.consent_id(answer.record).str(), id);
    EXPECT_TRUE(index.decide_by(id, "user-" + id, "bob", scopes({"a.b"}), "analytics", kNow).allowed()) << id;
    EXPECT_FALSE(index.decide_by(id, "alice", "bob", scopes({"a"}), "analytics", kNow).allowed());
    EXPECT_FALSE(index.decide_by(id, "user-" + id, "eve", scopes({"a"}), "analytics", kNow).allowed());
  }
  EXPECT_FALSE(index.decide_by("unknown", "alice", "bob", scopes({"a"}), "analytics", kNow).allowed());
}

TEST(ConsentIndex, names_beyond_the_bits_are_found_too) {
  ConsentIndex index;
  for (int i = 0; i < 1000; ++i)
    index.apply(record("c" + std::to_string(i), {"s" + std::to_string(i), "s" + std::to_string(i / 2)},
                       "u" + std::to_string(i)),
                kNow);
  for (int i = 0; i < 1000; ++i) {
    const auto user = "u" + std::to_string(i);
    EXPECT_EQ(code(index, "s" + std::to_string(i) + ".x", user), DecisionCode::granted);
    EXPECT_EQ(code(index, "s" + std::to_string(i / 2), user), DecisionCode::granted);
    EXPECT_EQ(code(index, "s" + std::to_string(i + 1), user), DecisionCode::scope_missing);
  }
}

/// The index and the pure function over the same records give the same answers, whatever happened before.
TEST(ConsentIndex, answers_as_the_pure_function_does) {
  std::mt19937 random(11);
  const auto pick = [&](auto... of) {
    const std::array all{of...};
    return all[random() % all.size()];
  };
  ConsentIndex index;
  std::map<std::string, consent::Consent> all;
  auto now = kNow;
  for (int step = 0; step < 40'000; ++step) {
    now += 1ms;
    const auto number = random() % 600;
    const auto id = "c" + std::to_string(number);
    auto one = record(id, {}, "u" + std::to_string(number % 40), pick("bob", "eve"));
    if (all.contains(id)) one.mate_id = all.at(id).mate_id;
    for (auto count = 1 + random() % 3; count > 0; --count)
      one.scopes.push_back(Scope::trusted(pick("a", "a.b", "a.b.c", "b", "c")));
    one.purposes = {Purpose::trusted(pick("analytics", "analytics.web", "care"))};
    set_status(one, pick(Status::active, Status::active, Status::active, Status::suspended, Status::refused,
                         Status::revoked, Status::superseded));
    if (random() % 3 == 0) one.expires_at = now + std::chrono::milliseconds(random() % 2000);
    one.epoch = random() % 1000;
    index.apply(one, now);
    auto [known, is_new] = all.try_emplace(id, one);
    if (!is_new && one.epoch >= known->second.epoch) known->second = one;

    const auto user = "u" + std::to_string(random() % 41);
    const auto* mate = pick("bob", "eve", "nobody");
    const auto needed = scopes({pick("a", "a.b", "a.b.c.d", "b", "c", "d"), pick("a.b", "b")});
    const Purpose purpose = Purpose::trusted(pick("analytics", "analytics.web.x", "care", "else"));
    std::vector<const consent::Consent*> records;
    for (const auto& [key, held] : all) {
      if (held.user_id.str() == user && held.mate_id.str() == mate) records.push_back(&held);
    }
    const auto expected = decide_consent(records, needed, purpose, now).code;
    ASSERT_EQ(index.decide(user, mate, needed, purpose.str(), now).code, expected) << step;
    if (step % 5000 == 4999) {  // forgotten on both sides
      index.prune(now + 1us);
      std::erase_if(all, [&](const auto& item) {
        const auto& held = item.second;
        const bool may_hold = held.status == Status::active || held.status == Status::suspended;
        return !may_hold || (held.expires_at && *held.expires_at < now + 1us);
      });
      ASSERT_EQ(index.size(), all.size());
    }
  }
}

TEST(ConsentIndex, questions_with_many_and_deep_names_are_answered_too) {
  ConsentIndex index;
  std::vector<std::string> names;
  std::string deep = "n";
  for (int i = 0; i < 40; ++i) {
    names.push_back(deep);
    deep += ".n";
  }
  index.apply(record("1", names), kNow);
  std::vector<Scope> needed;
  for (const auto& name : names) needed.push_back(Scope::trusted(name));
  EXPECT_TRUE(index.decide("alice", "bob", needed, "analytics", kNow).allowed());
  needed.push_back(Scope::trusted("other"));
  EXPECT_EQ(index.decide("alice", "bob", needed, "analytics", kNow).code, DecisionCode::scope_missing);
  EXPECT_EQ(index.decide("alice", "bob", needed, "care", kNow).code, DecisionCode::purpose_mismatch);
}

TEST(ConsentIndex, a_consent_takes_less_than_200_bytes) {
  ConsentIndex index;
  constexpr std::size_t kCount = 100'000;
  for (std::size_t i = 0; i < kCount; ++i)
    index.apply(record(new_uuid(), {"profile", "image.analyze"}, "user-" + std::to_string(i)), kNow);
  EXPECT_EQ(index.size(), kCount);
  EXPECT_LT(index.size_bytes() / kCount, 200u);
}

TEST(ConsentIndex, people_who_come_and_go_leave_nothing_behind) {
  ConsentIndex index;
  auto now = kNow;
  std::size_t largest = 0;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 2000; ++i) {
      auto one = record(new_uuid(), {"a"}, "user-" + std::to_string(round * 2000 + i));
      one.expires_at = now + 1s;
      index.apply(one, now);
    }
    index.apply(record("stays", {"a"}), now);
    now += 2s;
    index.prune(now);
    if (round == 9) largest = index.size_bytes();
  }
  EXPECT_EQ(index.size(), 1u);
  EXPECT_LE(index.size_bytes(), largest);
  EXPECT_EQ(code(index, "a", "alice", now), DecisionCode::granted);
}

consent::SyncReply answer(std::vector<consent::Consent> records) {
  consent::SyncReply reply;
  for (const auto& one : records) reply.mate_epoch = std::max(reply.mate_epoch, one.mate_epoch);
  reply.consents = std::move(records);
  return reply;
}

consent::Consent revoked_at(std::uint64_t epoch) {
  auto revoked = record("1", {"a"});
  set_status(revoked, Status::revoked);
  revoked.epoch = revoked.mate_epoch = epoch;
  return revoked;
}

using Answered = ConsentCopy::Answered;

TEST(ConsentCopy, a_late_push_of_what_was_forgotten_changes_nothing) {
  ConsentCopy copy(MateId::trusted("bob"));
  const auto granted = record("1", {"a"});
  EXPECT_EQ(copy.on_answer(0, answer({granted}), kNow), Answered::all);
  EXPECT_EQ(copy.on_push(revoked_at(2), kNow), Push::applied);
  copy.prune(kNow + 25h);  // a day later, or the clock was set
  EXPECT_EQ(copy.on_push(granted, kNow + 25h), Push::old);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
  EXPECT_EQ(copy.on_answer(1, answer({granted}), kNow + 25h), Answered::all) << "overtaken by the push";
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
  EXPECT_EQ(copy.mate_epoch(), 2u);
}

TEST(ConsentCopy, a_push_that_overtook_another_counts_at_once_and_shows_the_gap) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record("1", {"a"})}), kNow);
  EXPECT_EQ(copy.on_push(revoked_at(3), kNow), Push::gap);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::revoked);
  EXPECT_EQ(copy.question().mate_epoch, 1u);
}

/// The simulation found it: the first answer is silent about what was revoked since.
TEST(ConsentCopy, what_was_pushed_before_the_first_answer_is_not_taken) {
  ConsentCopy copy(MateId::trusted("bob"));
  EXPECT_EQ(copy.on_push(record("1", {"a"}), kNow), Push::gap);
  consent::SyncReply nothing_holds;
  nothing_holds.mate_epoch = 2;
  EXPECT_EQ(copy.on_answer(0, nothing_holds, kNow), Answered::all);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
}

TEST(ConsentCopy, a_clock_that_was_ahead_and_is_set_back_costs_a_sync_and_no_consent) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto granted = record("1", {"a"});
  granted.expires_at = kNow + 1h;
  copy.on_answer(0, answer({granted}), kNow);
  copy.prune(kNow + 48h);
  EXPECT_EQ(copy.index().size(), 0u);
  copy.prune(kNow);
  EXPECT_EQ(copy.question().mate_epoch, 0u);
  copy.on_answer(0, answer({granted}), kNow);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::granted);
}

// --- A truth that went back: restored to an earlier time, or a standby that had not everything.

constexpr std::uint64_t kNextLine = std::uint64_t{1} << kEpochCountBits;

/// The Mate is at `mate_epoch` in the truth.
consent::SyncReply answer_at(std::uint64_t mate_epoch, std::vector<consent::Consent> records) {
  auto reply = answer(std::move(records));
  reply.mate_epoch = mate_epoch;
  return reply;
}

TEST(ConsentCopy, what_the_truth_has_lost_is_forgotten_and_everything_asked_for_anew) {
  ConsentCopy copy(MateId::trusted("bob"));
  const auto kept = record("1", {"a"});
  auto lost = record("2", {"b"});
  lost.epoch = lost.mate_epoch = 2;
  copy.on_answer(0, answer({kept, lost}), kNow);
  EXPECT_EQ(code(copy.index(), "b"), DecisionCode::granted);

  EXPECT_EQ(copy.on_answer(2, answer_at(kNextLine, {}), kNow), Answered::anew);
  EXPECT_EQ(copy.index().size(), 0u);
  EXPECT_EQ(copy.question().mate_epoch, 0u);
  EXPECT_EQ(copy.on_answer(0, answer_at(kNextLine, {kept}), kNow), Answered::all);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::granted);
  EXPECT_NE(code(copy.index(), "b"), DecisionCode::granted);
  EXPECT_EQ(copy.mate_epoch(), kNextLine);
  EXPECT_EQ(copy.on_push(lost, kNow), Push::old) << "told before the truth went back";
  auto next = record("3", {"c"});
  next.epoch = next.mate_epoch = kNextLine + 1;
  EXPECT_EQ(copy.on_push(next, kNow), Push::applied);
}

TEST(ConsentCopy, a_lost_change_that_is_told_late_does_not_fit_while_all_is_asked_for_anew) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto page = answer_at(kNextLine, {record("1", {"a"})});
  page.more = true;
  EXPECT_EQ(copy.on_answer(0, page, kNow), Answered::more);
  auto lost = record("2", {"b"});
  lost.epoch = lost.mate_epoch = 2;
  EXPECT_EQ(copy.on_push(lost, kNow), Push::old);
  EXPECT_EQ(copy.on_answer(1, answer_at(kNextLine, {}), kNow), Answered::all);
  EXPECT_NE(code(copy.index(), "b"), DecisionCode::granted);
}

TEST(ConsentCopy, a_push_from_the_new_line_is_a_gap_and_a_page_of_it_begins_anew) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record("1", {"a"})}), kNow);
  auto next = record("1", {"a", "b"});
  next.epoch = next.mate_epoch = kNextLine + 1;
  EXPECT_EQ(copy.on_push(next, kNow), Push::gap);
  EXPECT_EQ(copy.on_answer(1, answer_at(5, {next}), kNow), Answered::anew)
      << "the truth went back between the epoch and the page";
}

TEST(ConsentCopy, a_truth_that_counts_less_without_a_new_line_is_noticed_too) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer_at(9, {record("1", {"a"})}), kNow);
  EXPECT_EQ(copy.on_answer(9, answer_at(3, {}), kNow), Answered::anew);
}

TEST(ConsentCopies, a_lease_is_not_renewed_by_a_truth_that_went_back) {
  ConsentCopies copies;
  const auto tenant = TenantId::trusted("t");
  const auto bob = MateId::trusted("bob");
  SteadyTime now{std::chrono::seconds(10)};
  const auto pointer = copies.fresh(tenant, bob, now).to_load;
  const auto load = copies.begin_load(pointer, now);
  ASSERT_TRUE(load);
  auto lost = record("2", {"b"});
  lost.epoch = lost.mate_epoch = 2;
  EXPECT_EQ(ConsentCopies::take_page(*load, 0, answer({record("1", {"a"}), lost}), kNow), Answered::all);
  ConsentCopies::end_load(*load, ConsentCopies::Loaded::all);
  ASSERT_NE(copies.fresh(tenant, bob, now).index, nullptr);

  auto rounds = copies.to_renew(now);
  auto& renewal = rounds.front().second.front();
  ConsentCopies::ask(renewal, now + 100ms);
  for (const std::uint64_t back : {std::uint64_t{1}, kNextLine})
    EXPECT_FALSE(ConsentCopies::renew(renewal, back));
  const auto again = copies.begin_load(pointer, now + 200ms);
  EXPECT_EQ(ConsentCopies::take_page(*again, 2, answer_at(kNextLine, {}), kNow), Answered::anew);
  ConsentCopies::end_load(*again, ConsentCopies::Loaded::failed);
  EXPECT_EQ(copies.fresh(tenant, bob, now + 200ms).index, nullptr) << "closed until all is here again";
  const auto once_more = copies.begin_load(pointer, now + 300ms);
  const auto all = answer_at(kNextLine, {record("1", {"a"})});
  EXPECT_EQ(ConsentCopies::take_page(*once_more, 0, all, kNow), Answered::all);
  ConsentCopies::end_load(*once_more, ConsentCopies::Loaded::all);
  const auto fresh = copies.fresh(tenant, bob, now + 300ms);
  ASSERT_NE(fresh.index, nullptr);
  EXPECT_NE(code(*fresh.index, "b"), DecisionCode::granted);
}

}  // namespace
}  // namespace intra365::guard
