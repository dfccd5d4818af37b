// A connection against a real nats-server: messages, requests, limits, handles that go while in use.
#include <boost/asio/bind_cancellation_slot.hpp>

#include "nats/connection.hpp"

#include <gtest/gtest.h>

#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

class ConnectionTest : public ::testing::Test {
 protected:
  static NatsServer& server() {
    static NatsServer instance("max_payload: 2MB\n");
    return instance;
  }
  std::unique_ptr<Connection> connect(const std::function<void(Options&)>& change = {}) {
    return loop.connect(server().url(), change);
  }
  Loop loop;
};

TEST_F(ConnectionTest, request_gets_the_reply_with_its_headers) {
  const auto service = connect(), client = connect();
  const auto subscription = service->subscribe("greet", [&](const MessageView& message) {
    HeaderBlock headers;
    headers.add("Lang", message.headers.get("Accept-Language"));
    EXPECT_TRUE(service->publish(message.reply, "hello " + std::string(message.payload), headers));
  });
  ASSERT_TRUE(subscription);
  ASSERT_TRUE(loop.run(service->flush(in(5s))));
  HeaderBlock headers;
  headers.add("Accept-Language", "de");
  const auto reply = loop.run(client->request("greet", "Ada", headers, in(5s)));
  ASSERT_TRUE(reply) << reply.error().detail;
  EXPECT_EQ(reply->payload(), "hello Ada");
  EXPECT_EQ(reply->headers().get("lang"), "de");
  EXPECT_EQ(client->statistics().out_messages, 1u);
  EXPECT_EQ(client->statistics().in_messages, 1u);
  EXPECT_FALSE(client->server().version.empty());
}

TEST_F(ConnectionTest, nobody_listening_is_told_at_once) {
  const auto client = connect();
  const auto begin = std::chrono::steady_clock::now();
  const auto reply = loop.run(client->request("nobody.here", "", {}, in(5s)));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, "nats.no_responders");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
}

TEST_F(ConnectionTest, silence_ends_at_the_deadline_and_never_before) {
  const auto client = connect();
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  for (const auto wait : {1ms, 17ms, 40ms}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto reply = loop.run(client->request("silent", "", {}, begin + wait));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, "nats.timeout");
    EXPECT_GE(std::chrono::steady_clock::now(), begin + wait);
  }
  EXPECT_EQ(loop.run(client->request("silent", "", {}, in(-1ms))).error().code, "nats.timeout");
}

TEST_F(ConnectionTest, thousand_requests_in_flight_each_get_their_own_reply) {
  const auto service = connect(), client = connect();
  const auto subscription = echo(*service, "echo");
  ASSERT_TRUE(loop.run(service->flush(in(5s))));
  int right = 0, wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    client->async_request("echo", std::to_string(i), {}, in(10s), [&, i](Result<MessageView> reply) {
      ++(reply && reply->payload == std::to_string(i) ? right : wrong);
    });
  }
  EXPECT_TRUE(loop.until([&] { return right + wrong == 1000; }));
  EXPECT_EQ(wrong, 0);
}

TEST_F(ConnectionTest, cancelled_request_ends_as_cancelled) {
  const auto client = connect();
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  asio::cancellation_signal stop;
  std::optional<Result<Message>> outcome;
  asio::co_spawn(loop.io, client->request("silent", "", {}, in(60s)),
                 asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr, Result<Message> result) {
                   outcome = std::move(result);
                 }));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  ASSERT_FALSE(outcome);
  stop.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(loop.until([&] { return outcome.has_value(); }));
  EXPECT_EQ(outcome->error().code, "cancelled");
}

TEST_F(ConnectionTest, too_many_requests_are_refused) {
  const auto client = connect([](Options& options) { options.max_requests_in_flight = 1; });
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  std::vector<std::string> codes;
  const auto note = [&](Result<MessageView> reply) { codes.push_back(reply ? "" : reply.error().code); };
  client->async_request("silent", "", {}, in(50ms), note);
  client->async_request("silent", "", {}, in(50ms), note);
  EXPECT_TRUE(codes.empty()) << "never answered from inside the call";
  ASSERT_TRUE(loop.until([&] { return codes.size() == 2; }));
  EXPECT_EQ(codes, (std::vector<std::string>{"nats.too_many_requests", "nats.timeout"}));
}

