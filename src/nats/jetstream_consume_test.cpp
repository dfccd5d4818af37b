// Continuous consuming, ordered and pulled, while servers, consumers and clients come and go.
#include "nats/jetstream_consume.hpp"

#include "nats/jetstream_advisory.hpp"
#include "nats/jetstream_ordered.hpp"
#include "nats/jetstream_publisher.hpp"
#include "nats/jetstream_test_support.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

Task<> publish_numbers(JetStream& jetstream, std::string subject, int from, int to) {
  AsyncPublisher publisher(jetstream);
  for (int i = from; i < to; ++i) {
    const auto payload = std::to_string(i);
    CO_CHECK(co_await publisher.publish(subject, payload));
  }
  co_return co_await publisher.drain(in(20s));
}

ConsumerConfig durable(std::string name) {
  ConsumerConfig config;
  config.durable_name = std::move(name);
  return config;
}

class ConsumeTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    client.run([&](JetStream& jetstream) -> Task<> {
      CO_CHECK(co_await jetstream.ensure_stream(stream_of("s")));
      co_return co_await body(jetstream);
    });
  }
  NatsServer server{"jetstream {}\n"};
  Client client{server.url()};
};

TEST_F(ConsumeTest, pulls_again_before_the_last_pull_is_used_up) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 1000));
    CO_CHECK(co_await jetstream.ensure_consumer("s", durable("c")));
    ConsumeOptions options;
    options.max_messages = 100;
    PullConsumer consumer(jetstream, "s", "c", options);
    for (int i = 0; i < 1000; ++i) {
      auto delivered = consumer.try_next();
      if (!delivered) {
        CO_TRY(auto waited, co_await consumer.next(in(5s)));
        delivered = std::move(waited);
      }
      CO_ASSERT(delivered->message.payload() == std::to_string(i));
      jetstream.acknowledge(*delivered);
    }
    EXPECT_GE(consumer.counters().pulls, 19u);
    EXPECT_EQ(consumer.counters().recoveries, 0u);
    const auto nothing = co_await consumer.next(in(50ms));
    CO_ASSERT(!nothing && nothing.error().is(errors::timeout));
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 1000, 1001));
    CO_TRY(const auto late, co_await consumer.next(in(5s)));
    EXPECT_EQ(late.message.payload(), "1000");
    CO_DONE;
  });
}

TEST_F(ConsumeTest, goes_on_after_the_pull_expired_and_after_a_restart) {
  run([this](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_consumer("s", durable("c")));
    ConsumeOptions options;
    options.expires = 1000ms;
    options.idle_heartbeat = 200ms;
    PullConsumer consumer(jetstream, "s", "c", options);
    const auto nothing = co_await consumer.next(in(1500ms));
    CO_ASSERT(!nothing && nothing.error().is(errors::timeout));
    EXPECT_GE(consumer.counters().pulls, 2u);
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 10));
    for (int i = 0; i < 10; ++i) {
      CO_TRY(const auto delivered, co_await consumer.next(in(5s)));
      CO_CHECK(co_await jetstream.acknowledge_sync(delivered));
    }
    server.restart();
    CO_CHECK(co_await jetstream.connection().connect(in(10s)));
    Result<PublishAck> stored = fail(errors::timeout);
    while (!stored) stored = co_await jetstream.publish("s.a", "after");
    CO_TRY(const auto delivered, co_await consumer.next(in(10s)));
    EXPECT_EQ(delivered.message.payload(), "after");
    EXPECT_GE(consumer.counters().recoveries, 1u);
    CO_DONE;
  });
}

TEST_F(ConsumeTest, silent_server_is_noticed_by_its_missing_heartbeats) {
  run([this](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_consumer("s", durable("c")));
    ConsumeOptions options;
    options.expires = 2000ms;
    options.idle_heartbeat = 100ms;
    PullConsumer consumer(jetstream, "s", "c", options);
    (void)co_await consumer.next(in(300ms));
    EXPECT_EQ(consumer.counters().missed_heartbeats, 0u);
    server.pause();
    (void)co_await consumer.next(in(1500ms));
    server.resume();
    EXPECT_GE(consumer.counters().missed_heartbeats, 1u);
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 1));
    CO_TRY(const auto delivered, co_await consumer.next(in(10s)));
    EXPECT_EQ(delivered.message.payload(), "0");
    CO_DONE;
  });
}

