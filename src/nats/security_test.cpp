// Who may connect and do what: passwords, nkeys, user JWTs, TLS, permissions, against a real nats-server.
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "crypto/nkey.hpp"
#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

Credentials user_and_password(std::string user, std::string pass) {
  Credentials credentials;
  credentials.user = std::move(user);
  credentials.pass = std::move(pass);
  return credentials;
}

Credentials seed(std::string nkey_seed) {
  Credentials credentials;
  credentials.nkey_seed = std::move(nkey_seed);
  return credentials;
}

/// The error code of a first connection with these options; empty when it succeeds.
std::string connect_code(Loop& loop, const std::string& url,
                         const std::function<void(Options&)>& change = {}) {
  const auto connection = loop.make(url, change);
  const auto connected = loop.run(connection->connect(in(10s)));
  return connected ? "" : connected.error().code;
}

TEST(Login, right_password_is_let_in_and_a_wrong_one_refused_at_once) {
  NatsServer server("authorization { user: ada, password: \"s3cret\" }\n");
  Loop loop;
  const auto with = [&](Credentials credentials) {
    return connect_code(loop, server.url(),
                        [&](Options& options) { options.credentials = give(credentials); });
  };
  EXPECT_EQ(with(user_and_password("ada", "s3cret")), "");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(with(user_and_password("ada", "wrong")), "nats.refused");
  EXPECT_EQ(with({}), "nats.refused");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 8s);
  for (const auto& event : loop.events)
    EXPECT_EQ(event.find("wrong"), std::string::npos) << "no secret in what is logged";
}

TEST(Login, token_is_let_in) {
  NatsServer server("authorization { token: \"t0ken\" }\n");
  Loop loop;
  Credentials credentials;
  credentials.token = "t0ken";
  EXPECT_EQ(
      connect_code(loop, server.url(), [&](Options& options) { options.credentials = give(credentials); }),
      "");
}

TEST(Login, nkey_signs_the_nonce_and_another_key_is_refused) {
  const auto key = crypto::Nkey::generate(crypto::KeyKind::user);
  const auto stranger = crypto::Nkey::generate(crypto::KeyKind::user);
  NatsServer server("authorization { users: [ { nkey: " + key.public_key() + " } ] }\n");
  Loop loop;
  const auto with = [&](Credentials credentials) {
    return connect_code(loop, server.url(),
                        [&](Options& options) { options.credentials = give(credentials); });
  };
  EXPECT_EQ(with(seed(key.seed())), "");
  EXPECT_EQ(with(seed(stranger.seed())), "nats.refused");
  EXPECT_EQ(with(seed("SUnonsense")), "key.malformed");
}

constexpr std::string_view kRestricted = R"(
authorization { users: [
  { user: ada, password: x, permissions: { publish: { allow: ["ok.>"] }, subscribe: { allow: ["_INBOX.>", "ok.>"] } } }
  { user: bob, password: x, permissions: { publish: { allow: ["ok.>"] }, subscribe: { allow: ["_INBOX_bob.>"] } } }
] }
)";

TEST(Permission, denied_request_fails_as_denied_and_not_as_a_timeout) {
  NatsServer server(kRestricted);
  Loop loop;
  const auto client = loop.connect(
      server.url(), [](Options& options) { options.credentials = give(user_and_password("ada", "x")); });
  EXPECT_EQ(loop.run(client->request("secret.thing", "", {}, in(30s))).error().code, "nats.permission");
  EXPECT_EQ(loop.run(client->request("ok.thing", "", {}, in(30s))).error().code, "nats.no_responders");
  const auto denied = client->subscribe("secret.>", [](const MessageView&) {});
  ASSERT_TRUE(loop.until([&] { return loop.saw("Permissions Violation for Subscription to \"secret.>\""); }));
  EXPECT_TRUE(client->connected());
}

TEST(Permission, only_the_own_inbox_can_be_read) {
  NatsServer server(kRestricted);
  Loop loop;
  const auto wrong = loop.connect(
      server.url(), [](Options& options) { options.credentials = give(user_and_password("bob", "x")); });
  EXPECT_EQ(loop.run(wrong->request("ok.thing", "", {}, in(30s))).error().code, "nats.permission")
      << "not a timeout after 30 s";
  EXPECT_EQ(loop.run(wrong->request("ok.thing", "", {}, in(30s))).error().code, "nats.permission");
  const auto right = loop.connect(server.url(), [](Options& options) {
    options.credentials = give(user_and_password("bob", "x"));
    options.inbox_prefix = "_INBOX_bob";
  });
  const auto service = loop.connect(
      server.url(), [](Options& options) { options.credentials = give(user_and_password("ada", "x")); });
  EXPECT_EQ(loop.run(right->request("ok.thing", "", {}, in(30s))).error().code, "nats.no_responders");
}

class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { certificates = std::make_unique<intra365::testing::TestCertificates>(); }
  static void TearDownTestSuite() { certificates.reset(); }
  static std::string file(const char* name) { return certificates->file(name); }
  static std::string config(const std::string& more = "") {
    return "tls { cert_file: \"" + file("server.pem") + "\", key_file: \"" + file("server.key") +
           "\", ca_file: \"" + file("ca.pem") + "\" " + more + " }\n";
  }
  static inline std::unique_ptr<intra365::testing::TestCertificates> certificates;
  Loop loop;
};

