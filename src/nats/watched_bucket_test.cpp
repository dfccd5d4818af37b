// The mirrored bucket against a real server that is restarted, and buckets that are deleted, under it.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "nats/jetstream_test_support.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/key_value.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using intra365::testing::NatsServer;
using testing::Client;
using testing::in;

class WatchedBucketTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server = std::make_unique<NatsServer>("jetstream {}\n"); }
  static void TearDownTestSuite() { server.reset(); }
  static inline std::unique_ptr<NatsServer> server;
  Client client{server->url()};
};

Task<> make_bucket(JetStream& js, std::string name, std::chrono::nanoseconds ttl = {}) {
  BucketConfig config;
  config.name = std::move(name);
  config.ttl = ttl;
  co_return co_await KeyValue::ensure(js, config);
}

/// Waits for something that only the mirror's own progress can bring about.
template <class Condition>
Task<> eventually(Condition condition, std::chrono::seconds patience = 20s) {
  const auto deadline = in(patience);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline)
      co_return fail(intra365::errors::deadline, "it never came to hold");
    co_await sleep_for(5ms);
  }
  CO_DONE;
}

TEST_F(WatchedBucketTest, empty_bucket_is_ready_at_once) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "empty"));
    WatchedBucket mirror(js, "empty");
    EXPECT_FALSE(mirror.ready());
    CO_CHECK(co_await mirror.start(in(5s)));
    EXPECT_TRUE(mirror.ready());
    EXPECT_TRUE(mirror.current());
    EXPECT_EQ(mirror.size(), 0u);
    EXPECT_EQ(mirror.find("a"), nullptr);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, mirror_has_the_initial_values_and_follows_changes) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "follow"));
    KeyValue bucket(js, "follow");
    CO_CHECK(co_await bucket.put("a", "1"));
    CO_CHECK(co_await bucket.put("b", "1"));
    CO_CHECK(co_await bucket.put("a", "2"));
    CO_CHECK(co_await bucket.remove("b"));
    std::vector<std::string> seen;
    WatchedBucket mirror(js, "follow", [&seen](const Entry& entry) {
      seen.push_back(entry.key + (entry.deleted ? " gone" : "=" + entry.value));
    });
    CO_CHECK(co_await mirror.start(in(5s)));
    EXPECT_EQ(mirror.size(), 1u);
    CO_ASSERT(mirror.find("a") != nullptr);
    EXPECT_EQ(mirror.find("a")->value, "2");
    EXPECT_EQ(mirror.find("a")->revision, 3u);
    EXPECT_EQ(mirror.revision(), 4u);

    CO_CHECK(co_await bucket.put("c", "1"));
    CO_CHECK(co_await bucket.remove("a"));
    CO_TRY(const auto last, co_await bucket.put("b", "3"));
    CO_CHECK(co_await mirror.wait_for(last, in(5s)));
    EXPECT_EQ(mirror.find("a"), nullptr);
    EXPECT_EQ(mirror.find("b")->value, "3");
    EXPECT_EQ(mirror.size(), 2u);
    EXPECT_EQ(seen, (std::vector<std::string>{"a=2", "c=1", "a gone", "b=3"}));
    const auto too_far = co_await mirror.wait_for(last + 1, in(50ms));
    CO_ASSERT(!too_far);
    EXPECT_TRUE(too_far.error().is(intra365::errors::deadline));
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, revision_counts_what_was_deleted_before_the_watch) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "counted"));
    KeyValue bucket(js, "counted");
    CO_CHECK(co_await bucket.put("a", "1"));
    CO_TRY(const auto last, co_await bucket.put("b", "1"));
    CO_CHECK(co_await js.purge_stream("KV_counted", "$KV.counted.b"));
    WatchedBucket mirror(js, "counted");
    CO_CHECK(co_await mirror.start(in(5s)));
    CO_CHECK(co_await mirror.wait_for(last, in(1s)));
    EXPECT_EQ(mirror.size(), 1u);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, many_keys_arrive_under_flow_control) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "many"));
    const std::string value(512, 'v');
    std::uint64_t last = 0;
    for (int i = 0; i < 20'000; ++i) {
      CO_CHECK(js.connection().publish("$KV.many.k" + std::to_string(i), value));
      if (i % 1000 == 999) CO_CHECK(co_await js.connection().flush(in(10s)));
    }
    KeyValue bucket(js, "many");
    CO_TRY(last, co_await bucket.put("end", "1"));
    EXPECT_EQ(last, 20'001u);
    WatchedBucket mirror(js, "many");
    CO_CHECK(co_await mirror.start(in(20s)));
    EXPECT_EQ(mirror.size(), 20'001u);
    EXPECT_EQ(mirror.revision(), 20'001u);
    EXPECT_EQ(mirror.find("k19999")->value, value);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, start_is_complete_although_writers_never_pause) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "busy"));
    KeyValue bucket(js, "busy");
    for (int i = 0; i < 500; ++i) CO_CHECK(co_await bucket.put("k" + std::to_string(i), "0"));
    const auto running = std::make_shared<bool>(true);
    const auto last = std::make_shared<std::uint64_t>(0);
    auto write = [](JetStream& js, std::shared_ptr<bool> running,
                    std::shared_ptr<std::uint64_t> last) -> Task<> {
      KeyValue bucket(js, "busy");
      for (int i = 0; *running; ++i) {
        CO_TRY(*last, co_await bucket.put("k" + std::to_string(i % 500), std::to_string(*last)));
      }
      CO_DONE;
    };
    auto watch = [](JetStream& js, std::shared_ptr<bool> running,
                    std::shared_ptr<std::uint64_t> last) -> Task<> {
      for (int i = 0; i < 10; ++i) {
        WatchedBucket mirror(js, "busy");
        const auto before = *last;
        const auto started = co_await mirror.start(in(5s));
        if (!started) *running = false;
        CO_CHECK(started);
        EXPECT_EQ(mirror.size(), 500u);
        EXPECT_GE(mirror.revision(), before);
      }
      *running = false;
      CO_DONE;
    };
    using namespace asio::experimental::awaitable_operators;
    const auto [written, watched] = co_await (write(js, running, last) && watch(js, running, last));
    CO_CHECK(written);
    CO_CHECK(watched);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, bucket_that_appears_later_is_waited_for_and_one_that_does_not_is_an_error) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    WatchedBucket never(js, "never");
    const auto failed = co_await never.start(in(300ms));
    CO_ASSERT(!failed);
    EXPECT_TRUE(failed.error().is(errors::not_found)) << failed.error().code;
    WatchedBucket later(js, "later");
    auto make = [](JetStream& js) -> Task<> {
      co_await sleep_for(100ms);
      co_return co_await make_bucket(js, "later");
    };
    const auto [made, started] = co_await (make(js) && later.start(in(10s)));
    CO_CHECK(made);
    CO_CHECK(started);
    WatchedBucket bad(js, "bad.name");
    EXPECT_TRUE((co_await bad.start(in(1s))).error().is(errors::bad_name));
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, bucket_that_was_deleted_and_made_anew_is_loaded_anew) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "anew"));
    KeyValue bucket(js, "anew");
    for (int i = 0; i < 50; ++i) CO_CHECK(co_await bucket.put("old" + std::to_string(i), "1"));
    CO_CHECK(co_await bucket.put("both", "old"));
    std::size_t gone = 0;
    std::string both;
    WatchedBucket mirror(js, "anew", [&](const Entry& entry) {
      gone += entry.deleted;
      if (entry.key == "both") both = entry.value;
    });
    CO_CHECK(co_await mirror.start(in(5s)));
    EXPECT_EQ(mirror.size(), 51u);
    CO_CHECK(co_await js.delete_stream("KV_anew"));
    CO_CHECK(co_await make_bucket(js, "anew"));
    CO_CHECK(co_await bucket.put("both", "new"));
    CO_CHECK(co_await eventually([&] { return mirror.current() && mirror.revision() == 1; }));
    EXPECT_EQ(mirror.size(), 1u);
    EXPECT_EQ(mirror.find("both")->value, "new");
    EXPECT_EQ(both, "new");
    EXPECT_EQ(gone, 50u);
    CO_TRY(const auto last, co_await bucket.put("next", "1"));
    CO_CHECK(co_await mirror.wait_for(last, in(5s)));
    EXPECT_EQ(mirror.size(), 2u);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, consumer_that_somebody_deletes_is_replaced_without_losing_a_change) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "replaced"));
    KeyValue bucket(js, "replaced");
    CO_CHECK(co_await bucket.put("a", "1"));
    std::vector<std::string> values;
    WatchedBucket mirror(js, "replaced", [&values](const Entry& entry) { values.push_back(entry.value); });
    CO_CHECK(co_await mirror.start(in(5s)));
    CO_TRY(const auto names, co_await wire::call(js.connection(), "CONSUMER.NAMES.KV_replaced", "", in(5s)));
    CO_ASSERT(names.at("consumers").as_array().size() == 1);
    const auto name = boost::json::value_to<std::string>(names.at("consumers").as_array()[0]);
    CO_CHECK(co_await js.delete_consumer("KV_replaced", name));
    CO_CHECK(co_await bucket.put("a", "2"));
    CO_TRY(const auto last, co_await bucket.put("a", "3"));
    CO_CHECK(co_await mirror.wait_for(last, in(10s)));
    EXPECT_EQ(values.front(), "1");
    EXPECT_EQ(values.back(), "3");
    EXPECT_EQ(std::ranges::count(values, std::string("1")), 1);
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, expired_values_leave_the_mirror) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "expiring", 1s));
    KeyValue bucket(js, "expiring");
    WatchedBucket mirror(js, "expiring");
    CO_CHECK(co_await mirror.start(in(5s)));
    CO_TRY(const auto last, co_await bucket.put("a", "1"));
    CO_CHECK(co_await mirror.wait_for(last, in(5s)));
    CO_ASSERT(mirror.find("a") != nullptr);
    CO_CHECK(co_await eventually([&] { return mirror.size() == 0; }));
    CO_CHECK(co_await bucket.create("a", "2"));
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, it_may_be_destroyed_from_its_own_callback_and_leaves_no_consumer) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "selfless"));
    KeyValue bucket(js, "selfless");
    std::unique_ptr<WatchedBucket> mirror;
    mirror = std::make_unique<WatchedBucket>(js, "selfless", [&mirror](const Entry&) { mirror.reset(); });
    CO_CHECK(co_await mirror->start(in(5s)));
    CO_CHECK(co_await bucket.put("a", "1"));
    CO_CHECK(co_await bucket.put("a", "2"));
    CO_CHECK(co_await eventually([&] { return mirror == nullptr; }));
    for (bool left = true; left;) {
      CO_TRY(const auto names,
             co_await wire::call(js.connection(), "CONSUMER.NAMES.KV_selfless", "", in(5s)));
      const auto* list = names.if_contains("consumers");
      left = list && list->is_array() && !list->get_array().empty();
    }
    CO_DONE;
  });
}