TEST_F(ConsumeTest, ends_when_the_consumer_is_gone_or_never_was) {
  run([](JetStream& jetstream) -> Task<> {
    PullConsumer never(jetstream, "s", "never");
    const auto absent = co_await never.next(in(5s));
    CO_ASSERT(!absent && absent.error().is(errors::not_found));
    CO_CHECK(co_await jetstream.ensure_consumer("s", durable("c")));
    PullConsumer consumer(jetstream, "s", "c");
    (void)co_await consumer.next(in(50ms));
    CO_CHECK(co_await jetstream.delete_consumer("s", "c"));
    const auto gone = co_await consumer.next(in(10s));
    CO_ASSERT(!gone && gone.error().is(errors::not_found));
    auto config = durable("small");
    config.max_batch = 10;
    CO_CHECK(co_await jetstream.ensure_consumer("s", config));
    PullConsumer greedy(jetstream, "s", "small");
    const auto refused = co_await greedy.next(in(5s));
    CO_ASSERT(!refused && refused.error().is(errors::jetstream));
    PullConsumer bad(jetstream, "s.x", "c");
    const auto name = co_await bad.next(in(5s));
    CO_ASSERT(!name && name.error().is(errors::bad_name));
    CO_DONE;
  });
}

TEST_F(ConsumeTest, stop_wakes_who_waits) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_consumer("s", durable("c")));
    PullConsumer consumer(jetstream, "s", "c");
    asio::post(jetstream.connection().executor(), [&] { consumer.stop(); });
    const auto stopped = co_await consumer.next(in(10s));
    CO_ASSERT(!stopped && stopped.error().is(errors::closed));
    CO_DONE;
  });
}

TEST_F(ConsumeTest, one_client_of_a_pinned_group_gets_everything_until_it_is_unpinned) {
  run([](JetStream& jetstream) -> Task<> {
    auto config = durable("pinned");
    config.priority_groups = {"g"};
    config.priority_policy = "pinned_client";
    config.priority_timeout = 10s;
    CO_CHECK(co_await jetstream.ensure_consumer("s", config));
    ConsumeOptions options;
    options.group = "g";
    options.max_messages = 10;
    PullConsumer one(jetstream, "s", "pinned", options), two(jetstream, "s", "pinned", options);
    (void)co_await one.next(in(50ms));
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 6));
    (void)co_await two.next(in(50ms));
    for (int i = 0; i < 6; ++i) {
      CO_TRY(const auto delivered, co_await one.next(in(5s)));
      jetstream.acknowledge(delivered);
    }
    EXPECT_FALSE(one.pin_id().empty());
    EXPECT_TRUE(two.pin_id().empty());
    CO_TRY(const auto info, co_await jetstream.consumer_info("s", "pinned"));
    CO_ASSERT(info.priority_groups.size() == 1 && info.priority_groups[0].pinned_client_id == one.pin_id());
    one.stop();
    CO_CHECK(co_await jetstream.unpin_consumer("s", "pinned", "g"));
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 6, 7));
    CO_TRY(const auto taken_over, co_await two.next(in(10s)));
    EXPECT_EQ(taken_over.message.payload(), "6");
    EXPECT_FALSE(two.pin_id().empty());
    CO_DONE;
  });
}

