// What is accepted: our own tokens, the vectors of the RFCs, and tokens of other issuers under their key
// sets.
#include "crypto/jws.hpp"

#include <gtest/gtest.h>

#include "crypto/jws_test_support.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;

TEST(SigningKey, its_tokens_verify_under_its_published_key) {
  const SigningKey key = SigningKey::generate();
  const auto verified = key_set({key.public_jwk()}).verify(key.sign("at+jwt", R"({"sub":"mate-7"})"));
  ASSERT_TRUE(verified) << verified.error().detail;
  EXPECT_EQ(verified->typ, "at+jwt");
  EXPECT_EQ(verified->payload, R"({"sub":"mate-7"})");
  EXPECT_EQ(verified->kid, key.kid());
}

TEST(SigningKey, seed_gives_the_key_and_thumbprint_of_rfc_8037) {
  const auto key = SigningKey::from_seed(*decode_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"));
  ASSERT_TRUE(key);
  EXPECT_EQ(base64url(key->public_key()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  EXPECT_EQ(key->kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  EXPECT_EQ(SigningKey::from_seed(key->seed())->kid(), key->kid());
  EXPECT_FALSE(SigningKey::from_seed("short"));
}

TEST(SigningKey, published_key_holds_no_secret) {
  const bj::value jwk = SigningKey::generate().public_jwk();
  EXPECT_FALSE(jwk.as_object().contains("d"));
  EXPECT_EQ(jwk.at("kty").as_string(), "OKP");
  EXPECT_EQ(jwk.at("use").as_string(), "sig");
}

TEST(KeySet, verifies_the_es256_token_of_rfc_7515) {
  const KeySet keys = key_set({{{"kty", "EC"},
                                {"crv", "P-256"},
                                {"x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"},
                                {"y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}});
  EXPECT_TRUE(
      keys.verify("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
                  "LmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlS"
                  "ApmWQxfKTUJqPP3-Kg6NU1Q"));
}

TEST(KeySet, verifies_the_rs256_token_of_rfc_7515) {
  const KeySet keys = key_set({{{"kty", "RSA"},
                                {"e", "AQAB"},
                                {"n",
                                 "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
                                 "4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-"
                                 "SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
                                 "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
                                 "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"
                                 "I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
                                 "hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}}});
  const auto verified = keys.verify(
      "eyJhbGciOiJSUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
      "cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
      "O8W2Fp5jujGbds9uJd"
      "bF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
      "eSN9383LcOL"
      "n6_dO--xi12jzDwusC-"
      "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp"
      "0igcN_IoypGlUPQGe77Rw");
  ASSERT_TRUE(verified) << verified.error().detail;
  EXPECT_EQ(verified->typ, "");
}

TEST(KeySet, each_kid_leads_to_its_own_key_and_algorithm) {
  const ForeignKey rsa = ForeignKey::rsa();
  const ForeignKey ec = ForeignKey::p256();
  const SigningKey own = SigningKey::generate();
  const KeySet keys = key_set({rsa.jwk("r"), ec.jwk("e"), own.public_jwk()});
  EXPECT_EQ(keys.size(), 3U);
  EXPECT_TRUE(keys.contains("r"));
  const auto sign_rsa = [&](const std::string& text) { return rsa.sign(text); };
  const auto sign_ec = [&](const std::string& text) { return ec.sign(text); };
  EXPECT_TRUE(keys.verify(compact(R"({"alg":"RS256","kid":"r"})", "{}", sign_rsa)));
  EXPECT_TRUE(keys.verify(compact(R"({"alg":"ES256","kid":"e"})", "{}", sign_ec)));
  EXPECT_TRUE(keys.verify(own.sign("JWT", "{}")));
  EXPECT_TRUE(
      keys.verify(compact(R"({"alg":"ES256","kid":"r"})", "{}", sign_ec)).error().is(errors::bad_algorithm));
  EXPECT_TRUE(
      keys.verify(compact(R"({"alg":"RS256","kid":"e"})", "{}", sign_rsa)).error().is(errors::bad_algorithm));
  EXPECT_TRUE(
      keys.verify(compact(R"({"alg":"ES256","kid":"x"})", "{}", sign_ec)).error().is(errors::unknown_key));
}

TEST(KeySet, new_name_of_the_ed25519_algorithm_is_known) {
  const SigningKey key = SigningKey::generate();
  bj::object jwk = key.public_jwk().as_object();
  jwk["alg"] = "Ed25519";
  EXPECT_TRUE(key_set({jwk}).verify(key.sign("JWT", "{}")));
}

TEST(KeySet, token_without_kid_is_tried_only_where_one_key_stands) {
  const ForeignKey ec = ForeignKey::p256();
  const std::string token =
      compact(R"({"alg":"ES256"})", "{}", [&](const std::string& text) { return ec.sign(text); });
  EXPECT_TRUE(key_set({ec.jwk("e")}).verify(token));
  EXPECT_TRUE(
      key_set({ec.jwk("e"), ForeignKey::p256().jwk("f")}).verify(token).error().is(errors::unknown_key));
  EXPECT_TRUE(key_set({}).verify(token).error().is(errors::unknown_key));
}

TEST(KeySet, keys_that_must_not_verify_are_left_out) {
  const ForeignKey ec = ForeignKey::p256();
  static const ForeignKey rsa = ForeignKey::rsa();
  const auto with = [](bj::object jwk, const char* name, const bj::value& value) {
    jwk[name] = value;
    return jwk;
  };
  EXPECT_EQ(key_set({with(ec.jwk("k"), "key_ops", bj::array{"verify"})}).size(), 1U);
  EXPECT_EQ(key_set({with(rsa.jwk("k"), "alg", "RS256")}).size(), 1U);
  for (const bj::object& jwk : {with(ec.jwk("k"), "use", "enc"),
                                with(ec.jwk("k"), "use", nullptr),
                                with(ec.jwk("k"), "key_ops", bj::array{"sign"}),
                                with(ec.jwk("k"), "key_ops", "verify"),
                                with(ec.jwk("k"), "alg", "ES384"),
                                with(ec.jwk("k"), "alg", nullptr),
                                with(rsa.jwk("k"), "alg", "PS256"),
                                with(rsa.jwk("k"), "alg", "RS512"),
                                with(rsa.jwk("k"), "alg", "HS256"),
                                with(rsa.jwk("k"), "e", "AQ"),
                                with(rsa.jwk("k"), "e", "AA"),
                                with(rsa.jwk("k"), "e", ""),
                                with(rsa.jwk("k"), "e", "Ag"),
                                with(rsa.jwk("k"), "n", "AQAB"),
                                with(rsa.jwk("k"), "d", "AQAB"),
                                with(ec.jwk("k"), "crv", "P-384"),
                                with(ec.jwk("k"), "crv", "secp256k1"),
                                with(ec.jwk("k"), "kid", ""),
                                with(ec.jwk("k"), "kid", 7),
                                with(ec.jwk("k"), "x", ec.jwk("k").at("y")),
                                with(ec.jwk("k"), "x", ""),
                                with(ec.jwk("k"), "kid", bj::string(300, 'k')),
                                with(ec.jwk("k"), "issuer", 7),
                                with(SigningKey::generate().public_jwk().as_object(), "x",
                                     bj::value_from(base64url(std::string(1, '\1') + std::string(31, '\0')))),
                                with(SigningKey::generate().public_jwk().as_object(), "crv", "X25519"),
                                ForeignKey::rsa(1024).jwk("k"),
                                bj::object{{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "k"}, {"alg", "HS256"}},
                                bj::object{}})
    EXPECT_EQ(key_set({jwk}).size(), 0U) << bj::serialize(jwk);
}

TEST(KeySet, one_kid_for_two_keys_is_nobodys) {
  const ForeignKey first = ForeignKey::p256();
  EXPECT_EQ(key_set({first.jwk("k"), first.jwk("k")}).size(), 1U) << "the same key twice is one key";
  EXPECT_EQ(key_set({first.jwk("k"), ForeignKey::p256().jwk("k"), first.jwk("k")}).size(), 0U);
}

TEST(KeySet, issuer_of_a_key_is_told) {
  const ForeignKey ec = ForeignKey::p256();
  bj::object jwk = ec.jwk("e");
  jwk["issuer"] = "https://login.example/{tenantid}/v2.0";
  const auto verified = key_set({jwk}).verify(
      compact(R"({"alg":"ES256","kid":"e"})", "{}", [&](const std::string& text) { return ec.sign(text); }));
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->key_issuer, "https://login.example/{tenantid}/v2.0");
}

TEST(KeySet, malformed_documents_are_refused) {
  for (const std::string_view text :
       {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[],"keys":[]})", R"({"keys":[]} x)"})
    EXPECT_TRUE(KeySet::parse(text).error().is(errors::bad_key_set)) << text;
  EXPECT_EQ(KeySet::parse(std::string_view(R"({"keys":[1,null,"x",[]]})"))->size(), 0U);
  EXPECT_FALSE(KeySet::parse("{\"keys\":[" + std::string(300'000, ' ') + "]}"));
  EXPECT_FALSE(KeySet::parse(bj::value(bj::object{{"keys", bj::array(101)}})));
}

}  // namespace
}  // namespace intra365::crypto
