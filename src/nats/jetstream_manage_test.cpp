// Streams and consumers as a real server keeps them.
#include <boost/json.hpp>

#include "base/time.hpp"
#include "nats/jetstream_test_support.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

class JetStreamManageTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    client.run(std::move(body));
  }
  NatsServer server{"jetstream {}\n"};
  Client client{server.url()};
};

TEST_F(JetStreamManageTest, every_field_of_a_stream_comes_back_as_it_was_given) {
  run([](JetStream& jetstream) -> Task<> {
    StreamConfig config;
    config.name = "all";
    config.subjects = {"all.>"};
    config.description = "every field";
    config.retention = "limits";
    config.max_msgs_per_subject = 10;
    config.max_msgs = 1000;
    config.max_bytes = 1 << 20;
    config.max_age = 1h;
    config.duplicate_window = 30s;
    config.max_msg_size = 4096;
    config.max_consumers = 7;
    config.compression = "s2";
    config.first_seq = 100;
    config.allow_rollup_hdrs = true;
    config.allow_msg_ttl = true;
    config.subject_delete_marker_ttl = 10s;
    config.allow_atomic = true;
    config.allow_batched = true;
    config.allow_msg_schedules = true;
    config.subject_transform = SubjectTransform{"all.*", "all.{{wildcard(1)}}"};
    config.republish = Republish{"all.>", "copy.all.>", true};
    config.consumer_limits = ConsumerLimits{5min, 500};
    config.metadata["owner"] = "me";
    CO_CHECK(co_await jetstream.create_stream(config));
    CO_TRY(const auto info, co_await jetstream.stream_info("all"));
    const auto& got = info.config;
    EXPECT_EQ(wire::required_api_level(got), 4);
    EXPECT_EQ(got.description, config.description);
    EXPECT_TRUE(got.allow_batched && got.allow_msg_schedules);
    EXPECT_EQ(got.max_msg_size, 4096);
    EXPECT_EQ(got.max_bytes, config.max_bytes);
    EXPECT_EQ(got.max_msgs, config.max_msgs);
    EXPECT_EQ(got.num_replicas, 1);
    EXPECT_EQ(got.max_consumers, 7);
    EXPECT_EQ(got.compression, "s2");
    EXPECT_EQ(got.first_seq, 100u);
    EXPECT_EQ(got.max_age, 1h);
    EXPECT_EQ(got.republish->dest, "copy.all.>");
    EXPECT_EQ(got.subject_transform->dest, "all.{{wildcard(1)}}");
    EXPECT_EQ(got.consumer_limits->max_ack_pending, 500);
    EXPECT_EQ(got.metadata.at("owner"), "me");
    const auto created = info.state.created;
    CO_TRY(const auto again, co_await jetstream.ensure_stream(config));
    EXPECT_EQ(again.created, created);
    const auto other = co_await jetstream.create_stream(stream_of("all"));
    CO_ASSERT(!other && other.error().is(errors::exists));
    config.metadata["owner"] = "you";
    CO_CHECK(co_await jetstream.ensure_stream(config));
    CO_TRY(const auto changed, co_await jetstream.stream_info("all"));
    EXPECT_EQ(changed.config.metadata.at("owner"), "you");
    auto refusing = stream_of("refusing");
    refusing.discard = "new";
    refusing.discard_new_per_subject = true;
    refusing.max_msgs_per_subject = 1;
    CO_CHECK(co_await jetstream.create_stream(refusing));
    CO_CHECK(co_await jetstream.publish("refusing.a", "1"));
    const auto second = co_await jetstream.publish("refusing.a", "2");
    EXPECT_FALSE(second);
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, a_limit_that_an_operator_set_outlives_those_who_ensure_the_stream) {
  run([](JetStream& jetstream) -> Task<> {
    auto config = stream_of("limited");
    CO_CHECK(co_await jetstream.ensure_stream(config));
    config.max_bytes = 1 << 20;
    config.max_msgs = 1000;
    CO_CHECK(co_await jetstream.update_stream(config));
    auto ours = stream_of("limited");
    ours.description = "changed";
    CO_CHECK(co_await jetstream.ensure_stream(ours));
    CO_TRY(const auto info, co_await jetstream.stream_info("limited"));
    EXPECT_EQ(info.config.description, "changed");
    EXPECT_EQ(info.config.max_bytes, 1 << 20);
    EXPECT_EQ(info.config.max_msgs, 1000);
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, mirror_and_source_take_over_what_is_stored) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("origin")));
    CO_CHECK(co_await jetstream.publish("origin.a", "1"));
    CO_CHECK(co_await jetstream.publish("origin.b", "2"));
    StreamConfig mirror;
    mirror.name = "mirror";
    mirror.mirror.emplace().name = "origin";
    mirror.mirror_direct = true;
    CO_CHECK(co_await jetstream.create_stream(mirror));
    StreamConfig sourced;
    sourced.name = "sourced";
    auto& source = sourced.sources.emplace_back();
    source.name = "origin";
    source.subject_transforms.push_back({"origin.a", "taken.a"});
    CO_CHECK(co_await jetstream.create_stream(sourced));
    for (;;) {
      CO_TRY(const auto first, co_await jetstream.stream_state("mirror"));
      CO_TRY(const auto second, co_await jetstream.stream_state("sourced"));
      if (first.messages == 2 && second.messages == 1) break;
      co_await sleep_for(10ms);
    }
    CO_TRY(const auto taken, co_await jetstream.last_message("sourced", "taken.a"));
    EXPECT_EQ(taken.payload(), "1");
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, listings_are_complete_over_pages) {
  run([](JetStream& jetstream) -> Task<> {
    for (int i = 0; i < 300; ++i) {
      auto config = stream_of("s" + std::to_string(i));
      config.storage = "memory";
      CO_CHECK(co_await jetstream.create_stream(config));
    }
    CO_TRY(const auto names, co_await jetstream.stream_names());
    EXPECT_EQ(names.size(), 300u);
    CO_TRY(const auto streams, co_await jetstream.streams());
    EXPECT_EQ(streams.size(), 300u);
    CO_TRY(const auto one, co_await jetstream.stream_names("s7.x"));
    EXPECT_EQ(one, std::vector<std::string>{"s7"});
    CO_TRY(const auto account, co_await jetstream.account_info());
    EXPECT_EQ(account.streams, 300u);
    EXPECT_GE(account.api_level, 2u);
    EXPECT_GT(account.api_total, 300u);
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, purge_and_delete_take_what_they_name) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("p")));
    for (int i = 0; i < 10; ++i) CO_CHECK(co_await jetstream.publish("p.a", std::to_string(i)));
    for (int i = 0; i < 10; ++i) CO_CHECK(co_await jetstream.publish("p.b", std::to_string(i)));
    PurgeOptions keep;
    keep.filter = "p.a";
    keep.keep = 3;
    CO_TRY(const auto purged, co_await jetstream.purge("p", keep));
    EXPECT_EQ(purged, 7u);
    PurgeOptions before;
    before.seq = 11;
    CO_TRY(const auto rest, co_await jetstream.purge("p", before));
    EXPECT_EQ(rest, 3u);
    CO_CHECK(co_await jetstream.delete_message("p", 15, Erase::yes));
    const auto gone = co_await jetstream.message("p", 15);
    CO_ASSERT(!gone && gone.error().is(errors::not_found));
    CO_TRY(const auto info, co_await jetstream.stream_info("p", ">"));
    EXPECT_EQ(info.subjects, (std::map<std::string, std::uint64_t>{{"p.b", 9}}));
    EXPECT_EQ(info.state.num_deleted, 1u);
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, consumer_is_made_changed_listed_paused_and_reset) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("c")));
    ConsumerConfig config;
    config.durable_name = "worker";
    config.filter_subjects = {"c.a", "c.b"};
    config.backoff = {1s, 5s};
    config.max_deliver = 3;
    config.metadata["kind"] = "test";
    CO_TRY(const auto made, co_await jetstream.create_consumer("c", config));
    EXPECT_EQ(made.config.backoff, config.backoff);
    EXPECT_EQ(made.config.filter_subjects, config.filter_subjects);
    auto other = config;
    other.max_deliver = 9;
    const auto twice = co_await jetstream.create_consumer("c", other);
    CO_ASSERT(!twice && twice.error().is(errors::exists));
    CO_TRY(const auto changed, co_await jetstream.update_consumer("c", other));
    EXPECT_EQ(changed.config.max_deliver, 9);
    other.durable_name = "nobody";
    const auto absent = co_await jetstream.update_consumer("c", other);
    CO_ASSERT(!absent);

    CO_CHECK(co_await jetstream.publish("c.a", "1"));
    CO_TRY(const auto until,
           co_await jetstream.pause_consumer("c", "worker", format_rfc3339(system_clock().now() + 1h)));
    EXPECT_GT(until, 59min);
    CO_TRY(const auto paused, co_await jetstream.consumer_info("c", "worker"));
    EXPECT_TRUE(paused.paused);
    const auto nothing = co_await jetstream.fetch("c", "worker", 1, 100ms);
    CO_ASSERT(nothing && nothing->empty());
    CO_CHECK(co_await jetstream.resume_consumer("c", "worker"));
    CO_TRY(const auto fetched, co_await jetstream.fetch("c", "worker", 1, 5s));
    CO_ASSERT(fetched.size() == 1);
    CO_CHECK(co_await jetstream.acknowledge_sync(fetched[0]));
    CO_CHECK(co_await jetstream.reset_consumer("c", "worker", 1));
    CO_TRY(const auto again, co_await jetstream.fetch("c", "worker", 1, 5s));
    CO_ASSERT(again.size() == 1);

    CO_TRY(const auto names, co_await jetstream.consumer_names("c"));
    EXPECT_EQ(names, std::vector<std::string>{"worker"});
    CO_TRY(const auto all, co_await jetstream.consumers("c"));
    CO_ASSERT(all.size() == 1 && all[0].name == "worker");
    CO_DONE;
  });
}

