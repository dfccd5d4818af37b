// Where the stream does not hold what the tables held before, it tells a snapshot of them, and then the
// changes without a gap.
#include <map>
#include <random>
#include <thread>

#include "cdc/feed_test_support.hpp"
#include "cdc/transactions.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;

using ::testing::SizeIs;

class SnapshotTest : public FeedServers {
 protected:
  /// What somebody knows of `things` who followed the whole stream: a snapshot's beginning forgets
  /// everything.
  std::map<std::int64_t, std::int64_t> replayed() {
    std::map<std::int64_t, std::int64_t> things;
    for (const auto& one : stored("change.>")) {
      if (one.subject.starts_with("change.snapshot.begin.")) things.clear();
      if (one.subject.find(".row.things.") == std::string::npos) continue;
      const auto change = boost::json::parse(one.payload).as_object();
      const auto id = change.at("key").at("id").to_number<std::int64_t>();
      if (change.at("operation") == "delete")
        things.erase(id);
      else
        things[id] = change.at("row").at("value").to_number<std::int64_t>();
    }
    return things;
  }
  std::map<std::int64_t, std::int64_t> table() {
    std::map<std::int64_t, std::int64_t> things;
    for (const auto& row : sql("SELECT id || ' ' || value FROM things")) {
      const auto space = row.find(' ');
      things[std::stoll(row)] = std::stoll(row.substr(space));
    }
    return things;
  }
};

TEST_F(SnapshotTest, an_empty_stream_begins_with_the_rows_there_are) {
  sql("INSERT INTO journal (note) SELECT 'old ' || n FROM generate_series(1, 2500) n");
  sql("INSERT INTO journal (note) VALUES (NULL), (repeat('x', 2000000))");
  sql("INSERT INTO things VALUES (1, 1)");
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(feed.statistics().snapshot_rows, 2503u);
  sql("INSERT INTO journal (note) VALUES ('new')");
  ASSERT_TRUE(feed.until_changes(2504));
  EXPECT_THAT(stored("change.snapshot.row.journal.>"), SizeIs(2502));
  const auto rows = stored_json("change.snapshot.row.things.>");
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].at("operation"), "read");
  EXPECT_EQ(rows[0].at("row"), boost::json::parse(R"({"id":1,"value":1})"));
  EXPECT_THAT(stored("change.row.>"), SizeIs(1)) << "what was there before is not told as a change";
  EXPECT_EQ(stored_json("change.snapshot.end.changes").at(0).at("rows"), 2503);
}

TEST_F(SnapshotTest, no_change_made_while_it_is_taken_is_lost_or_told_twice) {
  sql("INSERT INTO things SELECT n, 0 FROM generate_series(1, 3000) n");
  std::atomic<bool> enough = false;
  std::jthread writer([&] {
    std::mt19937 random(7);
    while (!enough) {
      const auto id = std::to_string(1 + random() % 3000);
      sql("UPDATE things SET value = value + 1 WHERE id = " + id);
      if (random() % 10 == 0) sql("DELETE FROM things WHERE id = " + std::to_string(1 + random() % 3000));
    }
  });
  for (int turn = 0; turn < 4; ++turn) {
    RunningFeed feed(nats_.url(), options());
    ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; })) << turn;
    // JetStream loses everything, the slot stays: what is missing comes from the tables.
    if (turn < 3) {
      ASSERT_TRUE(feed.loop().run(feed.jetstream().delete_stream("CHANGES")));
      continue;
    }
    enough = true;
    writer.join();
    ASSERT_TRUE(feed.until([&] { return replayed() == table(); }));
  }
}

TEST_F(SnapshotTest, one_that_broke_off_is_taken_again) {
  sql("INSERT INTO journal (note) SELECT 'old' FROM generate_series(1, 20000)");
  {
    RunningFeed feed(nats_.url(), options());
    ASSERT_TRUE(feed.until([&] { return feed.statistics().batches > 3; }));
    ASSERT_EQ(feed.statistics().snapshots, 0u);
  }
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_GE(stored("change.snapshot.begin.changes").size(), 2u);
  EXPECT_THAT(stored("change.snapshot.end.changes"), SizeIs(1));
}

