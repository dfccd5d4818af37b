// What publishers ask for by headers, kept by a real server.
#include "nats/jetstream_headers.hpp"

#include "nats/jetstream_ordered.hpp"
#include "nats/jetstream_publisher.hpp"
#include "nats/jetstream_test_support.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

class PublishTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    client.run(std::move(body));
  }
  NatsServer server{"jetstream {}\n"};
  Client client{server.url()};
};

HeaderBlock headers_of(const PublishOptions& options) {
  auto headers = with_options({}, options);
  EXPECT_TRUE(headers);
  return headers.value_or(HeaderBlock());
}

TEST_F(PublishTest, same_message_id_is_stored_once) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("s")));
    PublishOptions options;
    options.message_id = "one";
    const auto headers = headers_of(options);
    CO_TRY(const auto first, co_await jetstream.publish("s.a", "1", headers));
    CO_TRY(const auto second, co_await jetstream.publish("s.a", "1", headers));
    EXPECT_FALSE(first.duplicate);
    EXPECT_TRUE(second.duplicate);
    EXPECT_EQ(first.sequence, second.sequence);
    // In a batch a duplicate refuses the whole.
    auto batch = batch_of("s.b", 3, "x");
    batch[1].headers = headers;
    const auto refused = co_await jetstream.publish_batch(batch);
    CO_ASSERT(!refused && refused.error().is(errors::duplicate));
    CO_TRY(const auto state, co_await jetstream.stream_state("s"));
    EXPECT_EQ(state.messages, 1u);
    CO_DONE;
  });
}

TEST_F(PublishTest, unmet_expectation_stores_nothing) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("s")));
    PublishOptions first;
    first.message_id = "first";
    first.expected_stream = "s";
    first.expected_last_sequence = 0;
    const auto first_headers = headers_of(first);
    CO_CHECK(co_await jetstream.publish("s.a", "1", first_headers));
    std::vector<PublishOptions> wrong(4);
    wrong[0].expected_last_sequence = 0;
    wrong[1].expected_last_subject_sequence = 7;
    wrong[2].expected_last_subject_sequence = 7;
    wrong[2].expected_subject = "s.*";
    wrong[3].expected_last_message_id = "other";
    for (const auto& options : wrong) {
      const auto headers = headers_of(options);
      const auto refused = co_await jetstream.publish("s.a", "2", headers);
      CO_ASSERT(!refused && refused.error().is(errors::wrong_revision));
    }
    PublishOptions elsewhere;
    elsewhere.expected_stream = "other";
    const auto headers = headers_of(elsewhere);
    const auto refused = co_await jetstream.publish("s.a", "2", headers);
    EXPECT_FALSE(refused);
    PublishOptions right;
    right.expected_last_subject_sequence = 1;
    right.expected_last_message_id = "first";
    const auto good = headers_of(right);
    CO_CHECK(co_await jetstream.publish("s.a", "2", good));
    CO_DONE;
  });
}

TEST_F(PublishTest, message_with_a_time_to_live_goes_and_leaves_a_marker) {
  run([](JetStream& jetstream) -> Task<> {
    auto config = stream_of("s");
    config.allow_msg_ttl = true;
    config.subject_delete_marker_ttl = 60s;
    config.max_msgs_per_subject = 1;
    config.allow_rollup_hdrs = true;
    CO_CHECK(co_await jetstream.ensure_stream(config));
    PublishOptions options;
    options.ttl = 1s;
    const auto headers = headers_of(options);
    CO_CHECK(co_await jetstream.publish("s.a", "1", headers));
    OrderedConsumer ordered(jetstream, "s");
    CO_TRY(const auto message, co_await ordered.next(in(5s)));
    CO_ASSERT(message && message->message.payload() == "1");
    CO_TRY(const auto end, co_await ordered.next(in(5s)));
    CO_ASSERT(!end);
    CO_TRY(const auto marker, co_await ordered.next(in(10s)));
    CO_ASSERT(marker && marker->message.headers().get("Nats-Marker-Reason") == "MaxAge");
    CO_DONE;
  });
}

