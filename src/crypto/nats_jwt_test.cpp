// The published vectors, byte for byte, and the text of each type of claims.
#include "crypto/nats_jwt.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/encoding.hpp"
#include "crypto/strict_json.hpp"

namespace intra365::crypto {
namespace {

using std::chrono::seconds;

const Timestamp kNow = from_unix_seconds(1800000000);
const std::string kUser = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";
const std::string kServer = "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB";
const std::string kVector1 =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJhdWQiOiJURU5BTlRfQSIsImV4cCI6MTgwMDAwMDMwMCwia"
    "nRpIjoiWlVJVDVSSExGRUtVSUdVU0xCV0k1UUlNVVRPSlNaQVlaUU4zQVc3RFNHRFhURlpRM0NDUSIsImlhdCI6MTgwMDAwM"
    "DAwMCwiaXNzIjoiQUFCMkNCNTc2UEhCQlBRNU9ET1JSWjJMWUNNV1BaR1dHQ04yS0RLN0RYT0lNWkFTS1VZM1FQWlYiLCJuY"
    "W1lIjoibWF0ZS03Iiwic3ViIjoiVUFCMkNCNTc2UEhCQlBRNU9ET1JSWjJMWUNNV1BaR1dHQ04yS0RLN0RYT0lNWkFTS1VZM"
    "1JMS0siLCJuYXRzIjp7InB1YiI6eyJhbGxvdyI6WyJtYXRlLm1hdGUtNy4-Il19LCJzdWIiOnsiYWxsb3ciOlsiX0lOQk9YX"
    "21hdGUtNy4-Il19LCJyZXNwIjp7Im1heCI6MSwidHRsIjo1MDAwMDAwMDAwfSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb"
    "2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfX0.rdBIhrymRAuaVtIgHjex2map0uh5emaIlxwgQlZ5N4CtYe3bA"
    "iW9NMGZ0QxrhAWBwJyG1UIr--X8dBScXev1Aw";

Nkey account_key() {
  return *Nkey::from_seed("SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI");
}
Nkey operator_key() {
  return *Nkey::from_seed("SOAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2AJA");
}

std::string payload_of(const std::string& token) {
  const std::size_t first = token.find('.');
  return *decode_base64url(std::string_view(token).substr(first + 1, token.find('.', first + 1) - first - 1));
}

UserClaims mate7() {
  UserClaims claims;
  claims.name = "mate-7";
  claims.subject = kUser;
  claims.audience = "TENANT_A";
  claims.expires_at = kNow + seconds(300);
  claims.permissions = Permissions{{"mate.mate-7.>"}, {"_INBOX_mate-7.>"}, 1, seconds(5)};
  return claims;
}

TEST(NatsJwt, user_token_is_vector_1_byte_for_byte) {
  EXPECT_EQ(mint(mate7(), account_key(), kNow), kVector1);
}

TEST(NatsJwt, callout_response_is_vector_2_byte_for_byte) {
  const std::string token =
      mint(AuthorizationResponse{kUser, kServer, kVector1, {}, {}}, account_key(), kNow);
  EXPECT_EQ(payload_of(token),
            R"({"aud":"NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB",)"
            R"("jti":"GXVNZGFWZHPYHEZUIRUQVM5R2VDIJZ6RLCSBOL7XGCX5YGL7FG4Q","iat":1800000000,)"
            R"("iss":"AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV",)"
            R"("sub":"UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK","nats":{"jwt":")" +
                kVector1 + R"(","type":"authorization_response","version":2}})");
  EXPECT_EQ(token.size(), 1528U);
  EXPECT_THAT(token,
              testing::EndsWith(
                  ".GgY4jrIsSDPf6gkJ0GLWeMBbOQTQ2xpPOAywtdvU-_T_UgPeOVMs7q04_Sg1Uv8mAfmBlfZi7lumQjxehm6QBw"));
}

