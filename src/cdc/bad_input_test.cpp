// What happens around the feed that it did not choose: tables, publications and slots that change or go,
// values that are too large, a stream that is full. Each must be said, and have a way on without silent loss.
#include <map>

#include "cdc/feed_test_support.hpp"
#include "cdc/transactions.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::StartsWith;

class BadInputTest : public FeedServers {
 protected:
  /// The notes of the journal that the stream tells of, in its order.
  std::vector<std::string> notes() {
    std::vector<std::string> found;
    for (const auto& change : stored_json("change.row.journal.>"))
      found.emplace_back(change.at("row").at("note").as_string());
    return found;
  }
  void start_over(RunningFeed& feed) {
    ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  }
  /// A stream with one change, whose feed has been stopped.
  void tell_one() {
    RunningFeed feed(nats_.url(), options());
    start_over(feed);
    sql("INSERT INTO journal (note) VALUES ('one')");
    ASSERT_TRUE(feed.until_changes(1));
    feed.stop();
    while (!sql("SELECT 1 FROM pg_replication_slots WHERE active").empty()) ::usleep(10'000);
  }
  enum class Room { none, enough };
  void give_stream(RunningFeed& feed, Room room) {
    const auto info = feed.loop().run(feed.jetstream().stream_info("CHANGES"));
    ASSERT_TRUE(info);
    auto config = info->config;
    config.max_bytes = room == Room::none ? static_cast<std::int64_t>(info->state.bytes) + 1 : -1;
    ASSERT_TRUE(feed.loop().run(feed.jetstream().update_stream(config)));
  }
  bool slot_is_lost() { return !sql("SELECT 1 FROM pg_replication_slots WHERE wal_status = 'lost'").empty(); }
  /// With a limit of 1 MB.
  void write_until_slot_is_lost() {
    for (int turn = 0; turn < 20 && !slot_is_lost(); ++turn) {
      sql("SELECT pg_switch_wal()");
      sql("CREATE TABLE filler AS SELECT n FROM generate_series(1, 1000) n");
      sql("DROP TABLE filler");
      sql("CHECKPOINT");
    }
    ASSERT_TRUE(slot_is_lost());
  }
};

TEST_F(BadInputTest, columns_that_are_added_renamed_and_retyped_are_described_in_front_of_their_rows) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO things VALUES (1, 1)");
  sql("ALTER TABLE things ADD extra text DEFAULT 'new'");
  sql("INSERT INTO things VALUES (2, 2)");
  sql("BEGIN; ALTER TABLE things RENAME value TO amount; INSERT INTO things VALUES (3, 3); COMMIT");
  sql("ALTER TABLE things ALTER amount TYPE text USING 'n' || amount");
  sql("INSERT INTO things VALUES (4, 'four')");
  sql("ALTER TABLE things DROP extra");
  sql("INSERT INTO things VALUES (5, 'five')");
  ASSERT_TRUE(feed.until_changes(5));
  std::vector<std::string> seen;
  for (const auto& one : stored("change.>")) {
    if (!one.subject.starts_with("change.row.") && !one.subject.starts_with("change.schema.")) continue;
    const auto change = boost::json::parse(one.payload).as_object();
    std::string words;
    if (change.at("operation") == "schema") {
      for (const auto& column : change.at("columns").as_array())
        words += std::string(column.at("name").as_string()) + ":" +
                 std::to_string(column.at("type").to_number<int>()) + " ";
    } else {
      words = boost::json::serialize(change.at("row"));
    }
    seen.push_back(words);
  }
  EXPECT_THAT(seen, ElementsAre("id:23 value:20 ", R"({"id":1,"value":1})", "id:23 value:20 extra:25 ",
                                R"({"id":2,"value":2,"extra":"new"})", "id:23 amount:20 extra:25 ",
                                R"({"id":3,"amount":3,"extra":"new"})", "id:23 amount:25 extra:25 ",
                                R"({"id":4,"amount":"four","extra":"new"})", "id:23 amount:25 ",
                                R"({"id":5,"amount":"five"})"));
  EXPECT_EQ(feed.statistics().odd.schema_changes, 4u);
}

