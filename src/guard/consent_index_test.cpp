#include "guard/consent_copies.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "guard/running_use.hpp"

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
using Pruned = ConsentCopy::Pruned;

constexpr Instant at(Timestamp wall) {
  return {wall, BootTime(std::chrono::hours(1))};
}

TEST(ConsentCopy, a_late_push_of_what_was_forgotten_changes_nothing) {
  ConsentCopy copy(MateId::trusted("bob"));
  const auto granted = record("1", {"a"});
  EXPECT_EQ(copy.on_answer(0, answer({granted}), at(kNow)), Answered::all);
  EXPECT_EQ(copy.on_push(revoked_at(2), at(kNow)), Push::applied);
  copy.prune(at(kNow + 25h));  // a day later, or the clock was set
  EXPECT_EQ(copy.on_push(granted, at(kNow + 25h)), Push::old);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
  EXPECT_EQ(copy.on_answer(1, answer({granted}), at(kNow + 25h)), Answered::all) << "overtaken by the push";
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
  EXPECT_EQ(copy.mate_epoch(), 2u);
}

TEST(ConsentCopy, a_push_that_overtook_another_counts_at_once_and_shows_the_gap) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record("1", {"a"})}), at(kNow));
  EXPECT_EQ(copy.on_push(revoked_at(3), at(kNow)), Push::gap);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::revoked);
  EXPECT_EQ(copy.question().mate_epoch, 1u);
}

/// The simulation found it: the first answer is silent about what was revoked since.
TEST(ConsentCopy, what_was_pushed_before_the_first_answer_is_not_taken) {
  ConsentCopy copy(MateId::trusted("bob"));
  EXPECT_EQ(copy.on_push(record("1", {"a"}), at(kNow)), Push::gap);
  consent::SyncReply nothing_holds;
  nothing_holds.mate_epoch = 2;
  EXPECT_EQ(copy.on_answer(0, nothing_holds, at(kNow)), Answered::all);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::none);
}

TEST(ConsentCopy, a_clock_that_was_ahead_and_is_set_back_costs_a_sync_and_no_consent) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto granted = record("1", {"a"});
  granted.expires_at = kNow + 1h;
  copy.on_answer(0, answer({granted}), at(kNow));
  EXPECT_EQ(copy.prune(at(kNow + 48h)), Pruned::kept);
  EXPECT_EQ(copy.index().size(), 0u);
  EXPECT_EQ(copy.prune(at(kNow)), Pruned::emptied) << "the lease must not be used until all is here again";
  EXPECT_EQ(copy.question().mate_epoch, 0u);
  copy.on_answer(0, answer({granted}), at(kNow));
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::granted);
  EXPECT_EQ(copy.prune(at(kNow)), Pruned::kept) << "once";
}

TEST(ConsentCopy, a_clock_that_is_set_back_by_little_forgets_nothing_wrongly) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto granted = record("1", {"a"});
  granted.expires_at = kNow + 5min;
  copy.on_answer(0, answer({granted}), at(kNow));
  EXPECT_EQ(copy.prune(at(kNow + 24h + 10min)), Pruned::kept);
  EXPECT_EQ(copy.prune(at(kNow + 12h)), Pruned::kept) << "it is over by this clock, too";
  EXPECT_EQ(copy.prune(at(kNow)), Pruned::emptied) << "two steps back are as one";
}

TEST(ConsentCopy, an_expiry_is_decided_by_the_later_clock) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto granted = record("1", {"a"});
  granted.expires_at = kNow + 10s;
  auto reply = answer({granted});
  reply.server_time = kNow + 9s;
  copy.on_answer(0, reply, at(kNow - 48h));
  EXPECT_EQ(code(copy.index(), "a", "alice", copy.time(at(kNow - 48h))), DecisionCode::granted);
  const Instant later{kNow - 48h, at(kNow).boot + 1s};
  EXPECT_EQ(code(copy.index(), "a", "alice", copy.time(later)), DecisionCode::expired);
  EXPECT_EQ(copy.time(at(kNow + 1h)), kNow + 1h);
}

// --- A use that goes on

ConsentedUse use_of(std::string consent) {
  return {ConsentId::trusted(std::move(consent)),
          UserId::trusted("alice"),
          MateId::trusted("bob"),
          {Scope::trusted("a")},
          Purpose::trusted("analytics")};
}