TEST(NatsJwt, jti_hashes_the_claims_as_go_escapes_them) {
  UserClaims claims = mate7();
  claims.name = "a<b>&\"c";
  const std::string hashed =
      R"({"aud":"TENANT_A","exp":1800000300,"iat":1800000000,)"
      R"("iss":"AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV","name":"a\u003cb\u003e\u0026\"c",)"
      R"("sub":"UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"})";
  const std::string payload = payload_of(mint(claims, account_key(), kNow));
  EXPECT_THAT(payload, testing::HasSubstr("\"jti\":\"" + base32(sha512_256(hashed)) + "\""));
  EXPECT_THAT(payload, testing::HasSubstr(R"("name":"a<b>&\"c")"));
}

TEST(NatsJwt, names_cannot_break_out_of_their_string) {
  UserClaims claims = mate7();
  claims.name = "x\",\"nats\":{\"pub\":{}},\"y\":\"\n\x01\xff\xed\xa0\x80 ok \xe2\x82\xac";
  const auto token = read_nats_jwt(mint(claims, account_key(), kNow));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->name,
            "x\",\"nats\":{\"pub\":{}},\"y\":\"\n\x01\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd ok "
            "\xe2\x82\xac");
  EXPECT_EQ(token->nats.at("sub").at("allow").at(0).as_string(), "_INBOX_mate-7.>");
}

TEST(NatsJwt, empty_permissions_deny_and_absent_ones_leave_open) {
  UserClaims claims = mate7();
  claims.permissions = Permissions{};
  EXPECT_THAT(payload_of(mint(claims, account_key(), kNow)),
              testing::HasSubstr(R"("nats":{"pub":{"deny":[">"]},"sub":{"deny":[">"]},"subs":-1,)"));
  claims.permissions.reset();
  EXPECT_THAT(
      payload_of(mint(claims, account_key(), kNow)),
      testing::HasSubstr(R"("nats":{"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user")"));
}

TEST(NatsJwt, user_of_a_signing_key_names_its_account_and_bearers_are_marked) {
  UserClaims claims = mate7();
  claims.issuer_account = "AACCOUNT";
  claims.bearer = true;
  claims.tags = {"role:x", "mate:7"};
  EXPECT_THAT(payload_of(mint(claims, account_key(), kNow)),
              testing::HasSubstr(R"("payload":-1,"bearer_token":true,"issuer_account":"AACCOUNT",)"
                                 R"("tags":["role:x","mate:7"],"type":"user","version":2}})"));
}

TEST(NatsJwt, an_expiry_before_1970_is_past_and_not_never) {
  UserClaims claims = mate7();
  claims.expires_at = Timestamp{};
  EXPECT_THAT(payload_of(mint(claims, account_key(), kNow)), testing::HasSubstr(R"("exp":1,)"));
  claims.expires_at.reset();
  EXPECT_THAT(payload_of(mint(claims, account_key(), kNow)), testing::Not(testing::HasSubstr("exp")));
}

