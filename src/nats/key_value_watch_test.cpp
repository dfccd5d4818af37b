// History, watching and expiry of buckets on a real server.
#include "nats/jetstream_test_support.hpp"
#include "nats/key_value.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

class KeyWatchTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    client.run([&](JetStream& jetstream) -> Task<> {
      BucketConfig config;
      config.name = "b";
      config.history = 5;
      config.limit_marker_ttl = 1s;
      CO_CHECK(co_await KeyValue::ensure(jetstream, config));
      KeyValue bucket(jetstream, "b");
      co_return co_await body(jetstream, bucket);
    });
  }
  NatsServer server{"jetstream {}\n"};
  Client client{server.url()};
};

std::string text(const std::optional<Entry>& entry) {
  if (!entry) return "end";
  return entry->key + (entry->deleted ? "-" : "=" + entry->value);
}

TEST_F(KeyWatchTest, history_is_told_oldest_first_with_its_markers) {
  run([](JetStream&, KeyValue& bucket) -> Task<> {
    for (int i = 0; i < 4; ++i) CO_CHECK(co_await bucket.put("k", std::to_string(i)));
    CO_CHECK(co_await bucket.remove("k"));
    CO_CHECK(co_await bucket.put("k", "last"));
    CO_TRY(const auto history, co_await bucket.history("k"));
    CO_ASSERT(history.size() == 5);
    EXPECT_EQ(history.front().value, "1") << "the oldest of six has gone";
    EXPECT_EQ(history[3].operation, KeyOperation::remove);
    EXPECT_EQ(history[4].value, "last");
    EXPECT_GT(history[4].created, system_clock().now() - 60s);
    CO_TRY(const auto old, co_await bucket.get_revision("k", history[1].revision));
    CO_ASSERT(old && old->value == "2");
    CO_TRY(const auto other, co_await bucket.get_revision("x", history[1].revision));
    EXPECT_FALSE(other);
    CO_TRY(const auto future, co_await bucket.get_revision("k", 999));
    EXPECT_FALSE(future);
    CO_TRY(const auto none, co_await bucket.history("none"));
    EXPECT_TRUE(none.empty());
    CO_CHECK(co_await bucket.purge("k"));
    CO_TRY(const auto purged, co_await bucket.history("k"));
    CO_ASSERT(purged.size() == 1 && purged[0].operation == KeyOperation::purge);
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, every_kind_of_watch_tells_what_it_promises) {
  run([](JetStream&, KeyValue& bucket) -> Task<> {
    CO_TRY(auto empty, co_await bucket.watch());
    CO_TRY(const auto nothing, co_await empty.next(in(5s)));
    EXPECT_FALSE(nothing);
    CO_CHECK(co_await bucket.put("a.1", "x"));
    CO_CHECK(co_await bucket.put("a.1", "y"));
    CO_CHECK(co_await bucket.put("b.1", "z"));
    CO_CHECK(co_await bucket.remove("b.1"));

    const auto tell = [&](KeyWatchOptions options, std::size_t count) -> Task<std::string> {
      CO_TRY(auto watcher, co_await bucket.watch(std::move(options)));
      std::string told;
      for (std::size_t i = 0; i < count; ++i) {
        CO_TRY(const auto entry, co_await watcher.next(in(5s)));
        told += text(entry) + " ";
      }
      co_return told;
    };
    KeyWatchOptions options;
    EXPECT_EQ((co_await tell(options, 3)).value_or(""), "a.1=y b.1- end ");
    options.keys = {"a.*"};
    EXPECT_EQ((co_await tell(options, 2)).value_or(""), "a.1=y end ");
    options.include_history = true;
    EXPECT_EQ((co_await tell(options, 3)).value_or(""), "a.1=x a.1=y end ");
    options = {};
    options.ignore_deletes = true;
    EXPECT_EQ((co_await tell(options, 2)).value_or(""), "a.1=y end ");
    options = {};
    options.headers_only = true;
    EXPECT_EQ((co_await tell(options, 3)).value_or(""), "a.1= b.1- end ");
    options = {};
    options.from_revision = 2;
    EXPECT_EQ((co_await tell(options, 4)).value_or(""), "a.1=y b.1=z b.1- end ");
    options = {};
    options.updates_only = true;
    CO_TRY(auto updates, co_await bucket.watch(options));
    CO_TRY(const auto end, co_await updates.next(in(5s)));
    EXPECT_FALSE(end);
    CO_CHECK(co_await bucket.put("c", "new"));
    CO_TRY(const auto update, co_await updates.next(in(5s)));
    EXPECT_EQ(text(update), "c=new");
    CO_TRY(const auto first, co_await empty.next(in(5s)));
    EXPECT_EQ(text(first), "a.1=x") << "what came after the end of the initial data, in order";
    KeyWatchOptions bad;
    bad.keys = {"a b"};
    const auto refused = co_await bucket.watch(bad);
    CO_ASSERT(!refused && refused.error().is(errors::bad_name));
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, watcher_goes_on_after_a_restart) {
  run([this](JetStream& jetstream, KeyValue& bucket) -> Task<> {
    CO_TRY(auto watcher, co_await bucket.watch());
    CO_TRY(const auto end, co_await watcher.next(in(5s)));
    EXPECT_FALSE(end);
    server.restart();
    CO_CHECK(co_await jetstream.connection().connect(in(10s)));
    Result<std::uint64_t> put = fail(errors::timeout);
    while (!put) put = co_await bucket.put("k", "after");
    CO_TRY(const auto entry, co_await watcher.next(in(10s)));
    EXPECT_EQ(text(entry), "k=after");
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, keys_are_listed_by_pattern) {
  run([](JetStream&, KeyValue& bucket) -> Task<> {
    const std::vector<std::string> names{"user.1.name", "user.2.name", "user.2.mail", "group.1"};
    for (const auto& name : names) CO_CHECK(co_await bucket.put(name, "x"));
    CO_CHECK(co_await bucket.remove("user.1.name"));
    using Keys = std::vector<std::string>;
    CO_TRY(const auto all, co_await bucket.keys());
    EXPECT_EQ(all, (Keys{"group.1", "user.2.mail", "user.2.name"}));
    const Keys filters{"user.*.name", "group.>"};
    CO_TRY(const auto some, co_await bucket.keys(filters));
    EXPECT_EQ(some, (Keys{"group.1", "user.2.name"}));
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, key_with_a_time_to_live_goes_and_watchers_are_told) {
  run([](JetStream&, KeyValue& bucket) -> Task<> {
    CO_CHECK(co_await bucket.create("lease", "mine", 1s));
    const auto taken = co_await bucket.create("lease", "yours", 1s);
    CO_ASSERT(!taken && taken.error().is(errors::wrong_revision));
    CO_TRY(auto watcher, co_await bucket.watch());
    CO_TRY(const auto there, co_await watcher.next(in(5s)));
    EXPECT_EQ(text(there), "lease=mine");
    CO_TRY(const auto end, co_await watcher.next(in(5s)));
    EXPECT_FALSE(end);
    CO_TRY(const auto expired, co_await watcher.next(in(10s)));
    EXPECT_EQ(text(expired), "lease-");
    EXPECT_EQ(expired->operation, KeyOperation::purge);
    CO_CHECK(co_await bucket.create("lease", "yours"));
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, removal_can_demand_a_revision_and_old_markers_are_swept) {
  run([](JetStream&, KeyValue& bucket) -> Task<> {
    CO_TRY(const auto revision, co_await bucket.put("k", "1"));
    const auto stale = co_await bucket.remove("k", revision + 5);
    CO_ASSERT(!stale && stale.error().is(errors::wrong_revision));
    CO_CHECK(co_await bucket.remove("k", revision));
    const auto wrong = co_await bucket.purge("k", 0s, revision);
    CO_ASSERT(!wrong && wrong.error().is(errors::wrong_revision));
    CO_CHECK(co_await bucket.put("other", "1"));
    CO_TRY(const auto young, co_await bucket.purge_deletes(1h));
    EXPECT_EQ(young, 0u);
    CO_TRY(const auto swept, co_await bucket.purge_deletes(0s));
    EXPECT_EQ(swept, 1u);
    CO_TRY(const auto status, co_await bucket.status());
    EXPECT_EQ(status.values, 1u);
    EXPECT_EQ(status.history, 5);
    EXPECT_EQ(status.limit_marker_ttl, 1s);
    CO_DONE;
  });
}

TEST_F(KeyWatchTest, any_replica_answers_and_buckets_are_listed_and_removed) {
  run([](JetStream& jetstream, KeyValue& bucket) -> Task<> {
    CO_TRY(const auto revision, co_await bucket.put("k", "v"));
    CO_TRY(const auto entry, co_await bucket.get("k", KeyValue::Read::any));
    CO_ASSERT(entry && entry->value == "v" && entry->revision == revision);
    CO_TRY(const auto none, co_await bucket.get("none", KeyValue::Read::any));
    EXPECT_FALSE(none);
    CO_TRY(const auto names, co_await KeyValue::buckets(jetstream));
    EXPECT_EQ(names, std::vector<std::string>{"b"});
    CO_CHECK(co_await KeyValue::remove_bucket(jetstream, "b"));
    const auto gone = co_await bucket.get("k");
    CO_ASSERT(!gone && gone.error().is(errors::not_found));
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