TEST(RunningUse, a_copy_that_was_emptied_ends_nothing_until_it_is_filled_again) {
  ConsentCopy copy(MateId::trusted("bob"));
  const auto granted = record("1", {"a"});
  copy.on_answer(0, answer({granted}), at(kNow));
  const auto use = use_of("1");
  EXPECT_TRUE(still_covered(copy, use, CopyIs::certain, at(kNow))->certain);
  auto gone_back = answer({});
  gone_back.mate_epoch = std::uint64_t{1} << kEpochCountBits;
  ASSERT_EQ(copy.on_answer(1, gone_back, at(kNow)), Answered::anew);
  const auto unsure = still_covered(copy, use, CopyIs::behind, at(kNow));
  ASSERT_TRUE(unsure);
  EXPECT_FALSE(unsure->certain);
  ASSERT_EQ(copy.on_answer(0, gone_back, at(kNow)), Answered::all);
  EXPECT_EQ(still_covered(copy, use, CopyIs::certain, at(kNow)).error().code, "consent.none");
}

TEST(RunningUse, what_is_known_to_be_over_is_over_although_the_copy_is_behind) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record("1", {"a"})}), at(kNow));
  ASSERT_EQ(copy.on_push(revoked_at(3), at(kNow)), Push::gap);
  EXPECT_EQ(still_covered(copy, use_of("1"), CopyIs::behind, at(kNow)).error().code, "consent.revoked");
}

/// The simulation found it: the copy knew the refusal again, and not yet the consent beside it.
TEST(RunningUse, under_a_groups_consent_part_of_an_answer_ends_nothing) {
  ConsentCopy copy(MateId::trusted("bob"), Holding::everything);
  auto organisation = record("1", {"a"}, "organisation:t");
  auto refused = record("2", {"a"});
  set_status(refused, Status::refused);
  refused.mate_epoch = 2;
  auto page = answer({organisation, refused});
  page.mate_epoch = 3;
  page.more = true;
  ASSERT_EQ(copy.on_answer(0, page, at(kNow)), Answered::more);
  for (const auto copy_is : {CopyIs::behind, CopyIs::certain}) {
    const auto unsure = still_covered(copy, use_of("1"), copy_is, at(kNow));
    ASSERT_TRUE(unsure);
    EXPECT_FALSE(unsure->certain);
  }
  auto own = record("3", {"a"});
  own.mate_epoch = 3;
  ASSERT_EQ(copy.on_answer(2, answer({own}), at(kNow)), Answered::all);
  EXPECT_TRUE(still_covered(copy, use_of("1"), CopyIs::certain, at(kNow))->certain);
}

TEST(RunningUse, waits_two_seconds_for_whoever_knows_and_stays_as_it_ended) {
  RunningUse use;
  const BootTime now{1h};
  EXPECT_EQ(use.hear(true, now), true);
  EXPECT_EQ(use.hear(false, now + 1s), false);
  EXPECT_EQ(use.hear(true, now + 2s), true);
  EXPECT_EQ(use.hear(false, now + 3s), false);
  EXPECT_EQ(use.hear(false, now + 4999ms), false);
  EXPECT_EQ(use.hear(false, now + 5s).error().code, "guard.lease_expired");
  EXPECT_EQ(use.hear(true, now + 6s).error().code, "guard.lease_expired");
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
  copy.on_answer(0, answer({kept, lost}), at(kNow));
  EXPECT_EQ(code(copy.index(), "b"), DecisionCode::granted);

  EXPECT_EQ(copy.on_answer(2, answer_at(kNextLine, {}), at(kNow)), Answered::anew);
  EXPECT_EQ(copy.index().size(), 0u);
  EXPECT_EQ(copy.question().mate_epoch, 0u);
  EXPECT_EQ(copy.on_answer(0, answer_at(kNextLine, {kept}), at(kNow)), Answered::all);
  EXPECT_EQ(code(copy.index(), "a"), DecisionCode::granted);
  EXPECT_NE(code(copy.index(), "b"), DecisionCode::granted);
  EXPECT_EQ(copy.mate_epoch(), kNextLine);
  EXPECT_EQ(copy.on_push(lost, at(kNow)), Push::old) << "told before the truth went back";
  auto next = record("3", {"c"});
  next.epoch = next.mate_epoch = kNextLine + 1;
  EXPECT_EQ(copy.on_push(next, at(kNow)), Push::applied);
}

