// Buckets against a real server.
#include "nats/key_value.hpp"

#include <gtest/gtest.h>

#include "nats/jetstream_test_support.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using testing::Client;
using testing::in;

class KeyValueTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server = std::make_unique<intra365::testing::NatsServer>("jetstream {}\n"); }
  static void TearDownTestSuite() { server.reset(); }
  static inline std::unique_ptr<intra365::testing::NatsServer> server;
  Client client{server->url()};
};

Task<> make_bucket(JetStream& js, std::string name, int history = 1) {
  BucketConfig config;
  config.name = std::move(name);
  config.history = history;
  co_return co_await KeyValue::ensure(js, config);
}

TEST(KeyValueKeys, are_tokens_joined_by_single_dots) {
  for (const auto* key : {"a", "a.b", "user/7=x_y-z", "A.1"}) EXPECT_TRUE(is_key(key)) << key;
  for (const auto* key : {"", ".", ".a", "a.", "a..b", "a b", "a*", ">", "a\r\n", "\xc3\xa4"})
    EXPECT_FALSE(is_key(key)) << key;
  EXPECT_FALSE(is_key(std::string(513, 'a')));
}

TEST_F(KeyValueTest, bucket_is_the_stream_that_adr_8_describes) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "shape", 3));
    CO_CHECK(co_await make_bucket(js, "shape", 3));
    CO_TRY(const auto info, co_await wire::call(js.connection(), "STREAM.INFO.KV_shape", "", in(5s)));
    const auto* config = wire::child(info, "config");
    CO_ASSERT(config != nullptr);
    EXPECT_EQ(config->at("subjects").as_array().at(0), "$KV.shape.>");
    EXPECT_EQ(wire::number(*config, "max_msgs_per_subject"), 3u);
    EXPECT_EQ(wire::text(*config, "discard"), "new");
    EXPECT_EQ(config->at("allow_rollup_hdrs"), true);
    EXPECT_EQ(config->at("deny_delete"), true);
    EXPECT_EQ(config->at("allow_direct"), true);
    EXPECT_TRUE((co_await make_bucket(js, "shape", 65)).error().is(errors::bad_name));
    EXPECT_TRUE((co_await make_bucket(js, "a.b")).error().is(errors::bad_name));
    CO_DONE;
  });
}

TEST_F(KeyValueTest, many_values_are_put_at_once_or_not_at_all) {
  client.run([](JetStream& js) -> Task<> {
    BucketConfig config;
    config.name = "many";
    config.allow_atomic = true;
    CO_CHECK(co_await KeyValue::ensure(js, config));
    KeyValue bucket(js, "many");
    std::vector<KeyValue::Pair> values;
    for (int i = 0; i < 300; ++i) values.push_back({"key." + std::to_string(i), std::to_string(i)});
    CO_CHECK(co_await bucket.put_all(values));
    CO_TRY(const auto keys, co_await bucket.keys());
    EXPECT_EQ(keys.size(), 300u);
    CO_TRY(const auto entry, co_await bucket.get("key.299"));
    EXPECT_TRUE(entry && entry->value == "299");
    values.push_back({"not a key", "x"});
    EXPECT_TRUE((co_await bucket.put_all(values)).error().is(errors::bad_name));
    CO_CHECK(co_await bucket.put_all({}));
    CO_DONE;
  });
}

TEST_F(KeyValueTest, values_put_at_once_may_each_insist_on_what_they_replace) {
  client.run([](JetStream& js) -> Task<> {
    BucketConfig config;
    config.name = "insisting";
    config.allow_atomic = true;
    CO_CHECK(co_await KeyValue::ensure(js, config));
    KeyValue bucket(js, "insisting");
    CO_TRY(const auto first, co_await bucket.put("a", "1"));
    CO_CHECK(co_await bucket.put("gone", "1"));
    CO_CHECK(co_await bucket.remove("gone"));
    std::vector<KeyValue::Pair> values{{"a", "2", first}, {"b", "1", 0}, {"c", "1"}};
    CO_CHECK(co_await bucket.put_all(values));
    values = {{"d", "1", 0}, {"a", "3", first}};
    EXPECT_TRUE((co_await bucket.put_all(values)).error().is(errors::wrong_revision));
    const std::vector<std::string> keys{"a", "b", "d", "gone"};
    CO_TRY(auto entries, co_await bucket.get_all(keys));
    std::ranges::sort(entries, {}, &Entry::key);
    CO_ASSERT(entries.size() == 3);
    EXPECT_EQ(entries[0].value, "2");
    EXPECT_GT(entries[0].revision, first);
    EXPECT_EQ(entries[1].key, "b");
    EXPECT_TRUE(entries[2].deleted);
    CO_DONE;
  });
}

