// Pull consumers against a real server.
#include <gtest/gtest.h>

#include <set>

#include "nats/jetstream.hpp"
#include "nats/jetstream_test_support.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using testing::batch_of;
using testing::Client;
using testing::stream_of;

class PullConsumerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server = std::make_unique<intra365::testing::NatsServer>("jetstream {}\n"); }
  static void TearDownTestSuite() { server.reset(); }
  static inline std::unique_ptr<intra365::testing::NatsServer> server;
  Client client{server->url()};
};

Task<> make_queue(JetStream& js, std::string name, std::chrono::milliseconds ack_wait) {
  auto config = stream_of(name);
  config.retention = "workqueue";
  CO_CHECK(co_await js.ensure_stream(config));
  ConsumerConfig consumer;
  consumer.durable_name = "worker";
  consumer.ack_wait = ack_wait;
  CO_CHECK(co_await js.ensure_consumer(name, consumer));
  CO_CHECK(co_await js.ensure_consumer(name, consumer));  // again: nothing to change
  CO_DONE;
}

TEST_F(PullConsumerTest, work_that_is_not_acknowledged_comes_again_and_acknowledged_work_is_gone) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_queue(js, "work", 300ms));
    const auto batch = batch_of("work.a", 4, "x");
    CO_CHECK(co_await js.publish_batch(batch));
    CO_TRY(const auto first, co_await js.fetch("work", "worker", 4, 5s));
    CO_ASSERT(first.size() == 4);
    EXPECT_EQ(first[0].delivered, 1u);
    EXPECT_EQ(first[0].stream_sequence, 1u);
    EXPECT_EQ(first[0].pending, 3u);
    EXPECT_EQ(first[3].pending, 0u);
    CO_CHECK(co_await js.acknowledge_sync(first[0]));
    js.terminate(first[1]);
    js.negative_acknowledge(first[2]);
    CO_TRY(const auto again, co_await js.fetch("work", "worker", 1, 5s));
    CO_ASSERT(again.size() == 1);
    EXPECT_EQ(again[0].stream_sequence, 3u);
    EXPECT_EQ(again[0].delivered, 2u);
    js.acknowledge(again[0]);
    // The fourth is forgotten, and comes again after ack_wait.
    CO_TRY(const auto late, co_await js.fetch("work", "worker", 1, 5s));
    CO_ASSERT(late.size() == 1);
    EXPECT_EQ(late[0].stream_sequence, 4u);
    EXPECT_EQ(late[0].delivered, 2u);
    CO_CHECK(co_await js.acknowledge_sync(late[0]));
    CO_TRY(const auto state, co_await js.stream_state("work"));
    EXPECT_EQ(state.messages, 0u);
    CO_DONE;
  });
}

TEST_F(PullConsumerTest, negative_acknowledgement_with_a_delay_waits_that_long) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_queue(js, "delayed", 30s));
    CO_CHECK(co_await js.publish("delayed.a", "1"));
    CO_TRY(const auto first, co_await js.fetch("delayed", "worker", 1, 5s));
    CO_ASSERT(first.size() == 1);
    const auto began = std::chrono::steady_clock::now();
    js.negative_acknowledge(first[0], 400ms);
    CO_TRY(const auto second, co_await js.fetch("delayed", "worker", 1, 5s));
    CO_ASSERT(second.size() == 1);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 350ms);
    EXPECT_EQ(second[0].delivered, 2u);
    CO_DONE;
  });
}

TEST_F(PullConsumerTest, two_workers_share_a_queue_without_seeing_the_same_message) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await make_queue(js, "shared", 30s));
    const auto batch = batch_of("shared.a", 100, "x");
    CO_CHECK(co_await js.publish_batch(batch));
    const auto [a, b] =
        co_await (js.fetch("shared", "worker", 50, 5s) && js.fetch("shared", "worker", 50, 5s));
    CO_CHECK(a);
    CO_CHECK(b);
    std::set<std::uint64_t> seen;
    for (const auto* part : {&*a, &*b})
      for (const auto& delivered : *part) seen.insert(delivered.stream_sequence);
    EXPECT_EQ(seen.size(), 100u);
    CO_DONE;
  });
}

TEST_F(PullConsumerTest, fetch_returns_when_its_time_is_over_or_when_something_is_available) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_queue(js, "timed", 30s));
    auto began = std::chrono::steady_clock::now();
    for (const auto until : {FetchUntil::full, FetchUntil::available}) {
      CO_TRY(const auto nothing, co_await js.fetch("timed", "worker", 10, 200ms, until));
      EXPECT_TRUE(nothing.empty());
    }
    EXPECT_GE(std::chrono::steady_clock::now() - began, 350ms);
    CO_CHECK(co_await js.publish("timed.a", "1"));
    CO_CHECK(co_await js.publish("timed.a", "2"));
    began = std::chrono::steady_clock::now();
    CO_TRY(const auto two, co_await js.fetch("timed", "worker", 10, 10s, FetchUntil::available));
    EXPECT_EQ(two.size(), 2u);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
    CO_DONE;
  });
}

TEST_F(PullConsumerTest, fetch_that_waits_gets_the_first_message_at_once) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await make_queue(js, "waits", 30s));
    auto publish_later = [](JetStream& js) -> Task<> {
      co_await sleep_for(100ms);
      CO_CHECK(co_await js.publish("waits.a", "1"));
      CO_DONE;
    };
    const auto began = std::chrono::steady_clock::now();
    const auto [got, sent] =
        co_await (js.fetch("waits", "worker", 10, 20s, FetchUntil::available) && publish_later(js));
    CO_CHECK(sent);
    CO_CHECK(got);
    EXPECT_EQ(got->size(), 1u);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
    CO_DONE;
  });
}

TEST_F(PullConsumerTest, fetch_from_a_consumer_that_is_not_there_or_goes_is_an_error) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await make_queue(js, "gone", 30s));
    const auto nobody = co_await js.fetch("gone", "nobody", 1, 5s);
    CO_ASSERT(!nobody);
    EXPECT_TRUE(nobody.error().is(errors::no_responders)) << nobody.error().code;
    auto remove = [](JetStream& js) -> Task<> {
      co_await sleep_for(100ms);
      co_return co_await js.delete_consumer("gone", "worker");
    };
    const auto [got, removed] = co_await (js.fetch("gone", "worker", 1, 5s) && remove(js));
    CO_CHECK(removed);
    CO_ASSERT(!got);
    EXPECT_TRUE(got.error().is(errors::not_found)) << got.error().code << got.error().detail;
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