TEST(ConsentCopy, a_lost_change_that_is_told_late_does_not_fit_while_all_is_asked_for_anew) {
  ConsentCopy copy(MateId::trusted("bob"));
  auto page = answer_at(kNextLine, {record("1", {"a"})});
  page.more = true;
  EXPECT_EQ(copy.on_answer(0, page, at(kNow)), Answered::more);
  auto lost = record("2", {"b"});
  lost.epoch = lost.mate_epoch = 2;
  EXPECT_EQ(copy.on_push(lost, at(kNow)), Push::old);
  EXPECT_EQ(copy.on_answer(1, answer_at(kNextLine, {}), at(kNow)), Answered::all);
  EXPECT_NE(code(copy.index(), "b"), DecisionCode::granted);
}

TEST(ConsentCopy, a_push_from_the_new_line_is_a_gap_and_a_page_of_it_begins_anew) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer({record("1", {"a"})}), at(kNow));
  auto next = record("1", {"a", "b"});
  next.epoch = next.mate_epoch = kNextLine + 1;
  EXPECT_EQ(copy.on_push(next, at(kNow)), Push::gap);
  EXPECT_EQ(copy.on_answer(1, answer_at(5, {next}), at(kNow)), Answered::anew)
      << "the truth went back between the epoch and the page";
}

TEST(ConsentCopy, a_truth_that_counts_less_without_a_new_line_is_noticed_too) {
  ConsentCopy copy(MateId::trusted("bob"));
  copy.on_answer(0, answer_at(9, {record("1", {"a"})}), at(kNow));
  EXPECT_EQ(copy.on_answer(9, answer_at(3, {}), at(kNow)), Answered::anew);
}

using Taken = ConsentCopies::Taken;

TEST(ConsentCopies, a_lease_is_not_renewed_by_a_truth_that_went_back) {
  ConsentCopies copies;
  const auto tenant = TenantId::trusted("t");
  const auto bob = MateId::trusted("bob");
  BootTime now{std::chrono::seconds(10)};
  const auto pointer = copies.fresh(tenant, bob, {kNow, now}).to_load;
  const auto load = copies.begin_load(pointer, now);
  ASSERT_TRUE(load);
  auto lost = record("2", {"b"});
  lost.epoch = lost.mate_epoch = 2;
  EXPECT_EQ(copies.take_page(*load, 0, answer({record("1", {"a"}), lost}), at(kNow)), Taken::all);
  copies.end_load(*load, ConsentCopies::Loaded::all, now);
  ASSERT_NE(copies.fresh(tenant, bob, {kNow, now}).index, nullptr);

  auto rounds = copies.to_renew(now);
  auto& renewal = rounds.front().second.front();
  ConsentCopies::ask(renewal, now + 100ms);
  for (const std::uint64_t back : {std::uint64_t{1}, kNextLine})
    EXPECT_FALSE(ConsentCopies::renew(renewal, back, kNow, {kNow, now + 150ms}));
  const auto again = copies.begin_load(pointer, now + 200ms);
  EXPECT_EQ(copies.take_page(*again, 2, answer_at(kNextLine, {}), at(kNow)), Taken::anew);
  copies.end_load(*again, ConsentCopies::Loaded::anew, now + 200ms);
  EXPECT_EQ(copies.fresh(tenant, bob, {kNow, now + 200ms}).index, nullptr)
      << "closed until all is here again";
  const auto once_more = copies.begin_load(pointer, now + 300ms);
  const auto all = answer_at(kNextLine, {record("1", {"a"})});
  EXPECT_EQ(copies.take_page(*once_more, 0, all, at(kNow)), Taken::all);
  copies.end_load(*once_more, ConsentCopies::Loaded::all, now + 300ms);
  const auto fresh = copies.fresh(tenant, bob, {kNow, now + 300ms});
  ASSERT_NE(fresh.index, nullptr);
  EXPECT_NE(code(*fresh.index, "b"), DecisionCode::granted);
}

class ConsentCopiesTest : public testing::Test {
 protected:
  ConsentCopiesTest() {
    limits_.copies = 5;
    limits_.on_trial = 10;
    limits_.loads = 3;
    limits_.records = 4;
  }
  Instant now() const { return {kNow, now_}; }
  ConsentCopies::Fresh ask(const std::string& mate) {
    return copies().fresh(tenant_, MateId::trusted(mate), now());
  }
  /// Somebody asks about a Mate, which has so many consents; true when there is a copy of them afterwards.
  bool filled(const std::string& mate, int consents = 1) {
    const auto fresh = ask(mate);
    if (fresh.index != nullptr) return true;
    const auto load = fresh.to_load ? copies().begin_load(fresh.to_load, now_) : std::nullopt;
    if (!load) return false;
    std::vector<consent::Consent> records;
    for (int i = 1; i <= consents; ++i) {
      records.push_back(record(mate + std::to_string(i), {"a"}));
      records.back().mate_id = MateId::trusted(mate);
      records.back().mate_epoch = static_cast<std::uint64_t>(i);
    }
    const auto taken = copies().take_page(*load, 0, answer(std::move(records)), now());
    copies().end_load(*load, taken == Taken::all ? ConsentCopies::Loaded::all : ConsentCopies::Loaded::failed,
                      now_);
    return taken == Taken::all;
  }
  ConsentCopies& copies() {
    if (!copies_) copies_.emplace(limits_);
    return *copies_;
  }
  ConsentCopies::Limits limits_;
  std::optional<ConsentCopies> copies_;
  const TenantId tenant_ = TenantId::trusted("t");
  BootTime now_{std::chrono::hours(1)};
};

