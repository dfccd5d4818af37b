// Staying connected: several servers, what the cluster tells, what is held meanwhile, where credentials come
// from.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "nats/credentials.hpp"
#include "nats/queue.hpp"
#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;
using intra365::testing::Port;

/// Two servers that know each other.
struct Pair {
  Port one_route, two_route;
  NatsServer one{config(one_route, two_route)};
  NatsServer two{config(two_route, one_route)};

  static std::string config(const Port& own, const Port& other) {
    return "cluster { name: pair, listen: \"127.0.0.1:" + own.text() +
           "\", routes: [\"nats-route://127.0.0.1:" + other.text() +
           "\"] }\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10ms\"\n";
  }
};

TEST(Servers, random_order_spreads_clients_over_all) {
  NatsServer one, two;
  Loop loop;
  std::set<std::string> used;
  std::vector<std::unique_ptr<Connection>> clients;
  for (int i = 0; i < 40 && used.size() < 2; ++i) {
    clients.push_back(loop.connect(one.url(), [&](Options& options) { options.urls.push_back(two.url()); }));
    used.insert(clients.back()->url());
  }
  EXPECT_EQ(used.size(), 2u);
  const auto first = loop.connect(one.url(), [&](Options& options) {
    options.urls.push_back(two.url());
    options.randomize_urls = false;
  });
  EXPECT_EQ(first->url(), one.url());
}

TEST(Servers, server_that_the_cluster_named_takes_over) {
  Pair pair;
  Loop loop;
  const auto client = loop.connect(pair.one.url());
  ASSERT_TRUE(loop.until([&] { return client->server().connect_urls.size() == 2; }));
  pair.one.kill();
  ASSERT_TRUE(loop.until([&] { return client->connected() && client->url() != pair.one.url(); }));
  EXPECT_EQ(client->url(), pair.two.url());

  const auto loyal = loop.connect(pair.two.url(), [](Options& options) { options.use_discovered = false; });
  pair.one.restart();
  ASSERT_TRUE(loop.until([&] { return loyal->server().connect_urls.size() == 2; }));
  pair.two.kill();
  ASSERT_TRUE(loop.until([&] { return loyal->statistics().connect_attempts > 4; }));
  EXPECT_FALSE(loyal->connected());
}

TEST(Servers, lame_duck_is_left_for_another_server) {
  Pair pair;
  Loop loop;
  const auto client = loop.connect(pair.one.url());
  ASSERT_TRUE(loop.until([&] { return client->server().connect_urls.size() == 2; }));
  ::kill(pair.one.pid(), SIGUSR2);
  ASSERT_TRUE(loop.until([&] { return loop.saw("lame_duck"); }));
  ASSERT_TRUE(loop.until([&] { return loop.saw("reconnected"); }));
  EXPECT_EQ(client->url(), pair.two.url());
  EXPECT_FALSE(loop.saw("failed")) << "it goes to the other one directly";
}

TEST(WhileDisconnected, held_messages_leave_in_order_and_within_their_bound) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url(), [](Options& options) {
    options.while_disconnected = WhileDisconnected::hold;
    options.max_held_bytes = 1000;
  });
  MessageQueue queue(*client, 1000);
  ASSERT_TRUE(queue.subscribe("a"));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  int held = 0;
  Result<void> published;
  while (held < 1000 && (published = client->publish("a", std::to_string(held)))) ++held;
  EXPECT_EQ(published.error().code, "nats.buffer_full");
  EXPECT_GT(held, 10);
  EXPECT_LE(client->pending_bytes(), 1000u + 100u);
  EXPECT_EQ(client->publish("a b", "").error().code, "nats.bad_subject");
  EXPECT_EQ(loop.run(client->request("a", "", {}, in(1s))).error().code, "nats.disconnected");
  server.restart();
  for (int i = 0; i < held; ++i) {
    const auto message = loop.run(queue.next(in(10s)));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->payload(), std::to_string(i));
  }
}

TEST(WhileDisconnected, publishing_fails_at_once_unless_asked_to_hold) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(server.url());
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  EXPECT_EQ(client->publish("a", "").error().code, "nats.disconnected");
  EXPECT_EQ(client->pending_bytes(), 0u);
}

TEST(WhileDisconnected, what_was_held_in_vain_is_reported) {
  NatsServer server;
  Loop loop;
  const auto client = loop.connect(
      server.url(), [](Options& options) { options.while_disconnected = WhileDisconnected::hold; });
  server.kill();
  ASSERT_TRUE(loop.until([&] { return !client->connected(); }));
  ASSERT_TRUE(client->publish("a", "never"));
  client->close();
  EXPECT_TRUE(loop.saw("lost"));
  EXPECT_EQ(client->publish("a", "").error().code, "nats.closed");
}

std::string first_error(Loop& loop, const std::string& url, std::function<Task<Credentials>()> credentials) {
  const auto client = loop.make(url, [&](Options& options) { options.credentials = credentials; });
  const auto began = std::chrono::steady_clock::now();
  const auto connected = loop.run(client->connect(in(15s)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
  return connected ? "" : connected.error().code;
}

TEST(CredentialSource, malformed_credentials_fail_at_once) {
  NatsServer server(
      "authorization { users: [{nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK}] }\n");
  Loop loop;
  intra365::testing::TempDir dir;
  const auto file = (dir.path() / "user.creds").string();
  EXPECT_EQ(first_error(loop, server.url(), credentials_file(file)), "nats.no_credentials");
  std::ofstream(file) << "no credentials at all";
  EXPECT_EQ(first_error(loop, server.url(), credentials_file(file)), "creds.malformed");
  Credentials bad;
  bad.nkey_seed = "SUANOTASEED";
  EXPECT_EQ(first_error(loop, server.url(), fixed_credentials(bad)), "key.malformed");
  Credentials good;
  good.nkey_seed = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
  EXPECT_EQ(first_error(loop, server.url(), fixed_credentials(good)), "");
  const auto bad_url = loop.make("nats://host:port:1");
  EXPECT_EQ(loop.run(bad_url->connect(in(15s))).error().code, "nats.bad_url");
}

TEST(Connections, inbox_prefix_round_trip_and_counters_are_as_told) {
  NatsServer server;
  Loop loop;
  const auto client =
      loop.connect(server.url(), [](Options& options) { options.inbox_prefix = "_INBOX_me"; });
  EXPECT_TRUE(client->new_inbox().starts_with("_INBOX_me."));
  std::string reply;
  const auto subscription = client->subscribe("who", [&](const MessageView& message) {
    reply = message.reply;
    (void)client->publish(message.reply, "me");
  });
  ASSERT_TRUE(loop.run(client->request("who", "", {}, in(5s))));
  EXPECT_TRUE(reply.starts_with("_INBOX_me."));
  EXPECT_EQ(subscription->delivered(), 1u);
  const auto round_trip = loop.run(client->round_trip(in(5s)));
  ASSERT_TRUE(round_trip);
  EXPECT_GT(round_trip->count(), 0);
  EXPECT_EQ(client->statistics().connect_attempts, 1u);
}

}  // namespace
}  // namespace intra365::nats
