// What is refused: the known attacks on JWS verifiers, each against a set with one key of every algorithm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/jws.hpp"
#include "crypto/jws_test_support.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;

class Attack : public ::testing::Test {
 protected:
  static const ForeignKey& rsa() {
    static const ForeignKey key = ForeignKey::rsa();
    return key;
  }
  const ForeignKey ec = ForeignKey::p256();
  const SigningKey own = SigningKey::generate();
  const KeySet keys = key_set({rsa().jwk("r"), ec.jwk("e"), own.public_jwk()});

  std::string by_ec(std::string_view header, std::string_view payload = "{}") const {
    return compact(header, payload, [&](const std::string& text) { return ec.sign(text); });
  }
  std::string by_rsa(std::string_view header,
                     ForeignKey::Padding padding = ForeignKey::Padding::pkcs1) const {
    return compact(header, "{}", [&](const std::string& text) { return rsa().sign(text, padding); });
  }
  /// The code of the refusal, or "accepted".
  std::string outcome(std::string_view token) const {
    const auto verified = keys.verify(token);
    return verified ? "accepted" : verified.error().code;
  }
};

TEST_F(Attack, the_tokens_that_the_attacks_start_from_are_good) {
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e"})")), "accepted");
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"RS256","kid":"r","x5t":"abc"})")), "accepted");
}

TEST_F(Attack, algorithm_none_in_any_spelling) {
  for (const std::string_view kid : {"r", "e"})
    for (const std::string_view none : {"none", "None", "NONE", "nOnE", "", "null"}) {
      const std::string header =
          "{\"alg\":\"" + std::string(none) + "\",\"kid\":\"" + std::string(kid) + "\"}";
      EXPECT_EQ(outcome(base64url(header) + ".e30."), "token.bad_algorithm") << header;
      EXPECT_EQ(outcome(by_ec(header)), "token.bad_algorithm") << header;
    }
  for (const std::string_view header : {R"({"kid":"e"})", R"({"alg":null,"kid":"e"})",
                                        R"({"alg":["ES256"],"kid":"e"})", R"({"alg":256,"kid":"e"})"})
    EXPECT_EQ(outcome(by_ec(header)), "token.malformed") << header;
}

TEST_F(Attack, symmetric_signature_with_the_public_key_as_secret) {
  const bj::object jwk = rsa().jwk("r");
  const std::string modulus(jwk.at("n").as_string());
  for (const std::string& secret :
       {bj::serialize(jwk), modulus, *decode_base64url(modulus), std::string(own.public_key())})
    for (const std::string_view kid :
         {std::string_view("r"), std::string_view("e"), std::string_view(own.kid())})
      EXPECT_EQ(outcome(compact("{\"alg\":\"HS256\",\"kid\":\"" + std::string(kid) + "\"}", "{}",
                                [&](const std::string& text) { return hmac_sha256(secret, text); })),
                "token.bad_algorithm");
}

TEST_F(Attack, ecdsa_signature_of_zero_or_of_other_size) {
  const std::string header = R"({"alg":"ES256","kid":"e"})";
  const std::string order = *decode_base64url("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
  const std::string good = ec.sign(base64url(header) + ".e30");
  const std::string zero(32, '\0');
  for (const std::string& signature :
       {std::string(64, '\0'), zero + good.substr(32), good.substr(0, 32) + zero, order + order, zero + order,
        std::string(64, '\xff'), std::string(), good.substr(0, 63), good + '\0', '\0' + good, good + good,
        std::string(1, '\0') + good.substr(0, 32) + std::string(1, '\0') + good.substr(32),
        std::string(72, '\x30')})
    EXPECT_EQ(outcome(compact(header, "{}", [&](const std::string&) { return signature; })),
              "token.bad_signature");
}

TEST_F(Attack, rsa_signature_of_other_padding_size_or_content) {
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"PS256","kid":"r"})", ForeignKey::Padding::pss)), "token.bad_algorithm");
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"RS256","kid":"r"})", ForeignKey::Padding::pss)), "token.bad_signature");
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"PS256","kid":"r"})")), "token.bad_algorithm");
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"RS384","kid":"r"})")), "token.bad_algorithm");
  EXPECT_EQ(outcome(by_rsa(R"({"alg":"rs256","kid":"r"})")), "token.bad_algorithm");
  const std::string header = R"({"alg":"RS256","kid":"r"})";
  const std::string good = rsa().sign(base64url(header) + ".e30");
  for (const std::string& signature :
       {std::string(), '\0' + good, good + '\0', good.substr(1), std::string(256, '\0'),
        std::string(255, '\0') + '\1', std::string(256, '\xff')})
    EXPECT_EQ(outcome(compact(header, "{}", [&](const std::string&) { return signature; })),
              "token.bad_signature");
}

TEST_F(Attack, every_changed_character_is_noticed) {
  const std::string token = own.sign("at+jwt", R"({"sub":"mate-7"})");
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(outcome(changed), "accepted") << i;
    EXPECT_NE(outcome(token.substr(0, i)), "accepted") << i;
  }
}

