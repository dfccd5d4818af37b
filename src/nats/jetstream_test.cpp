// JetStream against a real server.
#include "nats/jetstream.hpp"

#include <gtest/gtest.h>

#include <array>

#include "nats/jetstream_test_support.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/queue.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using testing::batch_of;
using testing::Client;
using testing::in;
using testing::stream_of;

/// One server for all tests of this file; each test has streams of its own.
class JetStreamTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server = std::make_unique<intra365::testing::NatsServer>(kConfig); }
  static void TearDownTestSuite() { server.reset(); }

  static constexpr const char* kConfig = "jetstream { sync_interval: always }\n";
  static inline std::unique_ptr<intra365::testing::NatsServer> server;
  Client client{server->url()};
};

TEST_F(JetStreamTest, ensure_stream_creates_then_changes_only_what_differs) {
  client.run([](JetStream& js) -> Task<> {
    MessageQueue advisories(js.connection(), 16);
    CO_CHECK(advisories.subscribe("$JS.EVENT.ADVISORY.STREAM.*.ensure"));
    auto config = stream_of("ensure");
    CO_TRY(const auto first, co_await js.ensure_stream(config));
    CO_TRY(const auto again, co_await js.ensure_stream(config));
    EXPECT_EQ(first.created, again.created);
    config.max_msgs_per_subject = 5;
    config.max_age = 1h;
    CO_CHECK(co_await js.ensure_stream(config));
    CO_CHECK(co_await js.ensure_stream(config));
    CO_CHECK(co_await js.delete_stream("ensure"));
    std::vector<std::string> events;
    while (events.size() < 3) {
      CO_TRY(const auto advisory, co_await advisories.next(in(5s)));
      events.emplace_back(advisory.subject().substr(0, advisory.subject().rfind('.')));
    }
    EXPECT_EQ(events, (std::vector<std::string>{"$JS.EVENT.ADVISORY.STREAM.CREATED",
                                                "$JS.EVENT.ADVISORY.STREAM.UPDATED",
                                                "$JS.EVENT.ADVISORY.STREAM.DELETED"}));
    EXPECT_TRUE((co_await js.stream_state("ensure")).error().is(errors::not_found));
    CO_DONE;
  });
}

