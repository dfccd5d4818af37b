#include <gtest/gtest.h>

#include "guard/consent_decision.hpp"
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
  one.user_id = consent::SubjectId::trusted("alice");
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
  std::vector<const consent::Consent*> pointers;
  for (const auto& one : records) pointers.push_back(&one);
  std::vector<Scope> needed;
  for (auto& scope : scopes) needed.push_back(Scope::trusted(scope));
  return decide_consent(pointers, needed, Purpose::trusted("analytics"), now).code;
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

TEST(Lease, lives_a_second_from_the_question_and_not_over_a_gap) {
  Lease lease;
  const BootTime asked{1h};
  EXPECT_FALSE(lease.alive(asked));
  lease.renew(asked);
  EXPECT_TRUE(lease.alive(asked + kLeaseDuration - 1ms));
  EXPECT_FALSE(lease.alive(asked + kLeaseDuration));
  lease.renew(asked + 500ms);
  lease.fall_behind();
  EXPECT_FALSE(lease.alive(asked + 501ms));
  lease.renew(asked + 600ms);
  EXPECT_TRUE(lease.alive(asked + 700ms));
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
  verifier_.revocations().add(TenantId::trusted("default"), revocation, clock_.boot_now());
  EXPECT_EQ(refusal(text), "token.revoked");
  clock_.advance(2s);
  EXPECT_EQ(refusal(token()), "");  // issued after the revocation
}

TEST_F(Tokens, a_clock_that_was_ahead_and_is_set_back_brings_no_revoked_token_back) {
  const auto text = token();
  auth::Revocation revocation;
  revocation.subject = "mate:assistant";
  revocation.revoked_at = clock_.now();
  revocation.expires_at = clock_.now() + 1h;
  verifier_.revocations().add(TenantId::trusted("default"), revocation, clock_.boot_now());
  clock_.set(kNow + 48h);
  verifier_.revocations().prune(clock_.boot_now());
  clock_.set(kNow + 1s);
  EXPECT_EQ(refusal(text), "token.revoked");
  clock_.advance(3h);
  verifier_.revocations().prune(clock_.boot_now());
  EXPECT_EQ(verifier_.revocations().size(), 0u) << "no token lives as long";
}

TEST_F(Tokens, a_clock_that_is_behind_the_issuers_prolongs_no_token) {
  const auto text = token();
  EXPECT_EQ(refusal(text), "");
  verifier_.issuer_clock().hear(kNow + 890s, clock_.boot_now());
  EXPECT_EQ(refusal(text), "");
  clock_.advance(10s);
  EXPECT_EQ(refusal(text), "token.expired");
  verifier_.issuer_clock().hear(kNow - 48h, clock_.boot_now());
  EXPECT_EQ(refusal(token()), "") << "one that is ahead of the issuer's decides by itself";
}

TEST(TruthClock, is_the_later_of_both_and_goes_on_between_two_answers) {
  TruthClock clock;
  const BootTime boot{1h};
  EXPECT_EQ(clock.latest({kNow, boot}), kNow);
  clock.hear(kNow + 5s, boot);
  EXPECT_EQ(clock.latest({kNow, boot + 2s}), kNow + 7s);
  EXPECT_EQ(clock.latest({kNow + 48h, boot + 2s}), kNow + 48h);
  EXPECT_EQ(clock.latest({kNow - 48h, boot + 3s}), kNow + 8s) << "whatever ours is set to";
}

}  // namespace
}  // namespace intra365::guard