TEST_F(JetStreamManageTest, direct_reads_find_single_messages_and_batches) {
  run([](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await jetstream.ensure_stream(stream_of("d")));
    HeaderBlock headers;
    headers.add("X-Mine", "yes");
    for (int i = 0; i < 50; ++i)
      CO_CHECK(co_await jetstream.publish("d." + std::to_string(i % 5), std::to_string(i), headers));
    DirectQuery last;
    last.last_by_subj = "d.3";
    CO_TRY(const auto found, co_await jetstream.direct_get("d", last));
    EXPECT_EQ(found.message.payload(), "48");
    EXPECT_EQ(found.message.subject(), "d.3");
    EXPECT_EQ(found.message.headers().get("X-Mine"), "yes");
    EXPECT_EQ(found.sequence, 49u);
    DirectQuery next;
    next.next_by_subj = "d.2";
    next.seq = 4;
    CO_TRY(const auto second, co_await jetstream.direct_get("d", next));
    EXPECT_EQ(second.message.payload(), "7");
    last.last_by_subj = "d.none";
    const auto none = co_await jetstream.direct_get("d", last);
    CO_ASSERT(!none && none.error().is(errors::not_found));

    DirectBatchQuery batch;
    batch.next_by_subj = "d.1";
    batch.batch = 4;
    batch.seq = 1;
    CO_TRY(const auto some, co_await jetstream.direct_get_batch("d", batch));
    CO_ASSERT(some.messages.size() == 4 && some.num_pending == 6);
    batch.seq = some.messages.back().sequence + 1;
    batch.batch = 100;
    CO_TRY(const auto rest, co_await jetstream.direct_get_batch("d", batch));
    CO_ASSERT(rest.messages.size() == 6 && rest.num_pending == 0);
    DirectBatchQuery each;
    each.multi_last = {"d.>"};
    CO_TRY(const auto lasts, co_await jetstream.direct_get_batch("d", each));
    CO_ASSERT(lasts.messages.size() == 5 && lasts.messages[4].message.payload() == "49");
    each.multi_last = {"none.>"};
    CO_TRY(const auto nothing, co_await jetstream.direct_get_batch("d", each));
    EXPECT_TRUE(nothing.messages.empty());
    CO_DONE;
  });
}

TEST(JetStreamFields, encode_and_decode_agree_and_ignore_what_is_of_another_type) {
  const auto parsed = boost::json::parse(
      R"({"config":{"name":7,"max_msgs":"x","subjects":[1,"a"],"metadata":{"a":1,"b":"c"},"placement":3,)"
      R"("mirror":{"name":"m","external":{"api":"p"}}},"state":{"messages":-4},"cluster":{"replicas":[{"lag":2}]}})");
  const auto info = wire::decode_stream_info(parsed.as_object());
  EXPECT_EQ(info.config.name, "");
  EXPECT_FALSE(info.config.max_msgs);
  EXPECT_EQ(info.config.subjects, (std::vector<std::string>{"", "a"}));
  EXPECT_EQ(info.config.metadata, (Metadata{{"a", ""}, {"b", "c"}}));
  EXPECT_FALSE(info.config.placement);
  EXPECT_EQ(info.config.mirror->external->api, "p");
  EXPECT_EQ(info.state.messages, 0u);
  EXPECT_EQ(info.cluster.replicas.at(0).lag, 2u);
}

}  // namespace
}  // namespace intra365::nats