TEST_F(ConnectionTest, queue_group_shares_and_everybody_else_gets_all) {
  const auto first = connect(), second = connect();
  int shared = 0, all = 0;
  const auto a = first->subscribe(
      "work", [&](const MessageView&) { ++shared; }, "group");
  const auto b = second->subscribe(
      "work", [&](const MessageView&) { ++shared; }, "group");
  const auto c = second->subscribe("work", [&](const MessageView&) { ++all; });
  ASSERT_TRUE(loop.run(second->flush(in(5s))));
  ASSERT_TRUE(loop.run(first->flush(in(5s))));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(first->publish("work", ""));
  EXPECT_TRUE(loop.until([&] { return shared == 100 && all == 100; }));
}

TEST_F(ConnectionTest, megabyte_payload_arrives_unchanged) {
  const auto service = connect(), client = connect();
  const auto subscription = echo(*service, "big");
  ASSERT_TRUE(loop.run(service->flush(in(5s))));
  std::string payload(1 << 20, '\0');
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i * 31 + i / 257);
  for (int round = 0; round < 3; ++round) {
    const auto reply = loop.run(client->request("big", payload, {}, in(10s)));
    ASSERT_TRUE(reply) << reply.error().detail;
    EXPECT_TRUE(reply->payload() == payload);
  }
}

TEST_F(ConnectionTest, larger_than_the_server_takes_is_refused_before_it_is_sent) {
  const auto client = connect();
  ASSERT_EQ(client->server().max_payload, 2u << 20);
  EXPECT_EQ(client->publish("a", std::string((2 << 20) + 1, 'x')).error().code, "nats.too_large");
  HeaderBlock headers;
  headers.add("A", "b");
  EXPECT_EQ(client->publish("a", std::string(2 << 20, 'x'), headers).error().code, "nats.too_large");
  EXPECT_TRUE(loop.run(client->flush(in(5s)))) << "the connection lives on";
}

TEST_F(ConnectionTest, subjects_that_could_break_the_protocol_are_refused) {
  const auto client = connect();
  for (const auto* subject : {"", "a b", "a\r\nPUB x 0", "a..b", "a.*", ">"}) {
    EXPECT_EQ(client->publish(subject, "").error().code, "nats.bad_subject") << subject;
    EXPECT_EQ(loop.run(client->request(subject, "", {}, in(1s))).error().code, "nats.bad_subject") << subject;
  }
  EXPECT_EQ(client->publish("a", "", {}, "in box").error().code, "nats.bad_subject");
  EXPECT_EQ(client->publish(std::string(5000, 'x'), "").error().code, "nats.bad_subject");
  EXPECT_EQ(client->subscribe("a.>.b", [](const MessageView&) {}).error().code, "nats.bad_subject");
  EXPECT_EQ(client
                ->subscribe(
                    "a", [](const MessageView&) {}, "a b")
                .error()
                .code,
            "nats.bad_subject");
  EXPECT_TRUE(loop.run(client->flush(in(5s))));
}