TEST_F(TlsTest, traffic_flows_after_a_verified_handshake) {
  NatsServer server(config());
  const auto client =
      loop.connect(server.url(), [](Options& options) { options.tls.ca_file = file("ca.pem"); });
  const auto echoing = echo(*client, "echo");
  std::string payload(1 << 20, '\0');
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i * 7);
  payload.resize(1'000'000);
  for (int i = 0; i < 3; ++i) {
    const auto reply = loop.run(client->request("echo", payload, {}, in(10s)));
    ASSERT_TRUE(reply) << reply.error().detail;
    EXPECT_TRUE(reply->payload() == payload);
  }
  int replies = 0;
  for (int i = 0; i < 500; ++i) {
    client->async_request("echo", std::to_string(i), {}, in(10s), [&, i](Result<MessageView> reply) {
      replies += reply && reply->payload == std::to_string(i);
    });
  }
  EXPECT_TRUE(loop.until([&] { return replies == 500; }));
}

TEST_F(TlsTest, handshake_may_come_first) {
  NatsServer server(config(", handshake_first: true"));
  const auto client = loop.connect(server.url(), [](Options& options) {
    options.tls.ca_file = file("ca.pem");
    options.tls.first = true;
  });
  EXPECT_TRUE(loop.run(client->flush(in(5s))));
}

TEST_F(TlsTest, unknown_authority_and_wrong_name_are_refused) {
  NatsServer server(config());
  EXPECT_EQ(
      connect_code(loop, server.url(), [](Options& options) { options.tls.ca_file = file("other.pem"); }),
      "nats.tls");
  EXPECT_EQ(connect_code(loop, server.url()), "nats.tls") << "the system's authorities do not know it";
  EXPECT_EQ(connect_code(loop, server.url(),
                         [](Options& options) {
                           options.tls.ca_file = file("ca.pem");
                           options.tls.server_name = "nats.example";
                         }),
            "nats.tls");
  EXPECT_EQ(
      connect_code(loop, server.url(), [](Options& options) { options.tls.ca_file = file("missing.pem"); }),
      "nats.tls");
  EXPECT_EQ(connect_code(loop, server.url(),
                         [](Options& options) {
                           options.tls.ca_file = file("ca.pem");
                           options.tls.server_name = "localhost";
                         }),
            "");
}

/// Says INFO, shakes hands, answers the login, and then sends something: inside the encryption, or beside it.
enum class Garbage { inside, beside };
asio::awaitable<void> hostile_tls(asio::ip::tcp::acceptor& acceptor, asio::ssl::context& context,
                                  Garbage where) {
  auto token = asio::use_awaitable;
  asio::ssl::stream<asio::ip::tcp::socket> stream(co_await acceptor.async_accept(token), context);
  const std::string info = "INFO {\"server_id\":\"x\",\"tls_required\":true,\"headers\":true}\r\n";
  co_await asio::async_write(stream.next_layer(), asio::buffer(info), token);
  co_await stream.async_handshake(asio::ssl::stream_base::server, token);
  std::string heard;
  char bytes[4096];
  while (heard.find("PING") == std::string::npos)
    heard.append(bytes, co_await stream.async_read_some(asio::buffer(bytes), token));
  const std::string pong = "PONG\r\n", garbage("\x17\x03\x03\xff\xff not TLS \r\n\0\xff", 18);
  co_await asio::async_write(stream, asio::buffer(pong), token);
  if (where == Garbage::inside) {
    co_await asio::async_write(stream, asio::buffer(garbage), token);
  } else {
    co_await asio::async_write(stream.next_layer(), asio::buffer(garbage), token);
  }
  boost::system::error_code error;
  while (!error) {
    co_await stream.next_layer().async_read_some(asio::buffer(bytes),
                                                 asio::redirect_error(asio::use_awaitable, error));
  }
}

TEST_F(TlsTest, garbage_after_the_handshake_ends_the_connection) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  context.use_certificate_chain_file(file("server.pem"));
  context.use_private_key_file(file("server.key"), asio::ssl::context::pem);
  asio::ip::tcp::acceptor acceptor(loop.io, {asio::ip::address_v4::loopback(), 0});
  for (const auto where : {Garbage::inside, Garbage::beside}) {
    loop.events.clear();
    asio::co_spawn(loop.io, hostile_tls(acceptor, context, where), asio::detached);
    const auto client = loop.connect("tls://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()),
                                     [](Options& options) {
                                       options.tls.ca_file = file("ca.pem");
                                       options.reconnect = false;
                                     });
    EXPECT_TRUE(loop.until([&] { return loop.saw("disconnected") && loop.saw("closed"); }));
    EXPECT_FALSE(client->connected());
  }
}

TEST_F(TlsTest, server_without_tls_is_refused_when_tls_is_asked_for) {
  NatsServer server;
  EXPECT_EQ(connect_code(loop, server.url(), [](Options& options) { options.tls.required = true; }),
            "nats.tls");
  EXPECT_EQ(connect_code(loop, "tls://127.0.0.1:" + std::to_string(server.port())), "nats.tls");
}

TEST_F(TlsTest, mutual_tls_needs_the_clients_certificate) {
  NatsServer server(config(", verify: true"));
  EXPECT_EQ(connect_code(loop, server.url(),
                         [](Options& options) {
                           options.tls.ca_file = file("ca.pem");
                           options.tls.certificate_file = file("server.pem");
                           options.tls.key_file = file("server.key");
                         }),
            "");
  const auto without =
      loop.make(server.url(), [](Options& options) { options.tls.ca_file = file("ca.pem"); });
  const auto refused = loop.run(without->connect(in(1s)));
  ASSERT_FALSE(refused);
  EXPECT_FALSE(without->connected());
}

}  // namespace
}  // namespace intra365::nats