TEST_F(BadInputTest, a_table_that_leaves_the_publication_is_said_and_one_that_comes_back_is_read_anew) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO things VALUES (1, 1)");
  ASSERT_TRUE(feed.until_changes(1));
  sql("ALTER PUBLICATION changes DROP TABLE things");
  ASSERT_TRUE(feed.until_told("publication no longer told as before: public.things"));
  sql("UPDATE things SET value = 7");  // nobody tells of this one
  sql("INSERT INTO things VALUES (2, 2)");
  sql("ALTER PUBLICATION changes ADD TABLE things");
  ASSERT_TRUE(feed.until_told("publication told from now on: public.things"));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  sql("INSERT INTO things VALUES (3, 3)");
  ASSERT_TRUE(feed.until_changes(2));

  const auto marks = stored_json("change.publication.changes");
  ASSERT_THAT(marks, SizeIs(3));
  EXPECT_EQ(marks[1].at("removed"), boost::json::parse(R"(["public.things"])"));
  EXPECT_EQ(marks[2].at("added"), boost::json::parse(R"(["public.things"])"));
  std::vector<std::string> rows;
  for (const auto& one : stored_json("change.snapshot.row.things.>"))
    rows.push_back(boost::json::serialize(one.at("row")));
  EXPECT_THAT(rows, ElementsAre(R"({"id":1,"value":7})", R"({"id":2,"value":2})"));
}

TEST_F(BadInputTest, a_table_that_came_in_meanwhile_is_read_even_where_nothing_says_what_was_told_before) {
  tell_one();
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.state() == FeedState::streaming; }));
  feed.stop();
  ASSERT_TRUE(feed.loop().run(feed.jetstream().purge_stream("CHANGES", "change.publication.changes")));
  sql("CREATE TABLE extra (id int PRIMARY KEY); INSERT INTO extra VALUES (1)");
  sql("ALTER PUBLICATION changes ADD TABLE extra");
  RunningFeed again(nats_.url(), options());
  ASSERT_TRUE(again.until([&] { return again.statistics().snapshots == 1; }));
  EXPECT_THAT(stored("change.snapshot.row.extra.>"), SizeIs(1));
}

TEST_F(BadInputTest, a_stream_that_was_remade_says_what_it_tells_of) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  ASSERT_TRUE(feed.loop().run(feed.jetstream().delete_stream("CHANGES")));
  sql("INSERT INTO things VALUES (1, 1)");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  EXPECT_THAT(stored("change.publication.changes"), SizeIs(1));
}

TEST_F(BadInputTest, a_truncated_table_with_an_odd_name_is_told_of_and_nothing_behind_it_waits) {
  sql("CREATE TABLE \"odd name.x\" (id int PRIMARY KEY)");
  sql("ALTER PUBLICATION changes ADD TABLE \"odd name.x\"");
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO \"odd name.x\" VALUES (1)");
  sql("TRUNCATE \"odd name.x\"");
  sql("INSERT INTO things VALUES (1, 1)");
  ASSERT_TRUE(feed.until_changes(3));
  EXPECT_EQ(feed.statistics().restarts, 0u);
  EXPECT_THAT(stored("change.row.-.>"), SizeIs(1 + 16)) << "the row, and the truncate on every partition";
}

TEST_F(BadInputTest, rows_of_one_key_stay_in_one_partition_whatever_the_log_calls_the_key) {
  sql("ALTER TABLE things REPLICA IDENTITY FULL");
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO things SELECT n, 0 FROM generate_series(1, 50) n");
  sql("UPDATE things SET value = value + 1");
  sql("UPDATE things SET id = id + 1000 WHERE id <= 10");
  sql("UPDATE things SET value = value + 1");
  sql("DELETE FROM things");
  ASSERT_TRUE(feed.until_changes(50 + 50 + 10 + 50 + 50));
  std::map<std::string, std::set<std::string>> partitions;
  for (const auto& one : stored("change.row.things.>"))
    partitions[boost::json::serialize(boost::json::parse(one.payload).at("key"))].insert(one.subject);
  EXPECT_THAT(partitions, SizeIs(60));
  for (const auto& [key, of_key] : partitions) EXPECT_THAT(of_key, SizeIs(1)) << key;
  EXPECT_GT(std::ranges::count_if(stored("change.row.things.-.*"),
                                  [](const auto& one) { return one.subject.ends_with(".3"); }),
            0)
      << "and the keys are spread";
}

TEST_F(BadInputTest, a_publication_that_is_gone_raises_an_alarm_and_its_return_brings_every_row) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("DROP PUBLICATION changes");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm == errors::publication_missing.code; }));
  EXPECT_NE(feed.state(), FeedState::streaming);
  sql("INSERT INTO journal (note) VALUES ('meanwhile')");
  sql("CREATE PUBLICATION changes FOR TABLE journal, things");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm.empty(); }));
  EXPECT_EQ(stored("change.snapshot.row.journal.>").size(), 1u);
  EXPECT_EQ(std::ranges::count_if(feed.told(), [](const auto& one) { return one.starts_with("failed"); }), 1)
      << "told once, not with every attempt";
  EXPECT_THAT(feed.told(), Contains(StartsWith("recovered")));
}