TEST_F(SnapshotTest, the_stream_does_not_wait_for_a_transaction_that_a_snapshot_waits_for) {
  sql("INSERT INTO things VALUES (1, 1)");
  {
    RunningFeed feed(nats_.url(), options());
    ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
    ASSERT_TRUE(feed.loop().run(feed.jetstream().delete_stream("CHANGES")));
  }
  std::jthread sleeper([&] {
    try {
      sql("BEGIN; INSERT INTO things VALUES (2, 2); SELECT pg_sleep(60); COMMIT");
    } catch (const std::exception&) {  // terminated below
    }
  });
  while (sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").empty()) ::usleep(10'000);
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until_told("snapshot_delayed"));
  sql("INSERT INTO journal (note) VALUES ('told at once')");
  ASSERT_TRUE(feed.until_changes(1));
  EXPECT_EQ(feed.statistics().snapshots, 0u);
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  ASSERT_TRUE(feed.until([&] { return replayed() == table(); }));
}

TEST_F(SnapshotTest, a_role_that_may_not_read_the_tables_goes_on_with_the_changes_until_it_may) {
  sql("INSERT INTO things VALUES (1, 1)");
  sql("CREATE ROLE reader LOGIN REPLICATION PASSWORD 'reader'");
  auto options = this->options();
  auto& dsn = options.replication.dsn;
  dsn.replace(dsn.find("//") + 2, dsn.find('@') - dsn.find("//") - 2, "reader:reader");
  RunningFeed feed(nats_.url(), options);
  ASSERT_TRUE(feed.until_told("snapshot_delayed"));
  sql("INSERT INTO things VALUES (2, 2)");
  ASSERT_TRUE(feed.until_changes(1));
  EXPECT_THAT(stored("change.snapshot.>"), SizeIs(0));
  sql("GRANT SELECT ON things, journal TO reader");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(replayed(), table());
}

TEST_F(SnapshotTest, consumers_get_it_in_pieces_and_then_whole_transactions) {
  sql("INSERT INTO journal (note) SELECT 'old' FROM generate_series(1, 3000)");
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  sql("INSERT INTO journal (note) VALUES ('a'), ('b')");
  ASSERT_TRUE(feed.until_changes(3002));
  const auto read = [&](const std::string& durable, const std::string& from) {
    TransactionConsumer::Options options;
    options.durable = durable;
    options.snapshots = true;
    options.from_time = from;
    options.assembler.slot = "changes";
    options.assembler.starts_anywhere = !from.empty();
    options.assembler.max_bytes = 1 << 20;  // less than the snapshot has
    TransactionConsumer consumer(feed.jetstream(), options);
    EXPECT_TRUE(feed.loop().run(consumer.start()));
    std::size_t pieces = 0, whole = 0;
    for (int empty = 0; empty < 1;) {
      const auto next = feed.loop().run(consumer.next(300ms));
      EXPECT_TRUE(next) << next.error().detail;
      if (!next) break;
      if (next->empty()) ++empty;
      for (const auto& one : *next) (one.snapshot ? pieces : whole) += one.changes.size();
      consumer.acknowledge();
    }
    return std::pair(pieces, whole);
  };
  EXPECT_EQ(read("all", ""), (std::pair<std::size_t, std::size_t>(3002, 2))) << "with its beginning and end";

  // From a point in time: what was stored before it does not come.
  const auto stored = feed.loop().run(feed.jetstream().last_stored("CHANGES", "change.cursor.changes"));
  ASSERT_TRUE(stored);
  sql("INSERT INTO journal (note) VALUES ('c')");
  ASSERT_TRUE(feed.until_changes(3003));
  EXPECT_EQ(read("later", stored->time), (std::pair<std::size_t, std::size_t>(0, 1)));
}

}  // namespace
}  // namespace intra365::cdc
