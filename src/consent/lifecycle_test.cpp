#include "consent/lifecycle.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace intra365::consent {
namespace {

using namespace std::chrono_literals;

const Timestamp kStart = *parse_rfc3339("2026-06-01T12:00:00Z");
const ConsentId kId = ConsentId::trusted("c1");

Moment at(Timestamp now) {
  return {"user:alice", now};
}

GrantRequest wish(std::vector<std::string> scopes = {"profile", "image.analyze"},
                  std::vector<std::string> purposes = {"reading"}) {
  GrantRequest request;
  request.user_id = UserId::trusted("alice");
  request.mate_id = MateId::trusted("bob");
  for (auto& scope : scopes) request.scopes.push_back(Scope::trusted(scope));
  for (auto& purpose : purposes) request.purposes.push_back(Purpose::trusted(purpose));
  return request;
}

template <class Decided>
std::string refusal(const Decided& decided) {
  return decided ? "" : decided.error().code;
}

/// A consent and the changes that made it.
struct Life {
  Consent record;
  std::vector<HistoryEntry> changes;
  bool go(Result<HistoryEntry> decided) {
    if (!decided) return false;
    apply(record, *decided);
    changes.push_back(*decided);
    return true;
  }
};

Life granted(GrantRequest request = wish()) {
  Life life;
  EXPECT_TRUE(life.go(decide_grant(kId, request, Catalogue(), at(kStart))));
  return life;
}

NarrowRequest to_scopes(std::vector<std::string> scopes) {
  NarrowRequest request;
  request.consent_id = kId;
  for (auto& scope : scopes) request.scopes.push_back(Scope::trusted(scope));
  return request;
}

TEST(Lifecycle, a_grant_needs_names_and_a_time_to_come) {
  EXPECT_EQ(refusal(decide_grant(kId, wish({}), Catalogue(), at(kStart))), "request.bad_value");
  EXPECT_EQ(refusal(decide_grant(kId, wish({"a"}, {}), Catalogue(), at(kStart))), "request.bad_value");
  auto past = wish();
  past.expires_at = kStart;
  EXPECT_EQ(refusal(decide_grant(kId, past, Catalogue(), at(kStart))), "consent.expiry_in_the_past");
  auto far = wish();
  far.expires_at = kStart + kMaxLifetime + 1us;
  EXPECT_EQ(refusal(decide_grant(kId, far, Catalogue(), at(kStart))), "consent.lifetime_too_long");
  const auto life = granted();
  EXPECT_TRUE(life.record.granted);
  EXPECT_EQ(life.record.status, Status::active);
  EXPECT_EQ(life.record.revision, 1u);
}

TEST(Lifecycle, narrowing_never_widens) {
  auto life = granted();
  EXPECT_EQ(refusal(decide_narrow(life.record, to_scopes({"health"}), at(kStart))), "consent.not_narrower");
  EXPECT_EQ(refusal(decide_narrow(life.record, to_scopes({"image"}), at(kStart))), "consent.not_narrower");
  EXPECT_EQ(refusal(decide_narrow(life.record, to_scopes({}), at(kStart))), "request.bad_value");
  ASSERT_TRUE(life.go(decide_narrow(life.record, to_scopes({"profile.read"}), at(kStart + 1h))));
  EXPECT_EQ(life.record.scopes, std::vector{Scope::trusted("profile.read")});
  EXPECT_EQ(life.record.purposes, wish().purposes);
  EXPECT_EQ(life.record.revision, 2u);
  NarrowRequest until;
  until.expires_at = kStart + 24h;
  ASSERT_TRUE(life.go(decide_narrow(life.record, until, at(kStart + 2h))));
  until.expires_at = kStart + 25h;
  EXPECT_EQ(refusal(decide_narrow(life.record, until, at(kStart + 3h))), "consent.not_narrower");
}

TEST(Lifecycle, of_two_writers_one_wins_and_the_other_learns_the_revision) {
  auto life = granted();
  HoldRequest hold;
  hold.revision = 1;
  ASSERT_TRUE(life.go(decide_suspend(life.record, hold, at(kStart))));
  const auto late = decide_suspend(life.record, hold, at(kStart));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::conflict);
  EXPECT_EQ(late.error().code, "consent.conflict");
  EXPECT_EQ(late.error().detail, "the current revision is 2");
}