TEST_F(ConsentCopiesTest, invented_names_keep_no_mate_from_its_copy) {
  ASSERT_TRUE(filled("bob"));
  for (int i = 0; i < 1000; ++i) filled("invented-" + std::to_string(i), 0);
  EXPECT_LE(copies().size(tenant_), limits_.on_trial + limits_.copies + 1);
  EXPECT_NE(ask("bob").index, nullptr);
  EXPECT_TRUE(filled("late"));
  for (int i = 0; i < 1000; ++i) ask("never-loaded-" + std::to_string(i));
  EXPECT_NE(ask("late").index, nullptr);
}

TEST_F(ConsentCopiesTest, the_mate_that_was_asked_about_least_lately_makes_room) {
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(filled("mate-" + std::to_string(i)));
  EXPECT_NE(ask("mate-0").index, nullptr);
  for (int i = 6; i < 30; ++i) {
    ASSERT_TRUE(filled("mate-" + std::to_string(i)));
    EXPECT_NE(ask("mate-0").index, nullptr) << "it is in use";
  }
  EXPECT_EQ(ask("mate-1").index, nullptr);
  EXPECT_LE(copies().size(tenant_), limits_.on_trial + limits_.copies + 1);
}

TEST_F(ConsentCopiesTest, what_nobody_uses_for_long_is_forgotten) {
  ASSERT_TRUE(filled("bob"));
  ASSERT_TRUE(filled("empty", 0));
  now_ += ConsentCopies::kInUse;
  EXPECT_TRUE(copies().to_renew(now_).empty());
  EXPECT_EQ(copies().size(tenant_), 2u);
  now_ += ConsentCopies::kKept;
  copies().to_renew(now_);
  EXPECT_EQ(copies().size(tenant_), 0u);
}

TEST_F(ConsentCopiesTest, only_so_many_loads_are_under_way) {
  std::vector<ConsentCopies::Load> loads;
  for (int i = 0; i < 3; ++i) loads.push_back(*copies().begin_load(ask(std::to_string(i)).to_load, now_));
  EXPECT_EQ(ask("3").to_load, nullptr);
  copies().end_load(loads.front(), ConsentCopies::Loaded::failed, now_);
  EXPECT_NE(ask("3").to_load, nullptr);
}

TEST_F(ConsentCopiesTest, a_load_that_fails_is_not_repeated_at_once) {
  for (const auto pause : {100ms, 200ms, 400ms}) {
    const auto load = copies().begin_load(ask("bob").to_load, now_);
    copies().end_load(*load, ConsentCopies::Loaded::failed, now_);
    now_ += pause - 1ms;
    EXPECT_EQ(ask("bob").to_load, nullptr);
    now_ += 1ms;
    EXPECT_NE(ask("bob").to_load, nullptr);
  }
  EXPECT_TRUE(filled("bob"));
}

TEST_F(ConsentCopiesTest, a_mate_with_too_many_consents_has_no_copy) {
  EXPECT_FALSE(filled("bob", 5));
  EXPECT_EQ(ask("bob").index, nullptr);
  now_ += 1min;
  EXPECT_EQ(ask("bob").to_load, nullptr) << "and is not asked for again soon";
  EXPECT_TRUE(filled("carl", 4));
}

TEST_F(ConsentCopiesTest, an_expiry_is_decided_by_the_databases_clock_where_that_is_later) {
  ASSERT_TRUE(filled("bob"));
  EXPECT_EQ(ask("bob").time, kNow);
  auto rounds = copies().to_renew(now_);
  auto& renewal = rounds.front().second.front();
  ConsentCopies::ask(renewal, now_);
  ASSERT_TRUE(ConsentCopies::renew(renewal, 1, kNow + 1h, now()));
  EXPECT_EQ(ask("bob").time, kNow + 1h);
}

}  // namespace
}  // namespace intra365::guard
