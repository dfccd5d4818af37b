// A bucket follows two tables, whatever stops, dies, or is lost in between.
#include "cdc/projection.hpp"

#include <map>
#include <random>

#include "cdc/feed_test_support.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;

/// `things` by their id; of the journal nothing is wanted.
std::optional<nats::KeyValue::Change> entry_of(const ProjectedRow& row) {
  if (row.table != "things") return std::nullopt;
  auto key = "things." + std::to_string(row.key.at("id").to_number<std::int64_t>());
  if (!row.row) return nats::KeyValue::Change{std::move(key), std::nullopt};
  return nats::KeyValue::Change{std::move(key),
                                std::to_string(row.row->at("value").to_number<std::int64_t>())};
}

ProjectionOptions projection_options() {
  ProjectionOptions options;
  options.bucket = "things";
  options.slot = "changes";
  options.tables = {"things", "journal"};
  options.entry_of = entry_of;
  options.retry_pause = 50ms;
  options.stand_by = 200ms;
  return options;
}

class RunningProjection : public Running<Projection> {
 public:
  RunningProjection(RunningFeed& feed, const std::string& nats_url)
      : Running(feed, nats_url, projection_options()) {}
  const ProjectionStatistics& statistics() { return (**this).statistics(); }
};

using Picture = std::map<std::string, std::string>;

class ProjectionTest : public FeedServers {
 protected:
  Picture table() {
    Picture things;
    for (const auto& row : sql("SELECT 'things.' || id || '=' || value FROM things")) {
      const auto split = row.find('=');
      things[row.substr(0, split)] = row.substr(split + 1);
    }
    return things;
  }
  Picture bucket() {
    Picture entries;
    nats::testing::Loop loop;
    const auto connection = loop.connect(nats_.url());
    nats::JetStream jetstream(*connection, 5s);
    nats::KeyValue things(jetstream, "things");
    auto watcher = loop.run(things.watch());
    if (!watcher) return entries;
    for (;;) {
      const auto entry = loop.run(watcher->next(in(5s)));
      if (!entry || !*entry) return entries;
      if (!(*entry)->deleted && (*entry)->key.starts_with("things."))
        entries[(*entry)->key] = (*entry)->value;
    }
  }
  template <class Running>
  void expect_picture(Running& running) {
    Picture expected;
    EXPECT_TRUE(running.until([&] { return (expected = table()) == bucket(); }));
    EXPECT_EQ(bucket(), expected);
  }
  /// Rows that come, change and go.
  void write(std::mt19937& random, int statements) {
    for (int i = 0; i < statements; ++i) {
      const auto id = std::to_string(random() % 40);
      switch (random() % 4) {
        case 0:
          sql("DELETE FROM things WHERE id = " + id);
          break;
        case 1:
          sql("INSERT INTO things SELECT id, 1 FROM generate_series(1, 3) id ON CONFLICT (id) DO UPDATE SET "
              "value = "
              "things.value + 1");
          break;
        default:
          sql("INSERT INTO things VALUES (" + id +
              ", 1) ON CONFLICT (id) DO UPDATE SET value = things.value + 1");
      }
    }
  }
};

TEST_F(ProjectionTest, a_bucket_is_what_the_table_is) {
  sql("INSERT INTO things SELECT n, n FROM generate_series(1, 2500) n");
  RunningFeed feed(nats_.url(), options());
  RunningProjection projection(feed, nats_.url());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_TRUE(projection.until([&] { return projection.statistics().snapshots == 1; }));
  expect_picture(projection);
  sql("UPDATE things SET value = -value WHERE id <= 700");
  sql("DELETE FROM things WHERE id > 2000");
  sql("INSERT INTO journal (note) VALUES ('of no interest')");
  ASSERT_TRUE(feed.until_changes(700 + 500 + 1));
  expect_picture(projection);
}

TEST_F(ProjectionTest, whoever_stops_and_begins_again_the_bucket_follows_and_no_entry_goes_back) {
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  std::mt19937 random(11);
  std::uint64_t batches = 0;
  for (int turn = 0; turn < 6; ++turn) {
    RunningProjection one(feed, nats_.url()), two(feed, nats_.url());
    write(random, 40);
    expect_picture(turn % 2 == 0 ? one : two);
    batches += one.statistics().batches + two.statistics().batches;
  }
  EXPECT_GT(batches, 0u);

  // The values of a key that is never deleted only grow: nothing was put twice, nothing out of order.
  const auto batches_of_bucket = [&] {
    nats::testing::Loop loop;
    const auto connection = loop.connect(nats_.url());
    nats::JetStream jetstream(*connection, 5s);
    return loop.run(jetstream.stream_state("KV_things"))->last_seq;
  };
  const auto before = batches_of_bucket();
  RunningProjection again(feed, nats_.url());
  EXPECT_TRUE(again.until([&] { return again.statistics().sequence > 0; }));
  expect_picture(again);
  EXPECT_EQ(batches_of_bucket(), before) << "what is in the bucket is not written once more";
}

TEST_F(ProjectionTest, of_two_that_follow_one_writes_and_the_other_takes_over) {
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  auto one = std::make_unique<RunningProjection>(feed, nats_.url());
  sql("INSERT INTO things VALUES (1, 1)");
  ASSERT_TRUE(feed.until_changes(1));
  ASSERT_TRUE(one->until([&] { return bucket().size() == 1; }));
  RunningProjection two(feed, nats_.url());
  sql("INSERT INTO things VALUES (2, 2)");
  ASSERT_TRUE(feed.until_changes(2));
  ASSERT_TRUE(one->until([&] { return bucket().size() == 2; }));
  one.reset();
  sql("INSERT INTO things VALUES (3, 3)");
  ASSERT_TRUE(feed.until_changes(3));
  expect_picture(two);
  EXPECT_EQ(two.told(), std::vector<std::string>()) << "that another was quicker is no failure";
}

TEST_F(ProjectionTest, rows_that_went_while_nobody_told_go_with_the_snapshot) {
  sql("INSERT INTO things SELECT n, n FROM generate_series(1, 1200) n");
  {
    RunningFeed feed(nats_.url(), options());
    ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
    RunningProjection projection(feed, nats_.url());
    expect_picture(projection);
  }
  while (!sql("SELECT 1 FROM pg_replication_slots WHERE active").empty()) ::usleep(10'000);
  sql("SELECT pg_drop_replication_slot('changes')");
  sql("DELETE FROM things WHERE id % 2 = 0");
  sql("UPDATE things SET value = 7 WHERE id = 1");
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  RunningProjection projection(feed, nats_.url());
  EXPECT_TRUE(projection.until([&] { return projection.statistics().snapshots == 1; }));
  expect_picture(projection);
}

TEST_F(ProjectionTest, a_stream_or_a_bucket_that_was_lost_is_made_good) {
  sql("INSERT INTO things SELECT n, n FROM generate_series(1, 20) n");
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  RunningProjection projection(feed, nats_.url());
  expect_picture(projection);
  ASSERT_TRUE(feed.loop().run(feed.jetstream().delete_stream("KV_things")));
  sql("UPDATE things SET value = 0");
  ASSERT_TRUE(feed.until_changes(20));
  expect_picture(projection);

  ASSERT_TRUE(feed.loop().run(feed.jetstream().delete_stream("CHANGES")));
  sql("DELETE FROM things WHERE id < 10");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  expect_picture(projection);
}

}  // namespace
}  // namespace intra365::cdc