TEST(Lifecycle, a_pause_ends_only_by_resuming_or_revoking) {
  auto life = granted();
  EXPECT_EQ(refusal(decide_resume(life.record, {}, at(kStart))), "consent.wrong_state");
  ASSERT_TRUE(life.go(decide_suspend(life.record, {}, at(kStart))));
  EXPECT_FALSE(life.record.granted);
  EXPECT_EQ(refusal(decide_suspend(life.record, {}, at(kStart))), "consent.wrong_state");
  ASSERT_TRUE(life.go(decide_narrow(life.record, to_scopes({"profile"}), at(kStart))));
  EXPECT_EQ(life.record.status, Status::suspended);
  ASSERT_TRUE(life.go(decide_resume(life.record, {}, at(kStart))));
  EXPECT_TRUE(life.record.granted);
  ASSERT_TRUE(life.go(decide_suspend(life.record, {}, at(kStart))));
  ASSERT_TRUE(life.go(decide_revoke(life.record, {}, {}, at(kStart))));
  EXPECT_EQ(refusal(decide_resume(life.record, {}, at(kStart))), "consent.wrong_state");
}

TEST(Lifecycle, renewing_lengthens_and_revives_what_expired_but_not_what_was_revoked) {
  auto request = wish();
  request.expires_at = kStart + 24h;
  auto life = granted(request);
  RenewRequest renewal;
  renewal.expires_at = kStart + 12h;
  EXPECT_EQ(refusal(decide_renew(life.record, renewal, Catalogue(), at(kStart))), "consent.not_longer");
  renewal.expires_at = kStart + 72h;
  ASSERT_TRUE(life.go(decide_renew(life.record, renewal, Catalogue(), at(kStart + 48h))));
  EXPECT_EQ(life.record.expires_at, kStart + 72h);
  ASSERT_TRUE(life.go(decide_revoke(life.record, {}, {}, at(kStart + 49h))));
  renewal.expires_at = kStart + 96h;
  EXPECT_EQ(refusal(decide_renew(life.record, renewal, Catalogue(), at(kStart + 50h))),
            "consent.wrong_state");
}

TEST(Lifecycle, a_refusal_is_kept_and_allows_nothing) {
  RefuseRequest request;
  request.user_id = UserId::trusted("alice");
  request.mate_id = MateId::trusted("bob");
  request.purposes = wish().purposes;
  request.scopes = wish().scopes;
  Life life;
  ASSERT_TRUE(life.go(decide_refuse(kId, request, Catalogue(), at(kStart))));
  EXPECT_FALSE(life.record.granted);
  EXPECT_EQ(life.record.status, Status::refused);
  EXPECT_EQ(refusal(decide_resume(life.record, {}, at(kStart))), "consent.wrong_state");
  EXPECT_EQ(refusal(decide_renew(life.record, {}, Catalogue(), at(kStart))), "consent.wrong_state");
}

