#include <gtest/gtest.h>

#include <map>
#include <random>

#include "guard/consent_index.hpp"
#include "guard/epochs.hpp"
#include "guard/lease.hpp"
#include "guard/token.hpp"

namespace intra365::guard {
namespace {

using namespace std::chrono_literals;
using consent::DecisionCode;

const Timestamp kNow = *parse_rfc3339("2026-06-01T12:00:00Z");

consent::Consent record(std::string id, std::vector<std::string> scopes, std::string purpose = "analytics") {
  consent::Consent one;
  one.consent_id = ConsentId::trusted(std::move(id));
  one.user_id = UserId::trusted("alice");
  one.mate_id = MateId::trusted("bob");
  one.purposes = {Purpose::trusted(std::move(purpose))};
  for (auto& scope : scopes) one.scopes.push_back(Scope::trusted(scope));
  one.granted = true;
  one.granted_at = kNow - 1h;
  one.epoch = one.mate_epoch = 1;
  return one;
}

DecisionCode decide(const std::vector<consent::Consent>& records, std::vector<std::string> scopes,
                    Timestamp now = kNow) {
  ConsentIndex index;
  for (const auto& one : records) index.apply(one);
  std::vector<Scope> needed;
  for (auto& scope : scopes) needed.push_back(Scope::trusted(scope));
  return index
      .decide(UserId::trusted("alice"), MateId::trusted("bob"), needed, Purpose::trusted("analytics"), now)
      .code;
}

std::string new_uuid_like(std::size_t number) {
  auto text = std::to_string(number);
  return "01234567-89ab-7cde-8f01-" + std::string(12 - text.size(), '0') + text;
}

TEST(Consent, one_record_must_cover_every_scope_and_the_purpose) {
  EXPECT_EQ(decide({}, {"a"}), DecisionCode::none);
  EXPECT_EQ(decide({record("1", {"a", "b"})}, {"a", "b"}), DecisionCode::granted);
  EXPECT_EQ(decide({record("1", {"a"})}, {"a", "b"}), DecisionCode::scope_missing);
  EXPECT_EQ(decide({record("1", {"a"}), record("2", {"b"})}, {"a", "b"}), DecisionCode::scope_missing);
  EXPECT_EQ(decide({record("1", {"a"}, "marketing")}, {"a"}), DecisionCode::purpose_mismatch);
}

TEST(Consent, a_scope_covers_those_below_it_and_no_others) {
  EXPECT_EQ(decide({record("1", {"profile"})}, {"profile.read"}), DecisionCode::granted);
  EXPECT_EQ(decide({record("1", {"profile.read"})}, {"profile"}), DecisionCode::scope_missing);
  EXPECT_EQ(decide({record("1", {"profile"})}, {"profiles"}), DecisionCode::scope_missing);
}

TEST(Consent, expiry_is_decided_by_the_clock_to_the_microsecond) {
  auto one = record("1", {"a"});
  one.expires_at = kNow;
  EXPECT_EQ(decide({one}, {"a"}, kNow - 1us), DecisionCode::granted);
  EXPECT_EQ(decide({one}, {"a"}, kNow), DecisionCode::expired);
}

TEST(Consent, revoked_denies_and_an_older_record_cannot_bring_it_back) {
  ConsentIndex index;
  auto revoked = record("1", {"a"});
  revoked.granted = false;
  revoked.revoked_at = kNow;
  revoked.epoch = 5;
  index.apply(revoked);
  index.apply(record("1", {"a"}));  // arrives late, epoch 1
  const std::vector<Scope> scopes{Scope::trusted("a")};
  EXPECT_EQ(index
                .decide(UserId::trusted("alice"), MateId::trusted("bob"), scopes,
                        Purpose::trusted("analytics"), kNow)
                .code,
            DecisionCode::revoked);
  index.prune(kNow + 1s);
  EXPECT_EQ(index.size(), 0u);
}

/// Random records, changes and questions: the index answers as the plain function over all records does.
TEST(Consent, the_index_agrees_with_the_plain_function) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t end) { return random() % end; };
  const std::vector<std::string> names{"profile", "profile.read", "profile.read.name",
                                       "mail",    "mail.send",    "x.y"};
  const auto some = [&](auto make) {
    std::vector<decltype(make(std::string()))> list;
    for (std::size_t i = below(4) + 1; i > 0; --i) list.push_back(make(names[below(names.size())]));
    return list;
  };
  std::map<std::string, consent::Consent> truth;
  ConsentIndex index;
  for (int round = 0; round < 20'000; ++round) {
    consent::Consent one;
    const auto number = below(300);
    // A user and a Mate belong to a consent for ever.
    one.consent_id =
        ConsentId::trusted(number % 2 == 0 ? "c" + std::to_string(number) : new_uuid_like(number));
    one.user_id = UserId::trusted("u" + std::to_string(number % 7));
    one.mate_id = MateId::trusted("m" + std::to_string(number % 3));
    one.purposes = some([](std::string text) { return Purpose::trusted(std::move(text)); });
    one.scopes = some([](std::string text) { return Scope::trusted(std::move(text)); });
    one.granted = below(4) != 0;
    if (!one.granted) one.revoked_at = kNow - 1h;
    if (below(3) == 0) one.expires_at = kNow + std::chrono::minutes(static_cast<int>(below(3)) - 1);
    one.epoch = below(1000);
    index.apply(one);
    auto& known = truth[one.consent_id.str()];
    if (known.consent_id.empty() || one.epoch >= known.epoch) known = one;

    const auto user = UserId::trusted("u" + std::to_string(below(8)));
    const auto mate = MateId::trusted("m" + std::to_string(below(4)));
    const auto scopes = some([](std::string text) { return Scope::trusted(std::move(text)); });
    const auto purpose = Purpose::trusted(names[below(names.size())]);
    std::vector<const consent::Consent*> records;
    for (const auto& [id, record] : truth) {
      if (record.user_id == user && record.mate_id == mate) records.push_back(&record);
    }
    ASSERT_EQ(index.decide(user, mate, scopes, purpose, kNow).code,
              decide_consent(records, scopes, purpose, kNow).code);
    if (round % 5'000 == 4'999) {
      index.prune(kNow, 1'000);
      std::erase_if(truth, [](const auto& item) {
        const auto& record = item.second;
        return (record.revoked_at && *record.revoked_at < kNow) ||
               (record.expires_at && *record.expires_at < kNow);
      });
      ASSERT_EQ(index.size(), truth.size());
    }
  }
}

TEST(Lease, lives_a_second_from_the_question_and_not_over_a_gap) {
  Lease lease;
  const SteadyTime asked{1h};
  EXPECT_FALSE(lease.alive(asked));
  EXPECT_TRUE(lease.renew(lease.ask(asked)));
  EXPECT_TRUE(lease.alive(asked + kLeaseDuration - 1ms));
  EXPECT_FALSE(lease.alive(asked + kLeaseDuration));
  const auto before_the_gap = lease.ask(asked + 500ms);
  lease.fall_behind();
  EXPECT_FALSE(lease.alive(asked + 501ms));
  EXPECT_FALSE(lease.renew(before_the_gap));
  EXPECT_FALSE(lease.alive(asked + 501ms));
  EXPECT_TRUE(lease.renew(lease.ask(asked + 600ms)));
  EXPECT_TRUE(lease.alive(asked + 700ms));
}

TEST(Epochs, know_the_next_the_old_and_the_gap) {
  Epochs epochs;
  EXPECT_EQ(epochs.pushed(1), Push::applied);
  EXPECT_EQ(epochs.pushed(1), Push::old);
  EXPECT_EQ(epochs.pushed(3), Push::gap);
  EXPECT_EQ(epochs.at(), 1u);
  epochs.sync_begins();
  EXPECT_EQ(epochs.pushed(6), Push::applied) << "what lies between is being asked for";
  EXPECT_EQ(epochs.pushed(5), Push::applied);
  EXPECT_TRUE(epochs.sync_ended(4));
  EXPECT_EQ(epochs.at(), 6u);
  epochs.sync_begins();
  EXPECT_EQ(epochs.pushed(9), Push::applied);
  EXPECT_FALSE(epochs.sync_ended(7)) << "8 is missing";
  EXPECT_EQ(epochs.pushed(9), Push::gap);
}

class Tokens : public testing::Test {
 protected:
  Tokens() {
    verifier_.set_keys(*crypto::KeySet::parse(boost::json::value{{"keys", {key_.public_jwk()}}}), "issuer");
  }
  std::string token(std::function<void(AccessTokenClaims&)> change = {}) {
    AccessTokenClaims claims;
    claims.iss = "issuer";
    claims.aud = access_token_audience;
    claims.sub = claims.client_id = "assistant";
    claims.jti = new_uuid();
    claims.tenant = "default";
    claims.kind = "mate";
    claims.iat = unix_seconds(clock_.now());
    claims.exp = claims.iat + 900;
    claims.roles = {"mate"};
    if (change) change(claims);
    return key_.sign(access_token_type, json::encode(claims));
  }
  std::string refusal(const std::string& text) {
    const auto verified = verifier_.verify(text);
    return verified ? "" : verified.error().code;
  }
  ManualClock clock_{kNow};
  crypto::SigningKey key_ = crypto::SigningKey::generate();
  TokenVerifier verifier_{clock_};
};

TEST_F(Tokens, a_good_token_names_its_holder_until_it_expires) {
  const auto text = token();
  const auto verified = verifier_.verify_header("Bearer " + text);
  ASSERT_TRUE(verified);
  EXPECT_EQ((*verified)->subject(), "mate:assistant");
  clock_.advance(899s);
  EXPECT_EQ(refusal(text), "");
  clock_.advance(1s);
  EXPECT_EQ(refusal(text), "token.expired");
}

TEST_F(Tokens, foreign_and_strange_tokens_are_refused) {
  EXPECT_EQ(refusal(token([](auto& claims) { claims.iss = "other"; })), "token.wrong_issuer");
  EXPECT_EQ(refusal(token([](auto& claims) { claims.aud = "other"; })), "token.wrong_issuer");
  EXPECT_EQ(refusal(token([](auto& claims) { claims.kind = "service"; })), "token.malformed");
  EXPECT_EQ(refusal(token([](auto& claims) { claims.sub = "a.b"; })), "token.malformed");
  EXPECT_EQ(refusal(token([](auto& claims) {
              claims.iat += 3600;
              claims.exp += 3600;
            })),
            "token.malformed");
  EXPECT_EQ(refusal(crypto::SigningKey::generate().sign(access_token_type, "{}")), "token.unknown_key");
  EXPECT_EQ(verifier_.verify_header("").error().code, "token.missing");
}

TEST_F(Tokens, revocation_reaches_a_token_that_was_verified_before) {
  const auto text = token();
  EXPECT_EQ(refusal(text), "");
  auth::Revocation revocation;
  revocation.subject = "mate:assistant";
  revocation.revoked_at = clock_.now();
  revocation.expires_at = clock_.now() + 1h;
  verifier_.revocations().add(TenantId::trusted("default"), revocation);
  EXPECT_EQ(refusal(text), "token.revoked");
  clock_.advance(2s);
  EXPECT_EQ(refusal(token()), "");  // issued after the revocation
}

}  // namespace
}  // namespace intra365::guard
