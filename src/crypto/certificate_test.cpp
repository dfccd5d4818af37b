#include "crypto/certificate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace intra365::crypto {
namespace {

using std::chrono::days;
using testing::ElementsAre;

const Timestamp kNow = from_unix_seconds(1'800'000'000);

Certificate authority() {
  return make_certificate_authority("test authority", kNow, days(3650)).value();
}

TEST(Certificate, server_certificate_carries_its_names_and_is_signed_by_its_authority) {
  const auto ca = authority();
  const auto server =
      issue_server_certificate(ca, {"localhost", "127.0.0.1", "::1", "host-1.example"}, kNow, days(90));
  ASSERT_TRUE(server);
  const auto facts = read_certificate(server->certificate_pem);
  ASSERT_TRUE(facts);
  EXPECT_THAT(facts->names, ElementsAre("localhost", "127.0.0.1", "::1", "host-1.example"));
  EXPECT_EQ(facts->expires_at, kNow + days(90));
  EXPECT_TRUE(signed_by(server->certificate_pem, ca.certificate_pem));
  EXPECT_FALSE(signed_by(server->certificate_pem, authority().certificate_pem));
  EXPECT_TRUE(server->key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
}

TEST(Certificate, names_that_could_smuggle_in_extensions_are_refused) {
  const auto ca = authority();
  for (const std::string name :
       {"", "a,IP:1.2.3.4", "a b", "dirName:x", "a\nb", "critical,CA:TRUE", "*.example"}) {
    EXPECT_FALSE(issue_server_certificate(ca, {"localhost", name}, kNow, days(1))) << name;
  }
  EXPECT_FALSE(issue_server_certificate(ca, {}, kNow, days(1)));
}

TEST(Certificate, authority_without_its_own_key_cannot_sign) {
  const Certificate mixed{authority().certificate_pem, authority().key_pem};
  const auto server = issue_server_certificate(mixed, {"localhost"}, kNow, days(1));
  ASSERT_FALSE(server);
  EXPECT_TRUE(server.error().is(intra365::errors::bad_certificate));
}

TEST(Certificate, text_that_is_no_certificate_is_an_error) {
  EXPECT_FALSE(read_certificate(""));
  EXPECT_FALSE(read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(read_certificate(std::string(1 << 20, 'x')));
  EXPECT_FALSE(signed_by("", ""));
}

}  // namespace
}  // namespace intra365::crypto
