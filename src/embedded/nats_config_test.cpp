// The configuration on a real server: the auth callout behind the sentinel, MQTT, WebSocket, data at rest.
#include "embedded/nats_config.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/serialize.hpp>
#include <thread>

#include "embedded/nats_test_support.hpp"
#include "nats/jetstream.hpp"

namespace intra365::embedded {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(EmbeddedNats, connection_without_credentials_comes_to_the_callout_through_the_sentinel) {
  const auto tenant = make_tenant("acme");
  answer_callout(tenant);
  const auto guest = log_in({});
  ASSERT_TRUE(guest);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->user, "");
  EXPECT_EQ(request->pass, "");
  EXPECT_EQ(request->auth_token, "");
  std::printf("guest: connect_opts %s\n",
              boost::json::serialize(request_claims->nats.at("connect_opts")).c_str());
  std::printf("guest: client_info %s\n",
              boost::json::serialize(request_claims->nats.at("client_info")).c_str());
  const auto served = serve("acct.*.intra365.auth.>");
  EXPECT_EQ(ask(*guest, "intra365.auth.token.request"),
            "acct." + tenant.key() + ".intra365.auth.token.request");
}

TEST_F(EmbeddedNats, user_and_password_without_a_jwt_come_to_the_callout) {
  answer_callout(make_tenant("acme"));
  nats::Credentials credentials;
  credentials.user = "api-key";
  credentials.pass = "i365_test_secret";
  ASSERT_TRUE(log_in(std::move(credentials)));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->user, "api-key");
  EXPECT_EQ(request->pass, "i365_test_secret");
  EXPECT_EQ(request->client_kind, "nats");
  std::printf("user/pass: connect_opts %s\n",
              boost::json::serialize(request_claims->nats.at("connect_opts")).c_str());
}

TEST_F(EmbeddedNats, nkey_signature_of_the_nonce_comes_along_to_the_callout) {
  answer_callout(make_tenant("acme"));
  const auto user = crypto::Nkey::generate(crypto::KeyKind::user);
  nats::Credentials credentials;
  credentials.user = "api-key";
  credentials.pass = "i365_test_secret";
  credentials.nkey_seed = user.seed();
  ASSERT_TRUE(log_in(std::move(credentials)));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->nkey, user.public_key());
  EXPECT_FALSE(request->nonce.empty());
  EXPECT_TRUE(request->proves_nkey());
}

TEST_F(EmbeddedNats, without_an_answer_of_the_callout_nobody_comes_in) {
  auto options = nats_options(addresses.nats_url(), {});
  options.connect_timeout = std::chrono::seconds(10);  // the server itself waits 5 s for the callout
  nats::Connection guest(loop.get_executor(), options);
  const auto refused = run(loop, guest.connect(in_seconds(20)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "nats.refused");
}

TEST_F(EmbeddedNats, stored_messages_are_encrypted_and_survive_a_restart) {
  {
    nats::JetStream jetstream(*platform);
    nats::StreamConfig stream;
    stream.name = "KEPT";
    stream.subjects = {"kept"};
    ASSERT_TRUE(run(loop, jetstream.ensure_stream(stream)));
    EXPECT_THAT(ask(*platform, "kept", "a sentence nobody may read on the disk"), HasSubstr("\"seq\":1"));
  }
  stop();
  std::string on_disk;
  for (const auto& entry : fs::recursive_directory_iterator(paths.nats_jetstream())) {
    if (entry.is_regular_file()) on_disk += testing::read_file(entry.path());
  }
  EXPECT_GT(on_disk.size(), 100u);
  EXPECT_THAT(on_disk, Not(HasSubstr("a sentence nobody may read")));
  start();
  EXPECT_THAT(ask(*platform, "$JS.API.STREAM.INFO.KEPT"), HasSubstr("\"messages\":1"));
}

/// Sends bytes to a port and returns what comes back, up to `expected_bytes` or the line `until`.
struct RawClient {
  asio::io_context loop;
  asio::ip::tcp::socket socket{loop};
  explicit RawClient(std::uint16_t port) { socket.connect({asio::ip::address_v4::loopback(), port}); }
  std::string exchange(const std::string& request, const std::string& until) {
    asio::write(socket, asio::buffer(request));
    std::string answer;
    boost::system::error_code error;
    asio::read_until(socket, asio::dynamic_buffer(answer, 65536), until, error);
    return answer;
  }
  std::string exchange(const std::string& request, std::size_t bytes) {
    asio::write(socket, asio::buffer(request));
    std::string answer(bytes, '\0');
    boost::system::error_code error;
    answer.resize(asio::read(socket, asio::buffer(answer), error));
    return answer;
  }
};

TEST_F(EmbeddedNats, websocket_clients_are_greeted) {
  RawClient client(addresses.websocket_port);
  const auto answer = client.exchange(
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      "INFO ");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 101"));
  EXPECT_THAT(answer, HasSubstr("INFO "));
}

TEST_F(EmbeddedNats, mqtt_device_comes_in_by_the_callout_and_its_session_is_kept_in_its_tenant) {
  answer_callout(make_tenant("acme"));
  const auto text = [](const std::string& value) {
    return std::string{'\0', static_cast<char>(value.size())} + value;
  };
  const auto variable = text("MQTT") + std::string("\x04\xc2\x00\x3c", 4) + text("device-1") +
                        text("api-key") + text("i365_test_secret");
  const auto packet = std::string("\x10") + static_cast<char>(variable.size()) + variable;
  std::string answer;
  std::atomic<bool> answered = false;
  std::thread device([&] {
    answer = RawClient(addresses.mqtt_port).exchange(packet, std::size_t{4});
    answered = true;
  });
  EXPECT_TRUE(run_until(loop, [&] { return answered.load(); }));
  device.join();
  EXPECT_EQ(answer, std::string("\x20\x02\x00\x00", 4)) << "CONNACK, accepted";
  ASSERT_TRUE(request);
  EXPECT_EQ(request->client_kind, "mqtt");
  EXPECT_EQ(request->user, "api-key");
  EXPECT_EQ(request->pass, "i365_test_secret");
}

TEST(NatsAddresses, encryption_is_used_wherever_other_machines_can_connect) {
  NatsAddresses local{"127.0.0.1", 4222, 1, 2, 3}, open{"0.0.0.0", 4222, 1, 2, 3}, six{"::1", 4222, 1, 2, 3};
  EXPECT_EQ(local.nats_url(), "nats://127.0.0.1:4222");
  EXPECT_EQ(open.nats_url(), "tls://127.0.0.1:4222");
  EXPECT_EQ(open.websocket_url(), "wss://127.0.0.1:1");
  EXPECT_EQ(open.mqtt_url(), "mqtts://127.0.0.1:2");
  EXPECT_EQ(six.nats_url(), "nats://[::1]:4222");
}

}  // namespace
}  // namespace intra365::embedded
