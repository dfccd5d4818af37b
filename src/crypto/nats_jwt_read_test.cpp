// What is refused: each case is one genuine token with one thing wrong.
#include <gtest/gtest.h>

#include "crypto/encoding.hpp"
#include "crypto/nats_jwt.hpp"

namespace intra365::crypto {
namespace {

const Timestamp kNow = from_unix_seconds(1800000000);
const std::string kHeader = R"({"typ":"JWT","alg":"ed25519-nkey"})";

/// A token of any text, signed as it stands.
std::string sign_text(const Nkey& key, const std::string& payload, const std::string& header = kHeader) {
  const std::string signed_text = base64url(header) + "." + base64url(payload);
  return signed_text + "." + base64url(key.sign(signed_text));
}

std::string replace(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return text.replace(place, from.size(), to);
}

class AuthorizationRequestReading : public testing::Test {
 protected:
  const Nkey server = Nkey::generate(KeyKind::server);
  const Nkey client = Nkey::generate(KeyKind::user);
  const Nkey fresh = Nkey::generate(KeyKind::user);
  const Xkey xkey = Xkey::generate();
  const std::string payload =
      R"({"aud":"nats-authorization-request","exp":1800000002,"jti":"X","iat":1800000000,"iss":")" +
      server.public_key() +
      R"(","sub":"ACALLOUT","nats":{"server_id":{"name":"nats-1","host":"127.0.0.1","id":")" +
      server.public_key() + R"(","version":"2.15.1","xkey":")" + xkey.public_key() + R"("},"user_nkey":")" +
      fresh.public_key() +
      R"(","client_info":{"host":"10.1.2.3","id":10,"user":"u","name":"mate-7","kind":"Client","type":"websocket",)"
      R"("nonce":"bm9uY2U"},"connect_opts":{"nkey":")" +
      client.public_key() + R"(","sig":")" + base64url(client.sign("bm9uY2U")) +
      R"(","user":"api-key","pass":"secret","name":"my mate","protocol":1},)"
      R"("type":"authorization_request","version":2}})";

  bool accepts(const std::string& from, const std::string& to) {
    return read_authorization_request(sign_text(server, replace(payload, from, to)), kNow).has_value();
  }
};

TEST_F(AuthorizationRequestReading, takes_what_servers_send) {
  const auto request = read_authorization_request(sign_text(server, payload), kNow);
  ASSERT_TRUE(request) << request.error().detail;
  EXPECT_EQ(request->server_id, server.public_key());
  EXPECT_EQ(request->server_xkey, xkey.public_key());
  EXPECT_EQ(request->user_nkey, fresh.public_key());
  EXPECT_EQ(request->client_host, "10.1.2.3");
  EXPECT_EQ(request->client_kind, "websocket");
  EXPECT_EQ(request->user, "api-key");
  EXPECT_EQ(request->pass, "secret");
  EXPECT_EQ(request->name, "my mate");
  EXPECT_EQ(request->auth_token, "");
  EXPECT_TRUE(request->proves_nkey());
}

TEST_F(AuthorizationRequestReading, nkey_is_proven_only_by_its_signature_of_the_nonce) {
  auto request = *read_authorization_request(sign_text(server, payload), kNow);
  request.signature = base64(client.sign("bm9uY2U"));
  EXPECT_TRUE(request.proves_nkey()) << "padded standard alphabet, as some client libraries send it";
  request.nonce = "other";
  EXPECT_FALSE(request.proves_nkey());
  request.nonce.clear();
  request.signature = base64url(client.sign(""));
  EXPECT_FALSE(request.proves_nkey()) << "an empty nonce is no challenge";
  request.nonce = "bm9uY2U";
  request.signature = base64url(fresh.sign("bm9uY2U"));
  EXPECT_FALSE(request.proves_nkey());
}

TEST_F(AuthorizationRequestReading, each_wrong_claim_is_refused) {
  EXPECT_FALSE(accepts("nats-authorization-request", "nats-authorization-requests"));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":1800000000"));
  EXPECT_FALSE(accepts("\"exp\":1800000002,", ""));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":0"));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":\"1800000002\""));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":1e99"));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":1800000002.5"));
  EXPECT_FALSE(accepts("\"exp\":1800000002", "\"exp\":-1"));
  EXPECT_FALSE(accepts("\"type\":\"authorization_request\"", "\"type\":\"user\""));
  EXPECT_FALSE(accepts("\"version\":2}}", "\"version\":1}}"));
  EXPECT_FALSE(accepts("\"version\":2}}", "\"version\":3}}"));
  EXPECT_FALSE(accepts("\"version\":2}}", "\"version\":2},\"nats\":{}}"));
  EXPECT_FALSE(
      accepts("\"id\":\"" + server.public_key(), "\"id\":\"" + Nkey::generate(KeyKind::server).public_key()));
  EXPECT_FALSE(accepts(fresh.public_key(), server.public_key()));
  EXPECT_FALSE(accepts(xkey.public_key(), "XABC"));
  EXPECT_FALSE(accepts("\"connect_opts\":{", "\"connect_opts\":[],\"x\":{"));
  EXPECT_FALSE(accepts("\"pass\":\"secret\"", "\"user\":\"other\""));
  EXPECT_FALSE(accepts("\"pass\":\"secret\"", "\"us\\u0065r\":\"other\""));
  EXPECT_TRUE(accepts(",\"xkey\":\"" + xkey.public_key() + "\"", ""));
}