TEST_F(Attack, key_or_its_address_inside_the_token) {
  const ForeignKey attacker = ForeignKey::p256();
  const auto sign = [&](const std::string& text) { return attacker.sign(text); };
  const std::string jwk = bj::serialize(attacker.jwk("e"));
  EXPECT_EQ(outcome(compact(R"({"alg":"ES256","kid":"e","jwk":)" + jwk + "}", "{}", sign)),
            "token.malformed");
  for (const std::string_view member : {"jku", "x5u", "x5c", "jwk"})
    EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e",")" + std::string(member) +
                            R"(":"https://evil.example"})")),
              "token.malformed")
        << member;
  EXPECT_EQ(outcome(compact(R"({"alg":"ES256","kid":"e"})", "{}", sign)), "token.bad_signature");
}

TEST_F(Attack, critical_extensions_and_unencoded_payload) {
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","crit":["exp"]})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","crit":[]})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","b64":false,"crit":["b64"]})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","b64":true})")), "token.malformed");
}

TEST_F(Attack, duplicate_members_in_header_and_claims) {
  EXPECT_EQ(outcome(by_ec(R"({"alg":"none","alg":"ES256","kid":"e"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","\u0061lg":"none","kid":"e"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"x","kid":"e"})")), "token.malformed");
  const std::string header = R"({"alg":"ES256","kid":"e"})";
  EXPECT_EQ(outcome(by_ec(header, R"({"sub":"a","sub":"b"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(header, R"({"sub":"a","s\u0075b":"b"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(header, R"({"act":{"sub":"a","sub":"b"}})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(header, R"({"list":[{"a":1,"a":2}]})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(header, R"({"sub":"a","act":{"sub":"b"}})")), "accepted");
}

TEST_F(Attack, claims_that_are_no_strict_json_object) {
  const std::string header = R"({"alg":"ES256","kid":"e"})";
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "{\"a\":";
  deep += "1" + std::string(40, '}');
  for (const std::string& payload :
       {std::string(), std::string("[]"), std::string("\"x\""), std::string("{} {}"), std::string("{,}"),
        std::string("{\"a\":NaN}"), std::string("{\"a\":1,}"), std::string("/**/{}"),
        std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":\"\0\"}", 9), deep})
    EXPECT_EQ(outcome(by_ec(header, payload)), "token.malformed") << payload;
}

TEST_F(Attack, parts_too_few_too_many_or_encrypted) {
  const std::string token = by_ec(R"({"alg":"ES256","kid":"e"})");
  for (const std::string& form :
       {std::string(), std::string("."), std::string(".."), std::string("a.b"), token + ".", token + ".a",
        "." + token, token + ".a.b", std::string("a.b.c.d.e")})
    EXPECT_EQ(outcome(form), "token.malformed") << form;
  // A compact JWE has five parts and names its encryption.
  EXPECT_EQ(outcome(base64url(R"({"alg":"dir","enc":"A128GCM","zip":"DEF"})") + "..aXY.dGV4dA.dGFn"),
            "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","enc":"A128GCM"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","zip":"DEF"})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","cty":"JWT"})")), "token.malformed");
}

TEST_F(Attack, tokens_above_16_kib) {
  const auto of_size = [&](std::size_t size) {
    return own.sign("JWT", "{\"a\":\"" + std::string(size, 'a') + "\"}");
  };
  EXPECT_EQ(outcome(of_size(12'000)), "accepted");
  EXPECT_EQ(outcome(of_size(12'200)), "token.malformed");
  EXPECT_EQ(outcome(std::string(1 << 20, 'a')), "token.malformed");
}

TEST_F(Attack, kid_that_is_a_path_a_query_or_no_string) {
  for (const std::string_view kid : {"../../dev/null", "/etc/passwd", "' OR 1=1 --",
                                     "https://evil.example/jwks", "e\\u0000", "E", "e ", "", "*"})
    EXPECT_EQ(outcome(by_ec("{\"alg\":\"ES256\",\"kid\":\"" + std::string(kid) + "\"}")), "token.unknown_key")
        << kid;
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":["e"]})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":null})")), "token.malformed");
  EXPECT_EQ(outcome(by_ec(R"({"alg":"ES256","kid":"e","typ":1})")), "token.malformed");
}

TEST_F(Attack, spellings_of_base64_that_are_not_canonical) {
  const std::string header = base64url(R"({"alg":"ES256","kid":"e"})");
  const std::string signature = base64url(ec.sign(header + ".e30"));
  ASSERT_EQ(outcome(header + ".e30." + signature), "accepted");
  // 64 bytes leave 4 unused bits in the last character: only one of its 16 spellings is right.
  std::string loose = signature;
  loose.back() = static_cast<char>(loose.back() + 1);
  for (const std::string& token :
       {header + ".e30." + loose, header + ".e30." + signature + "==", header + ".e30=." + signature,
        header + ".e30." + signature + "\n", " " + header + ".e30." + signature,
        header + ".e3 0." + signature, header + ".e31." + signature})
    EXPECT_EQ(outcome(token), "token.malformed") << token;
}

TEST_F(Attack, refusals_do_not_repeat_what_the_token_holds) {
  const auto verified = keys.verify(by_ec(R"({"alg":"ES256","kid":"secret-kid"})"));
  EXPECT_THAT(verified.error().detail, ::testing::Not(::testing::HasSubstr("secret-kid")));
}

}  // namespace
}  // namespace intra365::crypto