TEST_F(JetStreamTest, ensure_stream_keeps_what_an_operator_has_set) {
  client.run([](JetStream& js) -> Task<> {
    const std::string made =
        R"({"name":"kept","subjects":["kept.>"],"compression":"s2","metadata":{"owner":"ops"}})";
    CO_CHECK(co_await wire::call(js.connection(), "STREAM.CREATE.kept", made, in(5s)));
    CO_CHECK(co_await js.ensure_stream(stream_of("kept")));
    CO_TRY(const auto info, co_await wire::call(js.connection(), "STREAM.INFO.kept", "", in(5s)));
    const auto* config = wire::child(info, "config");
    CO_ASSERT(config != nullptr);
    EXPECT_EQ(wire::text(*config, "compression"), "s2");
    EXPECT_EQ(wire::text(*wire::child(*config, "metadata"), "owner"), "ops");
    EXPECT_EQ(config->at("allow_atomic"), true);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, what_cannot_be_changed_is_an_error_with_the_server_s_text) {
  client.run([](JetStream& js) -> Task<> {
    auto config = stream_of("fixed");
    CO_CHECK(co_await js.ensure_stream(config));
    config.storage = "memory";
    const auto refused = co_await js.ensure_stream(config);
    CO_ASSERT(!refused);
    EXPECT_TRUE(refused.error().is(errors::jetstream));
    EXPECT_NE(refused.error().detail.find("(err_code "), std::string::npos) << refused.error().detail;
    config.name = "no.such.name";
    EXPECT_TRUE((co_await js.ensure_stream(config)).error().is(errors::bad_name));
    CO_DONE;
  });
}

TEST_F(JetStreamTest, api_level_has_atomic_batches) {
  client.run([](JetStream& js) -> Task<> {
    CO_TRY(const auto level, co_await js.api_level());
    EXPECT_GE(level, 2);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, publish_returns_the_sequence_and_knows_duplicates) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("plain")));
    HeaderBlock id;
    id.add("Nats-Msg-Id", "once");
    CO_TRY(const auto first, co_await js.publish("plain.a", "1", id));
    CO_TRY(const auto second, co_await js.publish("plain.a", "1", id));
    EXPECT_EQ(first.stream, "plain");
    EXPECT_EQ(first.sequence, 1u);
    EXPECT_FALSE(first.duplicate);
    EXPECT_TRUE(second.duplicate);
    EXPECT_EQ(second.sequence, 1u);
    CO_TRY(const auto last, co_await js.last_stored("plain", "plain.a"));
    EXPECT_EQ(last.message.payload(), "1");
    EXPECT_EQ(last.message.headers().get("nats-msg-id"), "once");
    EXPECT_EQ(last.sequence, 1u);
    EXPECT_TRUE((co_await js.last_message("plain", "plain.other")).error().is(errors::not_found));
    CO_CHECK(co_await js.purge_stream("plain", "plain.a"));
    CO_TRY(const auto state, co_await js.stream_state("plain"));
    EXPECT_EQ(state.messages, 0u);
    EXPECT_EQ(state.last_seq, 1u);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, publish_on_a_wrong_expected_sequence_is_a_conflict) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("expected")));
    HeaderBlock expects;
    expects.add("Nats-Expected-Last-Subject-Sequence", "9");
    const auto refused = co_await js.publish("expected.a", "1", expects);
    CO_ASSERT(!refused);
    EXPECT_TRUE(refused.error().is(errors::wrong_revision));
    EXPECT_EQ(refused.error().kind, ErrorKind::conflict);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, publish_without_a_stream_fails_after_the_retries) {
  client.run([](JetStream& js) -> Task<> {
    const auto began = std::chrono::steady_clock::now();
    const auto refused = co_await js.publish("nobody.listens", "1");
    CO_ASSERT(!refused);
    EXPECT_TRUE(refused.error().is(errors::no_responders));
    EXPECT_GE(std::chrono::steady_clock::now() - began, 500ms);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, publish_finds_a_stream_that_appears_while_it_retries) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    auto make = [](JetStream& js) -> Task<> {
      co_await sleep_for(100ms);
      const auto config = stream_of("late");
      CO_CHECK(co_await js.ensure_stream(config));
      CO_DONE;
    };
    const auto [published, made] = co_await (js.publish("late.a", "1") && make(js));
    CO_CHECK(made);
    CO_CHECK(published);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, batch_is_stored_whole_and_in_order) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("batch")));
    const auto batch = batch_of("batch.a", 1000, "x");
    CO_TRY(const auto ack, co_await js.publish_batch(batch));
    EXPECT_EQ(ack.sequence, 1000u);
    EXPECT_EQ(ack.batch_count, 1000u);
    for (const std::size_t i : {0, 1, 500, 999}) {
      CO_TRY(const auto stored, co_await js.last_stored("batch", "batch.a." + std::to_string(i)));
      EXPECT_EQ(stored.sequence, i + 1);
      EXPECT_EQ(stored.message.payload(), "x:" + std::to_string(i));
      EXPECT_EQ(stored.message.headers().get("Nats-Batch-Sequence"), std::to_string(i + 1));
    }
    // One message needs no batch.
    const auto one = batch_of("batch.one", 1, "y");
    CO_TRY(const auto single, co_await js.publish_batch(one));
    EXPECT_EQ(single.sequence, 1001u);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, batch_larger_than_the_write_buffer_is_stored_whole) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("heavy")));
    auto batch = batch_of("heavy.a", 60, "x");
    for (auto& message : batch) message.payload.assign(400'000, 'x');
    CO_TRY(const auto ack, co_await js.publish_batch(batch));
    EXPECT_EQ(ack.batch_count, 60u);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, batch_with_a_wrong_expected_sequence_stores_nothing) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("fenced")));
    CO_CHECK(co_await js.publish("fenced.cursor", "0"));
    for (const std::size_t wrong_at : {std::size_t{0}, std::size_t{25}, std::size_t{49}}) {
      auto batch = batch_of("fenced.a", 50, "x");
      batch[wrong_at].subject = "fenced.cursor";
      batch[wrong_at].headers.add("Nats-Expected-Last-Subject-Sequence", "77");
      const auto refused = co_await js.publish_batch(batch);
      CO_ASSERT(!refused);
      EXPECT_TRUE(refused.error().is(errors::wrong_revision))
          << refused.error().code << refused.error().detail;
      CO_TRY(const auto state, co_await js.stream_state("fenced"));
      EXPECT_EQ(state.last_seq, 1u);
    }
    CO_DONE;
  });
}

TEST_F(JetStreamTest, batch_that_cannot_be_is_refused_before_anything_is_sent) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await js.ensure_stream(stream_of("refused")));
    auto too_many = batch_of("refused.a", 1001, "x");
    auto bad_subject = batch_of("refused.a", 3, "x");
    bad_subject[2].subject = "refused a";
    auto too_large = batch_of("refused.a", 3, "x");
    too_large[1].payload.assign(2 << 20, 'x');
    std::vector<Outgoing> empty;
    for (const auto* batch : std::array{&too_many, &bad_subject, &too_large, &empty})
      EXPECT_TRUE((co_await js.publish_batch(*batch)).error().is(errors::bad_batch));
    CO_TRY(const auto state, co_await js.stream_state("refused"));
    EXPECT_EQ(state.last_seq, 0u);
    CO_DONE;
  });
}