TEST_F(ConnectionTest, full_write_buffer_is_an_error_and_not_a_wait) {
  const auto client = connect([](Options& options) { options.max_pending_bytes = 100'000; });
  server().pause();
  const std::string payload(40'000, 'x');
  Result<void> sent;
  for (int i = 0; i < 5'000 && sent; ++i) sent = client->publish("a", payload);
  server().resume();
  ASSERT_FALSE(sent) << "more than any socket buffer holds was taken";
  EXPECT_EQ(sent.error().code, "nats.buffer_full");
  ASSERT_TRUE(loop.run(client->flush(in(10s))));
  EXPECT_TRUE(client->publish("a", std::string(1 << 20, 'x'))) << "one message always fits";
}

TEST_F(ConnectionTest, writable_waits_for_room_and_every_message_arrives) {
  const auto small =
      loop.connect(server().url(), [](Options& options) { options.max_pending_bytes = 1 << 20; });
  std::size_t count = 0;
  const auto client = connect();
  const auto counting = client->subscribe("flood", [&](const MessageView&) { ++count; });
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  constexpr std::size_t kMessages = 100'000;
  // The server stands still until the first refusal, however large the sockets' own buffers are.
  server().pause();
  const auto flood = [](Connection& connection, intra365::testing::NatsServer& server) -> Task<std::size_t> {
    const std::string payload(1000, 'x');
    std::size_t waits = 0;
    for (std::size_t sent = 0; sent < kMessages;) {
      if (connection.publish("flood", payload)) {
        ++sent;
      } else {
        if (waits++ == 0) server.resume();
        CO_CHECK(co_await connection.writable(in(10s)));
      }
    }
    co_return waits;
  };
  const auto waits = loop.run(flood(*small, server()));
  ASSERT_TRUE(waits);
  EXPECT_GE(*waits, 1u);
  EXPECT_TRUE(loop.until([&] { return count == kMessages; }));
  small->close();
  EXPECT_EQ(loop.run(small->writable(in(1s))).error().code, "nats.closed");
}

TEST_F(ConnectionTest, handler_may_unsubscribe_itself_and_others) {
  const auto client = connect();
  int first = 0, second = 0;
  auto other = std::make_shared<Subscription>();
  auto own = std::make_shared<Subscription>();
  *other = *client->subscribe("a", [&, other](const MessageView&) { ++second; });
  *own = *client->subscribe("a", [&, own, other](const MessageView&) {
    ++first;
    other->unsubscribe();
    *own = Subscription();
  });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(first, 1);
  EXPECT_LE(second, 1);
  EXPECT_FALSE(*own);
}

TEST_F(ConnectionTest, handler_may_subscribe_many_while_it_runs) {
  const auto client = connect();
  std::vector<Subscription> more;
  int called = 0;
  const auto subscription = client->subscribe("a", [&, text = std::string("small")](const MessageView&) {
    for (int i = 0; i < 100; ++i)
      more.push_back(*client->subscribe("b", [&](const MessageView&) { ++called; }));
    EXPECT_EQ(text, "small");
  });
  ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.until([&] { return more.size() == 100; }));
  ASSERT_TRUE(client->publish("b", ""));
  EXPECT_TRUE(loop.until([&] { return called == 100; }));
}

TEST_F(ConnectionTest, handler_may_close_or_destroy_the_connection) {
  auto client = connect();
  int calls = 0;
  auto subscription = client->subscribe("a", [&](const MessageView&) {
    ++calls;
    client.reset();
  });
  std::optional<std::string> code;
  client->async_request("nobody.answers.this", "", {}, in(60s), [](Result<MessageView>) {});
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  client->async_request("silent", "", {}, in(60s),
                        [&](Result<MessageView> reply) { code = reply ? "" : reply.error().code; });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.until([&] { return code.has_value(); }));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(*code, "nats.closed");
  subscription->unsubscribe();
}

TEST_F(ConnectionTest, throwing_handler_does_not_end_the_others) {
  const auto client = connect();
  int calls = 0;
  const auto bad = client->subscribe("a", [](const MessageView&) { throw std::runtime_error("oops"); });
  const auto good = client->subscribe("a", [&](const MessageView&) { ++calls; });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client->publish("a", ""));
  EXPECT_TRUE(loop.until([&] { return calls == 3; }));
  EXPECT_TRUE(loop.saw("a message handler threw: oops"));
}

TEST_F(ConnectionTest, slots_are_reused_without_mixing_up_late_messages) {
  const auto client = connect();
  int old_calls = 0, new_calls = 0;
  auto old_one = client->subscribe("x", [&](const MessageView&) { ++old_calls; });
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  // These come back with the old id, after the slot has its new owner.
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->publish("x", ""));
  old_one->unsubscribe();
  const auto new_one = client->subscribe("y", [&](const MessageView&) { ++new_calls; });
  ASSERT_TRUE(client->publish("y", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(old_calls, 0);
  EXPECT_EQ(new_calls, 1);
}

TEST_F(ConnectionTest, unsubscribe_after_counts_all_messages) {
  const auto client = connect();
  int calls = 0;
  auto subscription = client->subscribe("a", [&](const MessageView&) { ++calls; });
  ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  subscription->unsubscribe_after(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(calls, 3);
}

TEST_F(ConnectionTest, request_many_ends_at_max_stall_or_nobody) {
  const auto service = connect(), client = connect();
  std::vector<Subscription> instances;
  for (int i = 0; i < 3; ++i) instances.push_back(echo(*service, "census"));
  ASSERT_TRUE(loop.run(service->flush(in(5s))));
  const auto all = loop.run(client->request_many("census", "x", {}, in(5s), 100, 50ms));
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 3u);
  const auto two = loop.run(client->request_many("census", "x", {}, in(5s), 2, 5000ms));
  ASSERT_TRUE(two);
  EXPECT_EQ(two->size(), 2u);
  const auto none = loop.run(client->request_many("nobody.here", "x", {}, in(5s), 10, 5000ms));
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST_F(ConnectionTest, no_echo_keeps_own_messages_away) {
  const auto client = connect([](Options& options) { options.no_echo = true; });
  int calls = 0;
  const auto subscription = client->subscribe("a", [&](const MessageView&) { ++calls; });
  ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(calls, 0);
}

TEST_F(ConnectionTest, drain_loses_nothing) {
  const auto sender = connect(), receiver = connect();
  int received = 0, echoed = 0;
  const auto back = sender->subscribe("back", [&](const MessageView&) { ++echoed; });
  const auto subscription = receiver->subscribe("in", [&](const MessageView&) {
    ++received;
    EXPECT_TRUE(receiver->publish("back", ""));
  });
  ASSERT_TRUE(loop.run(receiver->flush(in(5s))));
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(sender->publish("in", "x"));
  ASSERT_TRUE(loop.run(sender->flush(in(5s))));
  const auto drained = loop.run(receiver->drain(in(10s)));
  EXPECT_TRUE(drained) << drained.error().detail;
  EXPECT_EQ(received, 5000);
  EXPECT_TRUE(loop.until([&] { return echoed == 5000; }));
  EXPECT_EQ(receiver->publish("a", "").error().code, "nats.closed");
  EXPECT_EQ(receiver->subscribe("a", [](const MessageView&) {}).error().code, "nats.closed");
}

TEST_F(ConnectionTest, subscription_drain_delivers_what_was_under_way) {
  const auto client = connect();
  int calls = 0;
  auto subscription = client->subscribe("a", [&](const MessageView&) { ++calls; });
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(subscription->drain()));
  EXPECT_EQ(calls, 100);
  ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(calls, 100);
}

TEST_F(ConnectionTest, what_was_published_before_close_leaves) {
  const auto receiver = connect();
  int calls = 0;
  const auto subscription = receiver->subscribe("last.words", [&](const MessageView&) { ++calls; });
  ASSERT_TRUE(loop.run(receiver->flush(in(5s))));
  const auto sender = connect();
  ASSERT_TRUE(sender->publish("last.words", ""));
  sender->close();
  EXPECT_TRUE(loop.until([&] { return calls == 1; }));
}

TEST_F(ConnectionTest, closed_and_never_connected_are_told_apart) {
  const auto client = loop.make(server().url());
  EXPECT_EQ(client->publish("a", "").error().code, "nats.disconnected");
  EXPECT_EQ(loop.run(client->request("a", "", {}, in(1s))).error().code, "nats.disconnected");
  client->close();
  EXPECT_EQ(client->publish("a", "").error().code, "nats.closed");
  EXPECT_EQ(loop.run(client->connect(in(1s))).error().code, "nats.closed");
  EXPECT_EQ(loop.run(client->flush(in(1s))).error().code, "nats.closed");
}

TEST_F(ConnectionTest, nobody_at_the_address_fails_by_the_deadline) {
  const auto client = loop.make("nats://127.0.0.1:1");
  const auto begin = std::chrono::steady_clock::now();
  const auto connected = loop.run(client->connect(in(100ms)));
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, "nats.disconnected");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_EQ(loop.run(loop.make("http://x")->connect(in(50ms))).error().code, "nats.bad_url");
}

TEST_F(ConnectionTest, second_address_serves_when_the_first_does_not) {
  const auto client = loop.make(server().url(), [](Options& options) {
    options.urls.insert(options.urls.begin(), "nats://127.0.0.1:1");
  });
  EXPECT_TRUE(loop.run(client->connect(in(5s))));
}

}  // namespace
}  // namespace intra365::nats