TEST_F(ConsumeTest, kinds_of_acknowledgement_do_what_they_say) {
  run([](JetStream& jetstream) -> Task<> {
    std::vector<std::string> advisories;
    CO_TRY(const auto watching, subscribe_advisories(jetstream.connection(), [&](const Advisory& advisory) {
             if (advisory.consumer == "c") advisories.push_back(advisory.type);
           }));
    auto config = durable("c");
    config.ack_wait = 500ms;
    config.max_deliver = 2;
    CO_CHECK(co_await jetstream.ensure_consumer("s", config));
    PullConsumer consumer(jetstream, "s", "c");
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 2));
    CO_TRY(const auto first, co_await consumer.next(in(5s)));
    CO_TRY(const auto second, co_await consumer.next(in(5s)));
    jetstream.terminate(first, "cannot be read");
    jetstream.negative_acknowledge(second, 10ms);
    CO_TRY(const auto again, co_await consumer.next(in(5s)));
    EXPECT_EQ(again.stream_sequence, second.stream_sequence);
    EXPECT_EQ(again.delivered, 2u);
    EXPECT_GT(again.timestamp_ns, 1'700'000'000'000'000'000u);
    for (int i = 0; i < 8; ++i) {  // longer than ack_wait
      jetstream.in_progress(again);
      co_await sleep_for(100ms);
    }
    CO_CHECK(co_await jetstream.acknowledge_sync(again));
    CO_TRY(const auto info, co_await jetstream.consumer_info("s", "c"));
    EXPECT_EQ(info.num_ack_pending, 0u);
    EXPECT_EQ(info.ack_floor.stream_seq, 2u);
    EXPECT_NE(std::find(advisories.begin(), advisories.end(), "io.nats.jetstream.advisory.v1.terminated"),
              advisories.end());
    CO_DONE;
  });
}

TEST_F(ConsumeTest, ordered_consumer_hands_out_everything_once_over_loss_and_restart) {
  run([this](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 500));
    OrderedConsumer ordered(jetstream, "s");
    CO_CHECK(co_await ordered.start());
    int expected = 0;
    const auto take = [&](int until) -> Task<> {
      while (expected < until) {
        CO_TRY(const auto delivered, co_await ordered.next(in(20s)));
        if (!delivered) continue;  // the initial end
        CO_ASSERT(delivered->message.payload() == std::to_string(expected));
        ++expected;
      }
      CO_DONE;
    };
    CO_CHECK(co_await take(200));
    // Somebody deletes the server's side of it.
    CO_TRY(const auto names, co_await jetstream.consumer_names("s"));
    CO_ASSERT(names.size() == 1);
    CO_CHECK(co_await jetstream.delete_consumer("s", names[0]));
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 500, 600));
    CO_CHECK(co_await take(600));
    EXPECT_GE(ordered.restarts(), 1u);
    server.restart();
    CO_CHECK(co_await jetstream.connection().connect(in(10s)));
    Result<PublishAck> stored = fail(errors::timeout);
    while (!stored) stored = co_await jetstream.publish("s.a", "600");
    CO_CHECK(co_await take(601));
    ordered.stop();
    const auto stopped = co_await ordered.next(in(5s));
    CO_ASSERT(!stopped && stopped.error().is(errors::closed));
    OrderedConsumer nowhere(jetstream, "nowhere");
    const auto absent = co_await nowhere.next(in(5s));
    CO_ASSERT(!absent && absent.error().is(errors::not_found));
    CO_DONE;
  });
}

TEST_F(ConsumeTest, ordered_consumer_of_what_is_new_misses_nothing_when_made_anew) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 3));
    OrderedOptions options;
    options.deliver_policy = "new";
    OrderedConsumer ordered(jetstream, "s", options);
    CO_CHECK(co_await ordered.start());
    CO_TRY(const auto end, co_await ordered.next(in(5s)));
    EXPECT_FALSE(end);
    CO_TRY(const auto names, co_await jetstream.consumer_names("s"));
    CO_CHECK(co_await jetstream.delete_consumer("s", names.at(0)));
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 3, 5));
    for (int i = 3; i < 5; ++i) {
      CO_TRY(const auto delivered, co_await ordered.next(in(20s)));
      CO_ASSERT(delivered && delivered->message.payload() == std::to_string(i));
    }
    CO_DONE;
  });
}

TEST_F(ConsumeTest, more_than_the_queue_holds_is_neither_lost_nor_doubled) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await publish_numbers(jetstream, "s.a", 0, 20'000));
    OrderedOptions options;
    options.max_queued = 500;
    OrderedConsumer ordered(jetstream, "s", options);
    for (int i = 0; i < 20'000; ++i) {
      CO_TRY(const auto delivered, co_await ordered.next(in(20s)));
      CO_ASSERT(delivered && delivered->message.payload() == std::to_string(i));
    }
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