TEST(Lifecycle, looking_back_tells_what_held_from_what_was_known) {
  auto life = granted();
  ASSERT_TRUE(life.go(decide_narrow(life.record, to_scopes({"profile"}), at(kStart + 5h))));
  // On paper at 3, learned at 8.
  ASSERT_TRUE(life.go(decide_revoke(life.record, {}, kStart + 3h, at(kStart + 8h))));
  const auto status = [&](Timestamp valid, Timestamp known) {
    const auto records = fold(life.changes, valid, known);
    return records.empty() ? "none" : std::string(boost::describe::enum_to_string(records[0].status, "?"));
  };
  EXPECT_EQ(status(kStart - 1h, kStart + 9h), "none");
  EXPECT_EQ(status(kStart + 4h, kStart + 4h), "active") << "by what we knew then";
  EXPECT_EQ(status(kStart + 4h, kStart + 9h), "revoked") << "by what we know now";
  EXPECT_EQ(status(kStart + 2h, kStart + 9h), "active");
  EXPECT_EQ(status(kStart + 6h, kStart + 9h), "revoked") << "a later change does not bring it back";
  EXPECT_EQ(fold(life.changes, kStart + 4h, kStart + 4h)[0].scopes.size(), 2u);
  EXPECT_EQ(fold(life.changes, kStart + 6h, kStart + 6h)[0].scopes.size(), 1u);
}

TEST(Lifecycle, a_revocation_cannot_lie_in_the_future_nor_before_the_grant) {
  const auto life = granted();
  EXPECT_EQ(refusal(decide_revoke(life.record, {}, kStart + 2h, at(kStart + 1h))), "request.bad_value");
  const auto early = decide_revoke(life.record, {}, kStart - 2h, at(kStart + 1h));
  ASSERT_TRUE(early);
  EXPECT_EQ(early->valid_from, kStart);
}

TEST(Lifecycle, duplicated_and_shuffled_changes_fold_to_the_same) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    auto life = granted();
    auto now = kStart;
    for (int step = 0; step < 12; ++step) {
      now += std::chrono::minutes(random() % 3);  // sometimes in the same microsecond
      switch (random() % 5) {
        case 0:
          life.go(decide_suspend(life.record, {}, at(now)));
          break;
        case 1:
          life.go(decide_resume(life.record, {}, at(now)));
          break;
        case 2:
          life.go(decide_narrow(life.record, to_scopes({"profile"}), at(now)));
          break;
        case 3:
          life.go(decide_narrow(life.record, to_scopes({"profile.read"}), at(now)));
          break;
        default:
          if (random() % 4 == 0) life.go(decide_revoke(life.record, {}, {}, at(now)));
      }
    }
    auto seen = life.changes;
    seen.insert(seen.end(), life.changes.begin(), life.changes.end());
    std::ranges::shuffle(seen, random);
    const auto folded = fold(seen, now, now);
    ASSERT_EQ(folded.size(), 1u);
    EXPECT_EQ(json::encode(folded[0]), json::encode(life.record));
  }
}

TEST(Lifecycle, nothing_brings_back_what_was_superseded_and_a_history_without_its_beginning_allows_nothing) {
  auto life = granted();
  ASSERT_TRUE(life.go(decide_supersede(life.record, ConsentId::trusted("c2"), at(kStart + 1h))));
  EXPECT_EQ(life.record.superseded_by, ConsentId::trusted("c2"));
  EXPECT_EQ(refusal(decide_revoke(life.record, {}, {}, at(kStart + 2h))), "consent.wrong_state");
  auto paused = granted();
  ASSERT_TRUE(paused.go(decide_suspend(paused.record, {}, at(kStart))));
  ASSERT_TRUE(paused.go(decide_resume(paused.record, {}, at(kStart))));
  paused.changes.erase(paused.changes.begin(), paused.changes.begin() + 2);
  EXPECT_FALSE(fold(paused.changes, kStart, kStart)[0].granted);
}

DelegateRequest to(std::string mate, std::vector<std::string> scopes = {}, int depth = 0) {
  DelegateRequest request;
  request.mate_id = MateId::trusted(std::move(mate));
  for (auto& scope : scopes) request.scopes.push_back(Scope::trusted(scope));
  request.delegation_depth = depth;
  return request;
}

