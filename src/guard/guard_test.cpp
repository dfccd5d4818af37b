#include <gtest/gtest.h>

#include "guard/consent_index.hpp"
#include "guard/lease.hpp"
#include "guard/policy_set.hpp"
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

TEST(Lease, lives_a_second_from_the_question_and_not_over_a_gap) {
  Lease lease;
  const SteadyTime asked{1h};
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

policy::Rule rule(policy::RuleEffect effect, std::string subject, std::string resource,
                  std::map<std::string, boost::json::value> conditions = {}) {
  return {effect, {std::move(subject)}, {std::move(resource)}, {"read"}, std::move(conditions)};
}

policy::Policy policy_of(std::vector<policy::Rule> rules, std::int64_t priority = 100) {
  policy::Policy one;
  one.policy_id = PolicyId::trusted("p" + std::to_string(priority));
  one.name = "test";
  one.type = "test";
  one.rules = std::move(rules);
  one.priority = priority;
  return one;
}

bool allowed(const std::vector<policy::Policy>& policies, std::string_view subject, std::string_view resource,
             boost::json::object attributes = {}) {
  const auto set = PolicySet::compile(policies);
  EXPECT_TRUE(set);
  return (*set)->evaluate({subject, "read", resource, &attributes}).allowed();
}

constexpr auto kAllow = policy::RuleEffect::allow;
constexpr auto kDeny = policy::RuleEffect::deny;

TEST(Policy, nothing_is_allowed_that_no_rule_allows) {
  EXPECT_FALSE(allowed({}, "mate:x", "doc:y"));
  EXPECT_TRUE(allowed({policy_of({rule(kAllow, "mate:x", "doc:y")})}, "mate:x", "doc:y"));
  EXPECT_FALSE(allowed({policy_of({rule(kAllow, "mate:x", "doc:y")})}, "mate:z", "doc:y"));
}

TEST(Policy, patterns_match_whole_segments) {
  const auto health = policy_of({rule(kAllow, "mate:*", "user:*/health-records")});
  EXPECT_TRUE(allowed({health}, "mate:x", "user:alice/health-records"));
  EXPECT_FALSE(allowed({health}, "mate:x", "user:alice/health-records/1"));
  EXPECT_FALSE(allowed({health}, "mate:x", "user:alice"));
  EXPECT_FALSE(allowed({health}, "mate:", "user:alice/health-records"));
  const auto below = policy_of({rule(kAllow, "mate:*", "mate:*/*")});
  EXPECT_TRUE(allowed({below}, "mate:x", "mate:y/image/analyze"));
  EXPECT_FALSE(allowed({below}, "mate:x", "mate:y"));
  EXPECT_FALSE(allowed({policy_of({rule(kAllow, "mate:x", "doc:y")})}, "mate:x", "doc:y/secret"));
}

TEST(Policy, deny_wins_inside_a_tier_and_higher_tiers_decide_first) {
  const auto both = policy_of({rule(kAllow, "mate:x", "doc:y"), rule(kDeny, "mate:x", "doc:y")});
  EXPECT_FALSE(allowed({both}, "mate:x", "doc:y"));
  EXPECT_TRUE(allowed({both, policy_of({rule(kAllow, "mate:x", "doc:y")}, 200)}, "mate:x", "doc:y"));
}

TEST(Policy, a_missing_attribute_denies_in_a_deny_rule_and_does_not_allow_in_an_allow_rule) {
  const auto blocked = policy_of(
      {rule(kAllow, "mate:x", "doc:y"), rule(kDeny, "mate:x", "doc:y", {{"context.blocked", true}})});
  EXPECT_FALSE(allowed({blocked}, "mate:x", "doc:y"));
  EXPECT_FALSE(allowed({blocked}, "mate:x", "doc:y", {{"context", {{"blocked", true}}}}));
  EXPECT_TRUE(allowed({blocked}, "mate:x", "doc:y", {{"context", {{"blocked", false}}}}));
  EXPECT_FALSE(
      allowed({policy_of({rule(kAllow, "mate:x", "doc:y", {{"user.country", "US"}})})}, "mate:x", "doc:y"));
}

TEST(Policy, malformed_policies_are_refused_with_their_place) {
  for (const auto* resource : {"", "a*b", "doc:y//z", "doc: y", "doc:\xd0\xb0"}) {
    const auto valid = validate(policy_of({rule(kAllow, "mate:x", resource)}));
    ASSERT_FALSE(valid) << resource;
    EXPECT_EQ(valid.error().code, "policy.invalid");
    EXPECT_NE(valid.error().detail.find("rules[0].resources[0]"), std::string::npos) << valid.error().detail;
  }
  EXPECT_FALSE(validate(policy_of({rule(kAllow, "mate:x", "doc:y", {{"country", "US"}})})));
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