TEST_F(BadInputTest, a_slot_that_is_dropped_while_it_is_read_leaves_a_gap_that_is_told_and_filled) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO journal (note) VALUES ('one')");
  ASSERT_TRUE(feed.until_changes(1));
  sql("BEGIN; INSERT INTO journal (note) VALUES ('in the gap, perhaps'); COMMIT; "
      "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'changes'");
  for (bool dropped = false; !dropped;) {
    try {
      sql("SELECT pg_drop_replication_slot('changes')");
      dropped = true;
    } catch (const std::exception&) {  // the feed was quicker: once more
      sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'changes' AND "
          "active");
      feed.until([] { return true; });
    }
  }
  ASSERT_TRUE(feed.until_told("gap "));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  EXPECT_EQ(feed.statistics().gaps, 1u);
  EXPECT_THAT(stored("change.gap.changes"), SizeIs(1));
  EXPECT_EQ(stored("change.snapshot.row.journal.>").size(), 2u);
  sql("INSERT INTO journal (note) VALUES ('two')");
  ASSERT_TRUE(feed.until([&] { return std::ranges::count(notes(), "two") == 1; }));
}

TEST_F(BadInputTest, a_slot_whose_log_the_server_gave_up_is_replaced_and_what_it_missed_is_told) {
  sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
  sql("SELECT pg_reload_conf()");
  tell_one();
  sql("INSERT INTO journal (note) VALUES ('missed')");
  write_until_slot_is_lost();
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until_told("gap "));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(stored("change.snapshot.row.journal.>").size(), 2u);
}

TEST_F(BadInputTest,
       a_slot_that_is_lost_while_the_stream_is_full_has_left_a_gap_that_is_told_once_it_can_be) {
  sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
  sql("SELECT pg_reload_conf()");
  tell_one();
  sql("INSERT INTO journal (note) VALUES ('missed')");
  write_until_slot_is_lost();
  {
    RunningFeed feed(nats_.url(), options());
    give_stream(feed, Room::none);
    ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm == errors::stream_full.code; }));
    EXPECT_TRUE(slot_is_lost()) << "a new slot would look as if nothing had happened";
  }
  RunningFeed feed(nats_.url(), options());
  give_stream(feed, Room::enough);
  ASSERT_TRUE(feed.until_told("gap "));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(stored("change.snapshot.row.journal.>").size(), 2u);
  EXPECT_THAT(stored("change.gap.changes"), SizeIs(1));
}

TEST_F(BadInputTest, a_slot_made_by_a_reader_that_then_died_has_left_a_gap) {
  tell_one();
  sql("SELECT pg_drop_replication_slot('changes')");
  sql("INSERT INTO journal (note) VALUES ('missed')");
  {
    auto open = std::make_unique<OpenTransaction>(postgres_, database_, "INSERT INTO things VALUES (1, 1)");
    RunningFeed feed(nats_.url(), options());
    ASSERT_TRUE(feed.until([&] { return !sql("SELECT 1 FROM pg_replication_slots").empty(); }));
    nats_.kill();
    open.reset();  // the slot has waited for it
    ASSERT_TRUE(feed.until([&] {
      return !sql("SELECT 1 FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL").empty();
    }));
  }
  nats_.restart();
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until_told("gap "));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(stored("change.snapshot.row.journal.>").size(), 2u);
}

TEST_F(BadInputTest, a_database_that_lost_its_end_does_not_pass_for_whole_once_it_has_written_as_much_again) {
  tell_one();
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.state() == FeedState::streaming; }));
  feed.stop();
  // As when an older copy of the disk is put in place: the stream tells of what lies ahead.
  Cursor ahead;
  ahead.end = postgres::Lsn::parse(sql("SELECT pg_current_wal_lsn() + 20000000").front()).value();
  ahead.position = {ahead.end, 1};
  ahead.timeline = 1;
  ASSERT_TRUE(feed.loop().run(feed.jetstream().publish("change.cursor.changes", ahead.json())));
  give_stream(feed, Room::none);
  RunningFeed again(nats_.url(), options());
  ASSERT_TRUE(again.until([&] { return again.statistics().alarm == errors::stream_full.code; }));
  for (int segment = 0; segment < 3; ++segment) {
    sql("INSERT INTO journal (note) VALUES ('written again')");
    sql("SELECT pg_switch_wal()");
  }
  const auto restarts = again.statistics().restarts;
  ASSERT_TRUE(again.until([&] { return again.statistics().restarts > restarts + 2; }));
  give_stream(again, Room::enough);
  ASSERT_TRUE(again.until_told("gap "));
  ASSERT_TRUE(again.until([&] { return again.statistics().snapshots == 1; }));
  EXPECT_EQ(again.statistics().gaps, 1u) << "counted when it is told";
}