TEST_F(WatchedBucketTest, it_may_be_destroyed_while_it_starts) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "brief"));
    for (int i = 0; i < 20; ++i) {
      auto mirror = std::make_unique<WatchedBucket>(js, "brief");
      auto outcome = std::make_shared<std::optional<Result<void>>>();
      asio::co_spawn(js.connection().executor(), mirror->start(in(5s)),
                     [outcome](std::exception_ptr, Result<void> ended) { *outcome = std::move(ended); });
      for (int turns = 0; turns < i; ++turns)
        co_await asio::post(js.connection().executor(), asio::use_awaitable);
      mirror.reset();
      CO_CHECK(co_await eventually([&] { return outcome->has_value(); }));
    }
    CO_DONE;
  });
}

TEST(WatchedBucketRestart, mirror_goes_on_after_the_server_was_killed_and_restarted) {
  NatsServer server("jetstream { sync_interval: always }\n");
  Client watcher(server.url());
  watcher.run([&server](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "survivor"));
    KeyValue bucket(js, "survivor");
    CO_CHECK(co_await bucket.put("a", "1"));
    CO_CHECK(co_await bucket.put("b", "1"));
    std::vector<std::string> seen;
    WatchedBucket mirror(js, "survivor",
                         [&seen](const Entry& entry) { seen.push_back(entry.key + entry.value); });
    CO_CHECK(co_await mirror.start(in(5s)));
    for (int round = 2; round < 4; ++round) {
      server.kill();
      CO_CHECK(co_await eventually([&] { return !mirror.current(); }));
      CO_ASSERT(mirror.find("a") != nullptr);  // still answers with what it last knew
      server.restart();
      CO_CHECK(co_await js.connection().connect(in(10s)));
      Result<std::uint64_t> last = 0;
      const auto value = std::to_string(round);
      CO_CHECK(co_await eventually([&] { return js.connection().connected(); }));
      for (last = co_await bucket.put("a", value); !last; last = co_await bucket.put("a", value))
        co_await sleep_for(20ms);
      CO_CHECK(co_await mirror.wait_for(*last, in(10s)));
      EXPECT_EQ(mirror.find("a")->value, value);
      EXPECT_EQ(mirror.size(), 2u);
      CO_CHECK(co_await eventually([&] { return mirror.current(); }));
    }
    EXPECT_EQ(seen.front(), "a1");
    EXPECT_EQ(std::ranges::count(seen, std::string("b1")), 1);  // resumed, not read again
    CO_DONE;
  });
}

TEST(WatchedBucketRestart, changes_made_by_others_while_the_watcher_is_away_are_seen) {
  NatsServer server("jetstream {}\n");
  Client watcher(server.url());
  watcher.run([&server](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "away"));
    KeyValue bucket(js, "away");
    CO_CHECK(co_await bucket.put("kept", "1"));
    CO_CHECK(co_await bucket.put("removed", "1"));
    WatchedBucket mirror(js, "away");
    CO_CHECK(co_await mirror.start(in(5s)));
    // A frozen server answers nobody; what it was sent meanwhile it does when it wakes.
    server.pause();
    CO_CHECK(js.connection().publish("$KV.away.kept", "2"));
    CO_CHECK(co_await eventually([&] { return !mirror.current(); }));
    server.resume();
    CO_CHECK(co_await eventually([&] { return mirror.current() && mirror.find("kept")->value == "2"; }));
    CO_CHECK(co_await bucket.remove("removed"));
    CO_CHECK(co_await eventually([&] { return mirror.find("removed") == nullptr; }));
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