TEST_F(KeyValueTest, value_that_was_put_is_read_with_its_revision) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "plain"));
    KeyValue bucket(js, "plain");
    const std::string binary("\0\xff value", 8);
    CO_TRY(const auto first, co_await bucket.put("a.b", "1"));
    CO_TRY(const auto second, co_await bucket.put("a.b", binary));
    EXPECT_EQ(second, first + 1);
    CO_TRY(const auto entry, co_await bucket.get("a.b"));
    CO_ASSERT(entry.has_value());
    EXPECT_EQ(entry->key, "a.b");
    EXPECT_EQ(entry->value, binary);
    EXPECT_EQ(entry->revision, second);
    CO_TRY(const auto nothing, co_await bucket.get("never"));
    EXPECT_FALSE(nothing.has_value());
    EXPECT_TRUE((co_await bucket.get("bad key")).error().is(errors::bad_name));
    EXPECT_TRUE((co_await bucket.put("bad..key", "1")).error().is(errors::bad_name));
    KeyValue missing(js, "no-such-bucket");
    EXPECT_TRUE((co_await missing.get("a")).error().is(errors::not_found));
    CO_DONE;
  });
}

TEST_F(KeyValueTest, create_and_update_lose_against_who_wrote_first) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "raced"));
    KeyValue bucket(js, "raced");
    CO_TRY(const auto made, co_await bucket.create("a", "1"));
    EXPECT_TRUE((co_await bucket.create("a", "2")).error().is(errors::wrong_revision));
    CO_TRY(const auto changed, co_await bucket.update("a", "3", made));
    EXPECT_TRUE((co_await bucket.update("a", "4", made)).error().is(errors::wrong_revision));
    CO_TRY(const auto entry, co_await bucket.get("a"));
    CO_ASSERT(entry.has_value());
    EXPECT_EQ(entry->value, "3");
    EXPECT_EQ(entry->revision, changed);
    CO_DONE;
  });
}

TEST_F(KeyValueTest, key_that_was_removed_or_purged_may_be_created_again) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "again", 5));
    KeyValue bucket(js, "again");
    CO_CHECK(co_await bucket.create("a", "1"));
    CO_CHECK(co_await bucket.remove("a"));
    CO_TRY(const auto removed, co_await bucket.get("a"));
    EXPECT_FALSE(removed.has_value());
    CO_CHECK(co_await bucket.create("a", "2"));
    EXPECT_TRUE((co_await bucket.create("a", "3")).error().is(errors::wrong_revision));
    CO_CHECK(co_await bucket.purge("a"));
    CO_TRY(const auto purged, co_await bucket.get("a"));
    EXPECT_FALSE(purged.has_value());
    CO_TRY(const auto state, co_await js.stream_state("KV_again"));
    EXPECT_EQ(state.messages, 1u);  // only the marker is left of the history
    CO_CHECK(co_await bucket.create("a", "4"));
    CO_TRY(const auto entry, co_await bucket.get("a"));
    CO_ASSERT(entry.has_value());
    EXPECT_EQ(entry->value, "4");
    CO_DONE;
  });
}

TEST_F(KeyValueTest, one_of_many_creators_wins) {
  client.run([](JetStream& js) -> Task<> {
    using namespace asio::experimental::awaitable_operators;
    CO_CHECK(co_await make_bucket(js, "creators"));
    KeyValue bucket(js, "creators");
    const auto [a, b, c] =
        co_await (bucket.create("a", "1") && bucket.create("a", "2") && bucket.create("a", "3"));
    EXPECT_EQ(int(a.has_value()) + int(b.has_value()) + int(c.has_value()), 1);
    CO_CHECK(co_await bucket.remove("a"));
    const auto [d, e, f] =
        co_await (bucket.create("a", "1") && bucket.create("a", "2") && bucket.create("a", "3"));
    EXPECT_EQ(int(d.has_value()) + int(e.has_value()) + int(f.has_value()), 1);
    CO_DONE;
  });
}

TEST_F(KeyValueTest, keys_are_those_that_have_a_value) {
  client.run([](JetStream& js) -> Task<> {
    CO_CHECK(co_await make_bucket(js, "listed"));
    KeyValue bucket(js, "listed");
    CO_TRY(const auto none, co_await bucket.keys());
    EXPECT_TRUE(none.empty());
    for (int i = 0; i < 1200; ++i) CO_CHECK(co_await bucket.put("k." + std::to_string(i), "v"));
    CO_CHECK(co_await bucket.remove("k.7"));
    CO_CHECK(co_await bucket.purge("k.8"));
    CO_TRY(const auto keys, co_await bucket.keys());
    EXPECT_EQ(keys.size(), 1198u);
    EXPECT_FALSE(std::ranges::binary_search(keys, std::string("k.7")));
    EXPECT_TRUE(std::ranges::binary_search(keys, std::string("k.1199")));
    CO_DONE;
  });
}

}  // namespace
}  // namespace intra365::nats