TEST_F(BadInputTest, a_row_larger_than_a_message_is_set_aside_and_its_key_keeps_its_order) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO journal (note) VALUES ('before')");
  sql("INSERT INTO journal (note) VALUES (repeat('x', 3000000))");
  sql("UPDATE journal SET note = 'small again' WHERE id = 2");
  ASSERT_TRUE(feed.until_changes(3));
  const auto rows = stored_json("change.row.journal.>");
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[1].at("key"), boost::json::parse(R"({"id":2})"));
  EXPECT_EQ(rows[1].at("unchanged"), boost::json::parse(R"(["note"])"));
  EXPECT_EQ(rows[2].at("row").at("note"), "small again");
  std::string whole;
  for (const auto& part : stored("change.aside.changes")) whole += part.payload;
  EXPECT_EQ(boost::json::parse(whole).at("row").at("note").as_string().size(), 3'000'000u);
  EXPECT_EQ(feed.statistics().odd.set_aside, 1u);
}

TEST_F(BadInputTest, an_event_larger_than_a_message_is_set_aside_and_nothing_behind_it_waits) {
  auto options = this->options();
  options.more_subjects = {"events.>"};
  options.batches.on_message = [](const postgres::pgoutput::Logical& message, const Transaction&,
                                  const std::string&) {
    nats::Outgoing outgoing;
    outgoing.subject = "events.told";
    outgoing.payload = message.content;
    return Result<std::optional<nats::Outgoing>>(std::move(outgoing));
  };
  RunningFeed feed(nats_.url(), options);
  start_over(feed);
  sql("SELECT pg_logical_emit_message(true, 'told', repeat('y', 2500000))");
  sql("SELECT pg_logical_emit_message(true, 'told', 'small')");
  ASSERT_TRUE(feed.until_changes(2));
  EXPECT_THAT(stored("events.>"), SizeIs(1));
  std::size_t bytes = 0;
  for (const auto& part : stored("change.aside.changes"))
    if (part.payload.starts_with("y")) bytes += part.payload.size();
  EXPECT_EQ(bytes, 2'500'000u);
}

TEST_F(BadInputTest, a_full_stream_raises_an_alarm_and_goes_on_where_it_stood_once_there_is_room) {
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  nats::StreamConfig limited;
  const auto info = feed.loop().run(feed.jetstream().stream_info("CHANGES"));
  ASSERT_TRUE(info);
  limited = info->config;
  EXPECT_EQ(limited.discard, "new") << "what nobody has read must not make room";
  limited.max_bytes = 64 << 10;
  ASSERT_TRUE(feed.loop().run(feed.jetstream().update_stream(limited)));
  sql("INSERT INTO journal (note) SELECT 'row ' || n FROM generate_series(1, 2000) n");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm == errors::stream_full.code; }))
      << feed.statistics().alarm;
  EXPECT_LT(feed.statistics().confirmed,
            postgres::Lsn::parse(sql("SELECT pg_current_wal_lsn()").at(0)).value());
  const auto restarts = feed.statistics().restarts;
  ASSERT_TRUE(feed.until([&] { return feed.statistics().restarts > restarts + 2; }));
  const auto still = feed.loop().run(feed.jetstream().stream_info("CHANGES"));
  ASSERT_TRUE(still);
  EXPECT_EQ(still->config.max_bytes, limited.max_bytes) << "a limit is the operator's, whoever starts over";
  limited.max_bytes = -1;
  ASSERT_TRUE(feed.loop().run(feed.jetstream().update_stream(limited)));
  ASSERT_TRUE(
      feed.until([&] { return feed.statistics().alarm.empty() && feed.statistics().changes >= 2000; }));
  EXPECT_EQ(notes().size(), 2000u) << "each once";
}

TEST_F(BadInputTest, a_disk_without_room_raises_an_alarm_and_loses_nothing) {
  nats_.restart("jetstream { store_dir: $STORE_DIR, sync_interval: always, max_file_store: 300KB }\n");
  RunningFeed feed(nats_.url(), options());
  start_over(feed);
  sql("INSERT INTO journal (note) SELECT 'row ' || n FROM generate_series(1, 5000) n");
  ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm == errors::stream_full.code; }))
      << feed.statistics().alarm;
  nats_.restart(kNatsConfig);
  ASSERT_TRUE(feed.until([&] { return feed.statistics().alarm.empty() && notes().size() == 5000; }));
}

}  // namespace
}  // namespace intra365::cdc