TEST_F(AuthorizationRequestReading, only_server_keys_may_ask_and_only_for_themselves) {
  const Nkey account = Nkey::generate(KeyKind::account);
  std::string forged = payload;
  for (std::size_t at; (at = forged.find(server.public_key())) != std::string::npos;)
    forged.replace(at, account.public_key().size(), account.public_key());
  EXPECT_FALSE(read_authorization_request(sign_text(account, forged), kNow));
  EXPECT_FALSE(read_authorization_request(sign_text(Nkey::generate(KeyKind::server), payload), kNow));
}

class NatsJwtReading : public testing::Test {
 protected:
  const Nkey account = Nkey::generate(KeyKind::account);
  const std::string payload = R"({"iat":1800000000,"iss":")" + account.public_key() +
                              R"(","sub":"U","nats":{"pub":{},"type":"user","version":2}})";
  const std::string token = sign_text(account, payload);
};

TEST_F(NatsJwtReading, headers_other_than_version_2_are_refused) {
  EXPECT_TRUE(read_nats_jwt(sign_text(account, payload, R"({"typ":"jwt","alg":"ed25519-nkey"})")));
  for (const std::string_view header :
       {R"({"typ":"JWT","alg":"none"})", R"({"typ":"JWT","alg":"ed25519"})", R"({"typ":"JWT","alg":"HS256"})",
        R"({"typ":"JWT","alg":"Ed25519-nkey"})", R"({"alg":"ed25519-nkey"})",
        R"({"typ":"JWS","alg":"ed25519-nkey"})", R"({"typ":"JWT","alg":"none","alg":"ed25519-nkey"})",
        R"({"typ":"JWT","alg":"ed25519-nkey","crit":["x"]})", R"([])", R"()",
        R"({"typ":"JWT","alg":"ed25519-nkey"} x)"})
    EXPECT_TRUE(
        read_nats_jwt(sign_text(account, payload, std::string(header))).error().is(errors::bad_nats_jwt))
        << header;
}

TEST_F(NatsJwtReading, changed_texts_and_forms_are_refused) {
  ASSERT_TRUE(read_nats_jwt(token));
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(read_nats_jwt(changed)) << i;
    EXPECT_FALSE(read_nats_jwt(std::string_view(token).substr(0, i))) << i;
  }
  EXPECT_FALSE(read_nats_jwt(token + "."));
  EXPECT_FALSE(read_nats_jwt(token + "="));
  EXPECT_FALSE(read_nats_jwt(token + std::string(1 << 20, 'A')));
}

TEST_F(NatsJwtReading, keys_sign_only_the_types_of_their_kind) {
  const auto accepts = [](KeyKind kind, const std::string& type) {
    const Nkey key = Nkey::generate(kind);
    return read_nats_jwt(sign_text(key, R"({"iss":")" + key.public_key() + R"(","nats":{"type":")" + type +
                                            R"(","version":2}})"))
        .has_value();
  };
  EXPECT_TRUE(accepts(KeyKind::account, "user"));
  EXPECT_TRUE(accepts(KeyKind::account, "authorization_response"));
  EXPECT_TRUE(accepts(KeyKind::operator_, "account"));
  EXPECT_TRUE(accepts(KeyKind::operator_, "operator"));
  EXPECT_TRUE(accepts(KeyKind::server, "authorization_request"));
  EXPECT_FALSE(accepts(KeyKind::user, "user"));
  EXPECT_FALSE(accepts(KeyKind::operator_, "user"));
  EXPECT_FALSE(accepts(KeyKind::account, "operator"));
  EXPECT_FALSE(accepts(KeyKind::account, "authorization_request"));
  EXPECT_FALSE(accepts(KeyKind::server, "account"));
  EXPECT_FALSE(accepts(KeyKind::operator_, "unknown"));
  EXPECT_FALSE(accepts(KeyKind::operator_, ""));
}

}  // namespace
}  // namespace intra365::crypto
