// Rows by their keys: in order, at the same time, and past what cannot be handled, on real servers.
#include "cdc/keyed_consumer.hpp"

#include <map>
#include <random>

#include "cdc/feed_test_support.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Everything that was handled, over all consumers of a test.
struct Seen {
  std::map<std::int64_t, std::vector<std::int64_t>> values;  ///< of each key, in the order they came
  std::vector<std::string> marks;
  int running = 0, most_at_once = 0;
  std::map<std::int64_t, std::int64_t> refused;  ///< the value of a key that cannot be handled
};

/// Needs some time for each row.
KeyedConsumer::Handler handler_of(Seen& seen) {
  return [&seen](KeyedChange change) -> Task<> {
    if (!change.told.contains("row")) {
      seen.marks.push_back(change.operation);
      EXPECT_EQ(seen.running, 0) << "alone";
      co_return Result<void>{};
    }
    const auto id = change.told.at("key").at("id").to_number<std::int64_t>();
    const auto value = change.told.at("row").at("value").to_number<std::int64_t>();
    seen.most_at_once = std::max(seen.most_at_once, ++seen.running);
    struct Leave {
      int& running;
      ~Leave() { --running; }
    };
    const Leave leave{seen.running};
    co_await sleep_for(std::chrono::microseconds((id * 131 + value * 17) % 3000));
    if (const auto refused = seen.refused.find(id); refused != seen.refused.end() && refused->second == value)
      co_return fail(errors::bad_change, "not this one");
    seen.values[id].push_back(value);
    co_return Result<void>{};
  };
}

KeyedOptions keyed_options() {
  KeyedOptions options;
  options.name = "worker";
  options.slot = "changes";
  options.tables = {"things"};
  options.parallel = 8;
  options.attempts = 3;
  options.retry_pause = 2ms;
  options.place_interval = 50ms;
  options.stand_by = 300ms;
  return options;
}

class RunningConsumer : public Running<KeyedConsumer> {
 public:
  RunningConsumer(RunningFeed& feed, const std::string& nats_url, Seen& seen,
                  KeyedOptions options = keyed_options())
      : Running(feed, nats_url, std::move(options), handler_of(seen)) {}
  std::vector<Aside> aside() { return loop_.run((**this).aside()).value_or(std::vector<Aside>()); }
};

class KeyedConsumerTest : public FeedServers {
 protected:
  void SetUp() override {
    FeedServers::SetUp();
    sql("INSERT INTO things SELECT n, 0 FROM generate_series(1, 20) n");
    feed_ = std::make_unique<RunningFeed>(nats_.url(), options());
    ASSERT_TRUE(feed_->until([&] { return feed_->statistics().snapshots == 1; }));
  }
  /// Each key's value grows by one, so many times.
  void grow(int times, const std::string& which = "true") {
    for (int i = 0; i < times; ++i) sql("UPDATE things SET value = value + 1 WHERE " + which);
  }
  static std::size_t count(const Seen& seen) {
    std::size_t total = 0;
    for (const auto& [id, values] : seen.values) total += values.size();
    return total;
  }
  static std::vector<std::int64_t> from_to(std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> values;
    for (; first <= last; ++first) values.push_back(first);
    return values;
  }

  std::unique_ptr<RunningFeed> feed_;
  Seen seen_;
};

TEST_F(KeyedConsumerTest, rows_of_a_key_come_in_order_and_keys_at_the_same_time) {
  RunningConsumer consumer(*feed_, nats_.url(), seen_);
  grow(30);
  EXPECT_TRUE(consumer.until([&] { return count(seen_) >= 20 * 31; }));
  for (const auto& [id, values] : seen_.values) EXPECT_EQ(values, from_to(0, 30)) << id;
  EXPECT_GT(seen_.most_at_once, 2);
  EXPECT_LE(seen_.most_at_once, 8);
  EXPECT_THAT(seen_.marks, ElementsAre("snapshot.begin", "snapshot.end"));
}