TEST(Delegation, only_narrower_never_longer_not_too_far_and_not_in_a_circle) {
  auto request = wish({"profile", "image"});
  request.delegation_depth = 2;
  request.expires_at = kStart + 24h;
  const auto top = granted(request).record;
  const auto next = ConsentId::trusted("c2"), last = ConsentId::trusted("c3");
  const auto hand_on = [&](const DelegateRequest& wanted) {
    return decide_delegate(next, top, {}, wanted, at(kStart));
  };
  EXPECT_EQ(refusal(hand_on(to("carol", {"health"}))), "consent.not_narrower");
  auto longer = to("carol");
  longer.expires_at = kStart + 25h;
  EXPECT_EQ(refusal(hand_on(longer)), "consent.not_narrower");
  EXPECT_EQ(refusal(hand_on(to("carol", {}, 2))), "consent.not_delegable");
  EXPECT_EQ(refusal(hand_on(to("bob"))), "consent.delegation_cycle");
  EXPECT_EQ(refusal(decide_delegate(next, top, {}, to("carol"), at(kStart + 24h))), "consent.wrong_state");
  EXPECT_EQ(refusal(decide_delegate(next, granted().record, {}, to("carol"), at(kStart))),
            "consent.not_delegable");

  Life second;
  ASSERT_TRUE(second.go(hand_on(to("carol", {"profile.read"}, 1))));
  EXPECT_EQ(second.record.parent_id, kId);
  EXPECT_EQ(second.record.expires_at, top.expires_at);
  EXPECT_TRUE(second.record.granted);
  const std::vector above{top};
  EXPECT_EQ(refusal(decide_delegate(last, second.record, above, to("bob"), at(kStart))),
            "consent.delegation_cycle");
  EXPECT_EQ(refusal(decide_delegate(last, second.record, above, to("dave", {"profile"}), at(kStart))),
            "consent.not_narrower");
  EXPECT_TRUE(decide_delegate(last, second.record, above, to("dave"), at(kStart)));
}

TEST(Delegation, what_happens_above_holds_below) {
  auto request = wish({"profile", "image"});
  request.delegation_depth = 1;
  auto top = granted(request);
  Life child;
  ASSERT_TRUE(child.go(decide_delegate(ConsentId::trusted("c2"), top.record, {}, to("carol"), at(kStart))));
  const auto holds = [&] { return effective(child.record, std::span(&top.record, 1)); };
  EXPECT_TRUE(holds().granted);
  ASSERT_TRUE(top.go(decide_suspend(top.record, {}, at(kStart))));
  EXPECT_EQ(holds().status, Status::suspended);
  ASSERT_TRUE(top.go(decide_resume(top.record, {}, at(kStart))));
  EXPECT_TRUE(holds().granted);
  NarrowRequest less = to_scopes({"profile.read"});
  less.expires_at = kStart + 1h;
  ASSERT_TRUE(top.go(decide_narrow(top.record, less, at(kStart))));
  EXPECT_EQ(holds().scopes, std::vector{Scope::trusted("profile.read")});
  EXPECT_EQ(holds().expires_at, kStart + 1h);
  ASSERT_TRUE(top.go(decide_revoke(top.record, {}, {}, at(kStart))));
  EXPECT_EQ(holds().status, Status::revoked);
  EXPECT_FALSE(holds().granted);
}

TEST(Delegation, not_to_a_Mate_that_the_person_has_refused_the_same_since) {
  auto request = wish({"profile", "image"});
  request.delegation_depth = 1;
  const auto top = granted(request).record;
  const auto delegated =
      decide_delegate(ConsentId::trusted("c2"), top, {}, to("carol", {"profile"}), at(kStart));
  ASSERT_TRUE(delegated);
  Consent no = top;
  no.mate_id = MateId::trusted("carol");
  no.status = Status::refused;
  no.scopes = {Scope::trusted("profile.read")};
  no.epoch = 7;
  EXPECT_EQ(refusal(check_not_refused(*delegated, std::vector{no})), "consent.refused_by_person");
  auto yes = top;
  yes.mate_id = no.mate_id;
  yes.epoch = 6;
  EXPECT_FALSE(check_not_refused(*delegated, std::vector{no, yes}));
  yes.epoch = 8;
  EXPECT_TRUE(check_not_refused(*delegated, std::vector{no, yes}));
  no.scopes = {Scope::trusted("image")};
  EXPECT_TRUE(check_not_refused(*delegated, std::vector{no})) << "it was about something else";
}