TEST_F(PublishTest, scheduled_message_is_published_later_and_can_be_cancelled) {
  run([](JetStream& jetstream) -> Task<> {
    auto config = stream_of("s");
    config.allow_msg_schedules = true;
    config.allow_msg_ttl = true;
    config.allow_rollup_hdrs = true;
    CO_CHECK(co_await jetstream.ensure_stream(config));
    Schedule schedule;
    schedule.when = Schedule::at(system_clock().now() + 1s);
    schedule.target = "s.due.a";
    schedule.ttl = 60s;
    CO_TRY(const auto soon, with_schedule({}, schedule));
    CO_CHECK(co_await jetstream.publish("s.timer.a", "wake up", soon));
    schedule.when = Schedule::every(1s);
    schedule.target = "s.due.b";
    CO_TRY(const auto cancelled, with_schedule({}, schedule));
    CO_CHECK(co_await jetstream.publish("s.timer.b", "never", cancelled));
    CO_CHECK(co_await jetstream.purge_stream("s", "s.timer.b"));
    OrderedOptions options;
    options.filter_subjects = {"s.due.>"};
    OrderedConsumer due(jetstream, "s", options);
    CO_TRY(const auto end, co_await due.next(in(5s)));
    EXPECT_FALSE(end);
    CO_TRY(const auto message, co_await due.next(in(10s)));
    CO_ASSERT(message && message->message.payload() == "wake up");
    EXPECT_EQ(message->message.headers().get("Nats-Scheduler"), "s.timer.a");
    CO_DONE;
  });
}

TEST_F(PublishTest, counter_adds_numbers_of_any_size) {
  run([](JetStream& jetstream) -> Task<> {
    StreamConfig config;
    config.name = "counts";
    config.subjects = {"count.>"};
    config.allow_msg_counter = true;
    CO_CHECK(co_await jetstream.create_stream(config));
    CO_TRY(const auto one, co_await jetstream.count("count.a", "+5"));
    EXPECT_EQ(one, "5");
    CO_TRY(const auto two, co_await jetstream.count("count.a", "-7"));
    EXPECT_EQ(two, "-2");
    CO_TRY(const auto large, co_await jetstream.count("count.a", "+123456789012345678901234567890"));
    EXPECT_EQ(large, "123456789012345678901234567888");
    CO_TRY(const auto total, co_await jetstream.counted("counts", "count.a"));
    EXPECT_EQ(total, large);
    const auto word = co_await jetstream.count("count.a", "many");
    EXPECT_FALSE(word);
    CO_DONE;
  });
}

TEST_F(PublishTest, window_bounds_what_is_under_way_and_every_message_is_answered) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("s")));
    PublisherOptions options;
    options.max_in_flight = 64;
    AsyncPublisher publisher(jetstream, options);
    std::uint64_t last = 0, answered = 0;
    for (int i = 0; i < 5000; ++i) {
      const auto payload = std::to_string(i);
      const HeaderBlock none;
      auto done = [&](Result<PublishAck> ack) {
        ++answered;
        if (ack) last = std::max(last, ack->sequence);
      };
      CO_CHECK(co_await publisher.publish("s.a", payload, none, done));
      CO_ASSERT(publisher.in_flight() <= 64);
    }
    CO_CHECK(co_await publisher.drain(in(20s)));
    EXPECT_EQ(answered, 5000u);
    EXPECT_EQ(last, 5000u);
    while (publisher.try_publish("s.a", "more")) {
    }
    const auto full = publisher.try_publish("s.a", "more");
    CO_ASSERT(full.error().is(errors::window_full));
    CO_CHECK(co_await publisher.drain(in(20s)));
    CO_CHECK(publisher.try_publish("nobody.stores.this", "x"));
    const auto failed = co_await publisher.drain(in(20s));
    CO_ASSERT(!failed && failed.error().is(errors::no_responders));
    EXPECT_EQ(publisher.failed(), 1u);
    CO_CHECK(co_await publisher.drain(in(20s)));
    CO_DONE;
  });
}

TEST(PublishOptions, value_that_no_header_can_hold_is_refused) {
  PublishOptions options;
  options.message_id = "a\r\nX: y";
  EXPECT_FALSE(with_options({}, options));
  options.message_id.clear();
  options.ttl = std::chrono::seconds(5);
  options.never_expires = true;
  EXPECT_FALSE(with_options({}, options));
  Schedule schedule;
  schedule.when = "@every 1s";
  EXPECT_FALSE(with_schedule({}, schedule)) << "without a target";
  options.never_expires = false;
  options.rollup = PublishOptions::Rollup::all;
  EXPECT_EQ(with_options({}, options)->text(), "NATS/1.0\r\nNats-TTL: 5s\r\nNats-Rollup: all\r\n\r\n");
}

}  // namespace
}  // namespace intra365::nats