TEST(NatsJwt, account_claims_have_every_limit_and_member) {
  AccountClaims claims;
  claims.name = "AUTH";
  claims.subject = "ASUBJECT";
  claims.signing_keys = {"ASIGN"};
  claims.service_exports = {{"auth", "acct.*.auth", 2}, {"llm", "llm.>", 0, true}};
  claims.stream_exports = {{"events", "events.>"}};
  claims.imports = {{"consent", "APLATFORM", "acct.T.consent", "consent", false, true},
                    {"news", "APLATFORM", "news.>", "", true, false}};
  claims.callout_users = {"USTS"};
  claims.callout_allowed_accounts = {"*"};
  claims.callout_xkey = "XKEY";
  claims.max_connections = 50;
  claims.max_payload = 4096;
  claims.revocations = {{"*", from_unix_seconds(7)}};
  const std::string payload = payload_of(mint(claims, operator_key(), kNow));
  EXPECT_THAT(
      payload,
      testing::EndsWith(
          R"("name":"AUTH","sub":"ASUBJECT","nats":{"imports":[{"name":"consent","subject":"acct.T.consent",)"
          R"("account":"APLATFORM","local_subject":"consent","type":"service","share":true},)"
          R"({"name":"news","subject":"news.>","account":"APLATFORM","type":"stream"}],)"
          R"("exports":[{"name":"auth","subject":"acct.*.auth","type":"service","account_token_position":2},)"
          R"({"name":"llm","subject":"llm.>","type":"service","response_type":"Stream"},)"
          R"({"name":"events","subject":"events.>","type":"stream"}],)"
          R"("limits":{"subs":-1,"data":-1,"payload":4096,"imports":-1,"exports":-1,"wildcards":true,)"
          R"("conn":50,"leaf":-1,"mem_storage":0,"disk_storage":0,"streams":0,"consumer":0},)"
          R"("signing_keys":["ASIGN"],"revocations":{"*":7},"default_permissions":{"pub":{},"sub":{}},)"
          R"("authorization":{"auth_users":["USTS"],"allowed_accounts":["*"],"xkey":"XKEY"},)"
          R"("type":"account","version":2}})"));
  AccountClaims tenant;
  tenant.name = "T";
  tenant.jetstream = true;
  EXPECT_THAT(
      payload_of(mint(tenant, operator_key(), kNow)),
      testing::AllOf(testing::HasSubstr(R"("mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1})"),
                     testing::HasSubstr(R"("authorization":{})")));
}

TEST(NatsJwt, operator_claims_name_signing_keys_and_system_account) {
  const Nkey key = operator_key();
  const auto token =
      read_nats_jwt(mint(OperatorClaims{"intra365", key.public_key(), {"OSIGN"}, "ASYS"}, key, kNow));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->type, "operator");
  EXPECT_EQ(token->issuer, token->subject);
  EXPECT_EQ(token->nats.at("signing_keys").at(0).as_string(), "OSIGN");
  EXPECT_EQ(token->nats.at("system_account").as_string(), "ASYS");
}

TEST(Credentials, file_has_the_marker_lines_of_nats_and_reads_back) {
  const Nkey user = Nkey::generate(KeyKind::user);
  const std::string text = creds_file(kVector1, user.seed());
  EXPECT_EQ(text, "-----BEGIN NATS USER JWT-----\n" + kVector1 +
                      "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" + user.seed() +
                      "\n------END USER NKEY SEED------\n");
  const auto credentials = parse_creds_file(text);
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->jwt, kVector1);
  EXPECT_EQ(credentials->seed, user.seed());
}

TEST(Credentials, other_line_ends_and_warnings_between_are_read) {
  const Nkey user = Nkey::generate(KeyKind::user);
  const auto credentials =
      parse_creds_file("\xef\xbb\xbf# note\r\n-----BEGIN NATS USER JWT-----\r\n" + kVector1 +
                       "\r\n------END NATS USER JWT------\r\n\r\n*** IMPORTANT ***\r\n"
                       "-----BEGIN USER NKEY SEED-----\r\n" +
                       user.seed() + "\r\n------END USER NKEY SEED------");
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->seed, user.seed());
}

TEST(Credentials, incomplete_and_foreign_files_are_refused) {
  const Nkey user = Nkey::generate(KeyKind::user);
  const std::string good = creds_file(kVector1, user.seed());
  for (std::size_t size = 0; size + 2 < good.size(); size += 7)
    EXPECT_FALSE(parse_creds_file(std::string_view(good).substr(0, size))) << size;
  EXPECT_FALSE(parse_creds_file(creds_file("a.b", user.seed())));
  EXPECT_FALSE(parse_creds_file(creds_file("a.b.c\nd", user.seed())));
  EXPECT_FALSE(parse_creds_file(creds_file(kVector1, Nkey::generate(KeyKind::account).seed())));
  EXPECT_FALSE(parse_creds_file(std::string(2 << 20, '\n') + good));
  const auto refused = parse_creds_file(creds_file(kVector1, user.seed() + "A"));
  EXPECT_TRUE(refused.error().is(errors::bad_creds));
  EXPECT_EQ(refused.error().detail.find(user.seed()), std::string::npos);
}

}  // namespace
}  // namespace intra365::crypto