TEST(Objection, takes_the_purpose_with_all_below_it_and_whatever_is_wider) {
  const auto left = [](std::vector<std::string> held, std::string objected) -> std::string {
    Consent record;
    apply(record, *decide_grant(kId, wish({"profile"}, std::move(held)), Catalogue(), at(kStart)));
    const std::vector<Purpose> purposes{Purpose::trusted(std::move(objected))};
    const auto decided = decide_object(record, purposes, at(kStart));
    EXPECT_TRUE(decided);
    if (!*decided) return "untouched";
    if ((*decided)->event == EventKind::revoked) return "revoked";
    std::string text;
    for (const auto& one : (*decided)->purposes) text += one.str() + " ";
    return text;
  };
  EXPECT_EQ(left({"marketing"}, "marketing"), "revoked");
  EXPECT_EQ(left({"marketing.email", "billing"}, "marketing"), "billing ");
  EXPECT_EQ(left({"marketing", "billing"}, "marketing.email"), "billing ");
  EXPECT_EQ(left({"marketing"}, "marketin"), "untouched");
  EXPECT_EQ(left({"billing", "research"}, "marketing"), "untouched");
}

TEST(Catalogue, a_closed_one_refuses_what_it_does_not_list_but_knows_what_is_below) {
  CatalogueReply own;
  own.closed = true;
  own.scopes.push_back({Scope::trusted("telemetry"), ""});
  own.purposes.push_back({Purpose::trusted("billing"), "", std::nullopt, 30});
  const Catalogue catalogue(own);
  EXPECT_TRUE(decide_grant(kId, wish({"telemetry.engine.rpm"}, {"billing"}), catalogue, at(kStart)));
  EXPECT_TRUE(decide_grant(kId, wish({"profile.read"}, {"research.cancer"}), catalogue, at(kStart)));
  EXPECT_EQ(refusal(decide_grant(kId, wish({"telemetr"}, {"billing"}), catalogue, at(kStart))),
            "consent.unknown_scope");
  EXPECT_EQ(refusal(decide_grant(kId, wish({"profile"}, {"spying"}), catalogue, at(kStart))),
            "consent.unknown_purpose");
  EXPECT_TRUE(decide_grant(kId, wish({"whatever"}, {"spying"}), Catalogue(), at(kStart))) << "open";
}

TEST(Catalogue, the_shortest_lifetime_of_the_purposes_binds) {
  CatalogueReply own;
  own.purposes.push_back({Purpose::trusted("billing"), "", std::nullopt, 30});
  own.purposes.push_back({Purpose::trusted("research"), "", 10, 60});
  const Catalogue catalogue(own);
  const auto usual = [&](std::vector<std::string> purposes) {
    return decide_grant(kId, wish({"a"}, std::move(purposes)), catalogue, at(kStart))->expires_at;
  };
  EXPECT_EQ(usual({"else"}), kStart + kMaxLifetime) << "nothing lasts for ever";
  EXPECT_EQ(usual({"billing"}), kStart + std::chrono::days(30));
  EXPECT_EQ(usual({"billing", "research.x"}), kStart + std::chrono::days(10));
  auto request = wish({"a"}, {"billing", "research"});
  request.expires_at = kStart + std::chrono::days(30);
  EXPECT_TRUE(decide_grant(kId, request, catalogue, at(kStart)));
  request.expires_at = kStart + std::chrono::days(31);
  EXPECT_EQ(refusal(decide_grant(kId, request, catalogue, at(kStart))), "consent.lifetime_too_long");
}