TEST_F(KeyedConsumerTest, what_cannot_be_handled_holds_up_its_key_only_and_comes_in_order_once_it_can) {
  seen_.refused[7] = 3;
  {
    RunningConsumer consumer(*feed_, nats_.url(), seen_);
    grow(10);
    EXPECT_TRUE(consumer.until(
        [&] { return count(seen_) >= 19 * 11 + 3 && (*consumer).statistics().set_aside == 8; }));
    EXPECT_EQ(seen_.values[7], from_to(0, 2));
    EXPECT_EQ(seen_.values[8], from_to(0, 10));
    EXPECT_EQ((*consumer).statistics().retried, 2u);
    const auto aside = consumer.aside();
    ASSERT_THAT(aside, SizeIs(1));
    EXPECT_EQ(aside[0].code, errors::bad_change.code);
    EXPECT_EQ(aside[0].changes, 8u);
    EXPECT_TRUE(consumer.until([&] { return (*consumer).statistics().settled > 0; }));
  }
  // Another process, and the reason is still there.
  RunningConsumer consumer(*feed_, nats_.url(), seen_);
  grow(2, "id = 7");
  EXPECT_TRUE(consumer.until([&] { return (*consumer).statistics().set_aside == 2; }));
  const auto key = consumer.aside().at(0).key;
  (*consumer).release(key);
  EXPECT_TRUE(consumer.until(
      [&] { return !consumer.told().empty() && consumer.told().back().starts_with("not_released"); }));
  EXPECT_EQ(consumer.aside().at(0).changes, 10u) << "nothing is lost by trying";

  seen_.refused.clear();
  (*consumer).release(key);
  grow(3, "id = 7");  // while it is being released
  EXPECT_TRUE(consumer.until([&] { return seen_.values[7].size() >= 16; }));
  EXPECT_EQ(seen_.values[7], from_to(0, 15));
  EXPECT_THAT(consumer.aside(), IsEmpty());
  grow(1, "id = 7");
  EXPECT_TRUE(consumer.until([&] { return seen_.values[7].size() >= 17; }));
  EXPECT_EQ(seen_.values[7].back(), 16);
}

TEST_F(KeyedConsumerTest, whoever_stops_in_the_middle_nothing_is_left_out_and_each_key_keeps_its_order) {
  for (int turn = 0; turn < 6; ++turn) {
    RunningConsumer consumer(*feed_, nats_.url(), seen_);
    grow(5);
    const auto wanted = count(seen_) + 40;
    EXPECT_TRUE(consumer.until([&] { return count(seen_) >= wanted; }));
  }
  RunningConsumer consumer(*feed_, nats_.url(), seen_);
  EXPECT_TRUE(consumer.until([&] {
    return seen_.values.size() == 20 &&
           std::ranges::all_of(seen_.values, [](const auto& one) { return one.second.back() == 30; });
  }));
  for (const auto& [id, values] : seen_.values) {
    // Again from an earlier one on, but never past one that has not come.
    std::int64_t highest = -1;
    for (const auto value : values) {
      EXPECT_LE(value, highest + 1) << id;
      highest = std::max(highest, value);
    }
    EXPECT_EQ(highest, 30) << id;
  }
}

TEST_F(KeyedConsumerTest, of_two_processes_one_works_and_the_other_takes_over) {
  Seen other;
  auto first = std::make_unique<RunningConsumer>(*feed_, nats_.url(), seen_);
  EXPECT_TRUE(first->until([&] { return count(seen_) == 20; }));
  RunningConsumer second(*feed_, nats_.url(), other);
  grow(3);
  // Who comes later takes over, or waits: between them every row is handled, and only one goes on.
  EXPECT_TRUE(second.until([&] { return count(seen_) + count(other) >= 20 * 4; }));
  first.reset();
  grow(3, "id = 1");
  EXPECT_TRUE(second.until([&] { return other.values[1].size() >= 3 && other.values[1].back() == 6; }));
}

TEST_F(KeyedConsumerTest, it_can_begin_at_a_point_in_time) {
  grow(5);
  ASSERT_TRUE(feed_->until_changes(20 + 100));
  const auto now =
      sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
          .front();
  grow(2, "id = 1");
  ASSERT_TRUE(feed_->until_changes(20 + 102));
  auto options = keyed_options();
  options.from_time = now;
  RunningConsumer consumer(*feed_, nats_.url(), seen_, options);
  EXPECT_TRUE(consumer.until([&] { return count(seen_) >= 2; }));
  EXPECT_THAT(seen_.values, SizeIs(1));
  EXPECT_THAT(seen_.values[1], ElementsAre(6, 7));
}

}  // namespace
}  // namespace intra365::cdc