TEST_F(JetStreamTest, batch_on_a_stream_without_atomic_publishing_stores_nothing) {
  client.run([](JetStream& js) -> Task<> {
    auto config = stream_of("single");
    config.allow_atomic = false;
    CO_CHECK(co_await js.ensure_stream(config));
    const auto batch = batch_of("single.a", 3, "x");
    const auto refused = co_await js.publish_batch(batch);
    CO_ASSERT(!refused);
    EXPECT_TRUE(refused.error().is(errors::jetstream)) << refused.error().code;
    EXPECT_TRUE(wire::has_err_code(refused.error(), 10174)) << refused.error().detail;
    CO_TRY(const auto state, co_await js.stream_state("single"));
    EXPECT_EQ(state.last_seq, 0u);
    CO_DONE;
  });
}

Task<> publish_batches(JetStream& js, std::string mark, int count) {
  for (int i = 0; i < count; ++i) {
    const auto batch = batch_of("mixed." + mark, 20, mark + std::to_string(i));
    CO_CHECK(co_await js.publish_batch(batch));
  }
  CO_DONE;
}

TEST_F(JetStreamTest, concurrent_batches_do_not_mix) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await js.ensure_stream(stream_of("mixed")));
    const auto [a, b, c] = co_await (publish_batches(js, "a", 10) && publish_batches(js, "b", 10) &&
                                     publish_batches(js, "c", 10));
    CO_CHECK(a);
    CO_CHECK(b);
    CO_CHECK(c);
    ConsumerConfig consumer;
    consumer.durable_name = "reader";
    CO_CHECK(co_await js.ensure_consumer("mixed", consumer));
    CO_TRY(const auto all, co_await js.fetch("mixed", "reader", 600, 5s));
    CO_ASSERT(all.size() == 600);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i].stream_sequence, i + 1);
      EXPECT_EQ(all[i].message.headers().get("Nats-Batch-Sequence"), std::to_string(i % 20 + 1));
      EXPECT_EQ(all[i].message.headers().get("Nats-Batch-Id"),
                all[i / 20 * 20].message.headers().get("Nats-Batch-Id"));
    }
    CO_DONE;
  });
}

Task<> publish_until_it_fails(JetStream& js, std::shared_ptr<std::vector<std::uint64_t>> acknowledged) {
  while (true) {
    const auto ack = co_await js.publish("durable.a", std::to_string(acknowledged->size()));
    if (!ack) break;
    acknowledged->push_back(ack->sequence);
  }
  CO_DONE;
}

TEST(JetStreamDurability, acknowledged_publishes_survive_kill_9_when_every_write_is_synced) {
  intra365::testing::NatsServer server("jetstream { sync_interval: always }\n");
  Client client(server.url());
  client.run([&server](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await js.ensure_stream(stream_of("durable")));
    const auto batch = batch_of("durable.batch", 500, "x");
    CO_TRY(const auto batched, co_await js.publish_batch(batch));
    EXPECT_EQ(batched.sequence, 500u);
    const auto acknowledged = std::make_shared<std::vector<std::uint64_t>>();
    auto kill_later = [](intra365::testing::NatsServer& server) -> Task<> {
      co_await sleep_for(300ms);
      server.kill();
      CO_DONE;
    };
    (void)co_await (publish_until_it_fails(js, acknowledged) && kill_later(server));
    CO_ASSERT(acknowledged->size() > 10);
    server.restart();
    CO_CHECK(co_await js.connection().connect(in(10s)));
    CO_TRY(const auto state, co_await js.stream_state("durable"));
    EXPECT_GE(state.last_seq, acknowledged->back());
    EXPECT_GE(state.messages, 500 + acknowledged->size());
    CO_DONE;
  });
}

Task<> publish_batches_until_one_fails(JetStream& js, std::shared_ptr<std::uint64_t> acknowledged) {
  const auto batch = batch_of("crash.a", 50, "x");
  while (true) {
    const auto ack = co_await js.publish_batch(batch);
    if (!ack) break;
    *acknowledged = ack->sequence;
  }
  CO_DONE;
}

TEST(JetStreamDurability, batches_are_whole_after_kill_9) {
  intra365::testing::NatsServer server("jetstream { sync_interval: always }\n");
  Client client(server.url());
  client.run([&server](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await js.ensure_stream(stream_of("crash")));
    std::uint64_t before = 0;
    for (int round = 0; round < 3; ++round) {
      const auto acknowledged = std::make_shared<std::uint64_t>(0);
      // In the middle of the work, however slow the machine: something has been stored, and more is coming.
      auto kill_later = [](intra365::testing::NatsServer& server,
                           std::shared_ptr<std::uint64_t> acknowledged) -> Task<> {
        while (*acknowledged == 0) co_await sleep_for(5ms);
        co_await sleep_for(100ms);
        server.kill();
        CO_DONE;
      };
      (void)co_await (publish_batches_until_one_fails(js, acknowledged) && kill_later(server, acknowledged));
      server.restart();
      CO_CHECK(co_await js.connection().connect(in(10s)));
      CO_TRY(const auto state, co_await js.stream_state("crash"));
      EXPECT_GT(*acknowledged, before);
      EXPECT_GE(state.last_seq, *acknowledged);
      EXPECT_EQ(state.last_seq % 50, 0u);
      EXPECT_EQ(state.messages, state.last_seq);
      before = state.last_seq;
    }
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
