// Losing the server and finding it again.
#include <gtest/gtest.h>

#include "nats/queue.hpp"
#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

TEST(Reconnect, subscriptions_come_back_and_requests_in_flight_fail_at_once) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url());
  int calls = 0;
  const auto subscription = client->subscribe("a.>", [&](const MessageView&) { ++calls; });
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  std::optional<std::string> code;
  client->async_request("silent", "", {}, in(60s),
                        [&](Result<MessageView> reply) { code = reply ? "" : reply.error().code; });
  ASSERT_TRUE(loop.run(client->flush(in(5s))));

  const auto begin = std::chrono::steady_clock::now();
  server.kill();
  ASSERT_TRUE(loop.until([&] { return code.has_value(); }));
  EXPECT_EQ(*code, "nats.disconnected");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s) << "not at its deadline, but at the loss";
  EXPECT_FALSE(client->connected());
  EXPECT_EQ(client->publish("a.b", "").error().code, "nats.disconnected");
  EXPECT_EQ(loop.run(client->request("a.b", "", {}, in(5s))).error().code, "nats.disconnected");
  // Subscribing is possible while there is no server.
  const auto later = client->subscribe("b", [&](const MessageView&) { calls += 100; });
  ASSERT_TRUE(later);

  server.restart();
  ASSERT_TRUE(loop.until([&] { return client->connected(); }));
  EXPECT_EQ(client->statistics().reconnects, 1u);
  ASSERT_TRUE(client->publish("a.b", ""));
  ASSERT_TRUE(client->publish("b", ""));
  EXPECT_TRUE(loop.until([&] { return calls == 101; }));
  const auto echoing = echo(*client, "echo");
  EXPECT_TRUE(loop.run(client->request("echo", "again", {}, in(5s))))
      << "the inbox of the requests is back too";
  EXPECT_TRUE(loop.saw("disconnected") && loop.saw("reconnected"));
}

TEST(Reconnect, limited_subscription_keeps_its_count) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url());
  int calls = 0;
  auto subscription = client->subscribe("a", [&](const MessageView&) { ++calls; });
  subscription->unsubscribe_after(3);
  ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  server.restart();
  ASSERT_TRUE(loop.until([&] { return client->connected(); }));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(calls, 3);
}

TEST(Reconnect, credentials_are_asked_again_and_a_failure_only_delays) {
  NatsServer server("authorization { user: ada, password: secret }\n");
  Loop loop;
  int asked = 0;
  const auto client = loop.connect(server.url(), [&](Options& options) {
    options.credentials = [&asked]() -> Task<Credentials> {
      // The second attempt finds no credential, the third a wrong one: as while an identity service restarts.
      return [](int attempt) -> Task<Credentials> {
        if (attempt == 2) co_return fail(errors::refused, "the identity service is away");
        Credentials credentials;
        credentials.user = "ada";
        credentials.pass = attempt == 3 ? "stale" : "secret";
        co_return credentials;
      }(++asked);
    };
  });
  ASSERT_EQ(asked, 1);
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  asked = 1;
  server.restart();
  ASSERT_TRUE(loop.until([&] { return client->connected(); }));
  EXPECT_GE(asked, 4);
  EXPECT_TRUE(loop.saw("Authorization Violation"));
}

TEST(Reconnect, silent_server_is_noticed_by_missing_pongs) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url(), [](Options& options) {
    options.ping_interval = 50ms;
    options.connect_timeout = 500ms;
  });
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  std::optional<std::string> code;
  client->async_request("silent", "", {}, in(60s),
                        [&](Result<MessageView> reply) { code = reply ? "" : reply.error().code; });
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  server.pause();
  ASSERT_TRUE(loop.until([&] { return code.has_value(); }));
  EXPECT_EQ(*code, "nats.disconnected");
  EXPECT_TRUE(loop.saw("does not answer any more"));
  server.resume();
  EXPECT_TRUE(loop.until([&] { return client->connected(); }));
}

TEST(Reconnect, without_reconnect_the_loss_closes) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url(), [](Options& options) { options.reconnect = false; });
  MessageQueue queue(*client, 10);
  ASSERT_TRUE(queue.subscribe("a"));
  server.kill();
  EXPECT_EQ(loop.run(queue.next()).error().code, "nats.closed");
  EXPECT_EQ(client->publish("a", "").error().code, "nats.closed");
}

TEST(Reconnect, close_while_there_is_no_server_ends_everything) {
  NatsServer server;
  Loop loop;
  auto client = loop.connect(server.url());
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  client.reset();
  loop.io.restart();
  EXPECT_TRUE(loop.until([&] { return loop.io.poll() == 0 && loop.io.stopped(); }))
      << "nothing may keep the loop alive";
}

}  // namespace
}  // namespace intra365::nats