TEST(Catalogue, what_is_below_a_purpose_binds_it_too_since_it_is_covered) {
  CatalogueReply own;
  own.purposes.push_back({Purpose::trusted("analytics.health"), "", 10, 30});
  const Catalogue catalogue(own);
  auto request = wish({"a"}, {"analytics"});
  EXPECT_EQ(decide_grant(kId, request, catalogue, at(kStart))->expires_at, kStart + std::chrono::days(10));
  request.expires_at = kStart + std::chrono::days(31);
  EXPECT_EQ(refusal(decide_grant(kId, request, catalogue, at(kStart))), "consent.lifetime_too_long");
  request.purposes = {Purpose::trusted("analytics.healthy")};
  EXPECT_TRUE(decide_grant(kId, request, catalogue, at(kStart))) << "another name, not one below";
}

TEST(Lifecycle, no_change_lets_a_consent_end_later_than_any_may) {
  const auto far = *parse_rfc3339("9999-12-31T23:59:59Z");
  auto endless = granted();
  endless.record.expires_at.reset();  // from before every consent had an end
  NarrowRequest less;
  less.expires_at = far;
  EXPECT_EQ(refusal(decide_narrow(endless.record, less, at(kStart))), "consent.lifetime_too_long");
  less.expires_at = kStart + kMaxLifetime;
  EXPECT_TRUE(decide_narrow(endless.record, less, at(kStart)));
  RenewRequest more;
  more.expires_at = far;
  EXPECT_EQ(refusal(decide_renew(granted().record, more, Catalogue(), at(kStart))),
            "consent.lifetime_too_long");
  endless.record.delegation_depth = 1;
  auto handed_on = to("carol");
  handed_on.expires_at = far;
  EXPECT_EQ(refusal(decide_delegate(ConsentId::trusted("c2"), endless.record, {}, handed_on, at(kStart))),
            "consent.lifetime_too_long");
}

TEST(Refusal, takes_from_an_older_consent_what_it_is_about) {
  const auto left = [](std::vector<std::string> purposes, std::vector<std::string> scopes,
                       std::string refused_purpose, std::string refused_scope) -> std::string {
    Consent record;
    apply(record, *decide_grant(kId, wish(std::move(scopes), std::move(purposes)), Catalogue(), at(kStart)));
    const std::vector refused_purposes{Purpose::trusted(std::move(refused_purpose))};
    const std::vector refused_scopes{Scope::trusted(std::move(refused_scope))};
    const auto decided = decide_give_way(record, refused_purposes, refused_scopes, at(kStart + 1h));
    EXPECT_TRUE(decided);
    if (!*decided) return "untouched";
    if ((*decided)->event == EventKind::revoked) return "revoked";
    std::string text;
    for (const auto& one : (*decided)->purposes) text += one.str() + " ";
    text += "for";
    for (const auto& one : (*decided)->scopes) text += " " + one.str();
    return text;
  };
  EXPECT_EQ(left({"marketing"}, {"profile"}, "marketing", "profile"), "revoked");
  EXPECT_EQ(left({"marketing.email"}, {"profile.read"}, "marketing", "profile"), "revoked");
  EXPECT_EQ(left({"marketing"}, {"profile"}, "marketing.email", "profile.read"), "revoked")
      << "what is wider cannot be kept in part";
  EXPECT_EQ(left({"marketing", "billing"}, {"profile"}, "marketing", "profile"), "billing for profile");
  EXPECT_EQ(left({"marketing"}, {"profile", "image"}, "marketing", "profile"), "marketing for image");
  EXPECT_EQ(left({"marketing", "billing"}, {"profile", "image"}, "marketing", "profile"),
            "billing for profile image")
      << "of a part of both, the purposes go";
  EXPECT_EQ(left({"marketing"}, {"profile"}, "marketing", "image"), "untouched");
  EXPECT_EQ(left({"marketing"}, {"profile"}, "billing", "profile"), "untouched");
}

}  // namespace
}  // namespace intra365::consent
