#include "crypto/attestation.hpp"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

#include "crypto/canonical_json.hpp"

namespace intra365::crypto {
namespace {

std::string canonical(std::string_view text) {
  return canonical_json(boost::json::parse(text));
}

// The example of RFC 8785, 3.2.2.
TEST(CanonicalJson, prints_the_example_of_the_standard) {
  EXPECT_EQ(
      canonical(R"({"numbers":[1E30,4.50,2e-3,0.000000000000000000000000001],)"
                R"("string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]})"),
      "{\"literals\":[null,true,false],\"numbers\":[1e+30,4.5,0.002,1e-27],"
      "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

// RFC 8785, 3.2.3: names are sorted by their UTF-16 units.
TEST(CanonicalJson, sorts_members_by_the_utf16_units_of_their_names) {
  EXPECT_EQ(canonical(R"({"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7})"),
            "{\"\\r\":2,\"1\":4,\"\xC2\x80\":6,\"\xC3\xB6\":7,\"\xE2\x82\xAC\":1,\"\xF0\x9F\x98\x80\":5,"
            "\"\xEF\xAC\xB3\":3}");
}

// Samples of RFC 8785, appendix B.
TEST(CanonicalJson, prints_numbers_as_ecmascript_does) {
  const std::pair<double, const char*> cases[]{
      {-0.0, "0"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {9007199254740992.0, "9007199254740992"},
      {295147905179352830000.0, "295147905179352830000"},
      {9.999999999999997e22, "9.999999999999997e+22"},
      {1e23, "1e+23"},
      {1e21, "1e+21"},
      {999999999999999700000.0, "999999999999999700000"},
      {9.999999999999997e-7, "9.999999999999997e-7"},
      {0.000001, "0.000001"},
      {333333333.33333325, "333333333.33333325"},
      {-1.5, "-1.5"},
  };
  for (const auto& [number, text] : cases) EXPECT_EQ(canonical_json(boost::json::value(number)), text);
}

struct Signed {
  SigningKey key = SigningKey::generate();
  boost::json::value document = boost::json::parse(R"({"b":[1,2],"a":"x"})");
  std::string signature =
      attest(key, attested::consent_receipt, document, Timestamp(std::chrono::seconds(1'700'000'000)));
  KeySet keys = *KeySet::parse(boost::json::value{{"keys", {key.public_jwk()}}});
};

TEST(Attestation, holds_for_a_document_that_was_printed_anew) {
  const Signed one;
  const auto again = boost::json::parse(R"({ "a" : "\u0078", "b" : [ 1, 2 ] })");
  const auto verified = verify_attestation(one.keys, attested::consent_receipt, again, one.signature);
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->kid, one.key.kid());
  EXPECT_EQ(verified->at, Timestamp(std::chrono::seconds(1'700'000'000)));
}

TEST(Attestation, breaks_with_the_document_the_kind_and_the_key) {
  const Signed one;
  const auto other = boost::json::parse(R"({"a":"x","b":[2,1]})");
  EXPECT_TRUE(verify_attestation(one.keys, attested::consent_receipt, other, one.signature)
                  .error()
                  .is(errors::not_attested));
  EXPECT_TRUE(verify_attestation(one.keys, attested::personal_data, one.document, one.signature)
                  .error()
                  .is(errors::not_attested));
  const Signed stranger;
  EXPECT_TRUE(verify_attestation(stranger.keys, attested::consent_receipt, one.document, one.signature)
                  .error()
                  .is(errors::unknown_key));
  EXPECT_FALSE(verify_attestation(one.keys, attested::consent_receipt, one.document, "a.b.c"));
}

}  // namespace
}  // namespace intra365::crypto
