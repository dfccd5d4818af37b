// What becomes of the stream when the database moves: to a standby that has everything, to one that has not,
// and to an earlier state of itself.
#include "cdc/feed_test_support.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;
using ::testing::SizeIs;

/// The journal's notes as somebody knows them who follows the stream: a snapshot replaces what was told
/// before.
std::vector<std::string> told_notes(const std::vector<nats::Outgoing>& stream) {
  std::vector<std::string> notes;
  for (const auto& one : stream) {
    if (one.subject.starts_with("change.snapshot.begin.")) notes.clear();
    if (!one.subject.starts_with("change.row.journal.") &&
        !one.subject.starts_with("change.snapshot.row.journal."))
      continue;
    notes.emplace_back(boost::json::parse(one.payload).at("row").at("note").as_string());
  }
  std::ranges::sort(notes);
  return notes;
}

class CdcFailoverTest : public FeedServers {
 protected:
  void SetUp() override {
    FeedServers::SetUp();
    standby_ = std::make_unique<PostgresServer>(PostgresServer::StandbyOf{postgres_, true});
  }
  /// Both servers, of which the one that takes writes is followed.
  FeedOptions both() {
    auto dsn = postgres_.dsn(database_);
    const auto at = dsn.find("127.0.0.1:");
    const auto slash = dsn.find('/', at);
    dsn.insert(slash, ",127.0.0.1:" + std::to_string(standby_->port()));
    return feed_options(dsn + "?target_session_attrs=read-write");
  }
  void write(PostgresServer& server, const std::string& name, int count = 50) {
    for (int i = 0; i < count; ++i)
      server.execute(database_,
                     "INSERT INTO journal (note) VALUES ('" + name + std::to_string(1000 + i) + "')");
  }
  std::vector<std::string> notes_in(PostgresServer& server) {
    return server.execute(database_, "SELECT note FROM journal ORDER BY note COLLATE \"C\"");
  }
  /// Until `holds` for the standby's answer to `question`.
  void until_standby(RunningFeed& feed, const std::string& question, const std::string& answer) {
    ASSERT_TRUE(feed.until([&] { return standby_->execute("postgres", question) == std::vector{answer}; }))
        << question << "\n"
        << standby_->output();
  }
  void until_standby_has_everything(RunningFeed& feed) {
    const auto end = sql("SELECT pg_current_wal_lsn()").front();
    until_standby(feed, "SELECT pg_last_wal_replay_lsn() >= '" + end + "'", "t");
  }
  /// The primary's slot has to pass the transactions that were running when the standby began; PostgreSQL by
  /// itself looks every quarter of a minute.
  void until_standby_has_the_slot(RunningFeed& feed) {
    ASSERT_TRUE(feed.until([&] {
      sql("SELECT pg_log_standby_snapshot()");
      return !standby_
                  ->execute("postgres",
                            "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'changes' AND synced "
                            "AND NOT temporary")
                  .empty();
    })) << standby_->output();
  }

  std::unique_ptr<PostgresServer> standby_;
};

TEST_F(CdcFailoverTest, a_standby_that_takes_over_goes_on_without_a_gap_and_nothing_is_told_twice) {
  RunningFeed feed(nats_.url(), both());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  write(postgres_, "before");
  ASSERT_TRUE(feed.until_changes(50));
  until_standby_has_the_slot(feed);
  write(postgres_, "late");
  until_standby_has_everything(feed);

  postgres_.kill();
  standby_->promote();
  write(*standby_, "after");
  ASSERT_TRUE(feed.until_changes(150));
  const auto rows = notes_in(*standby_);
  EXPECT_THAT(rows, SizeIs(150));
  EXPECT_EQ(told_notes(stored("change.>")), rows);
  EXPECT_EQ(feed.statistics().changes, 150u) << "each once";
  EXPECT_EQ(feed.statistics().gaps, 0u);
  EXPECT_EQ(feed.statistics().snapshots, 1u);
}

TEST_F(CdcFailoverTest, a_standby_that_missed_what_was_told_leaves_a_gap_and_its_rows_are_told_anew) {
  RunningFeed feed(nats_.url(), both());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  write(postgres_, "both");
  ASSERT_TRUE(feed.until_changes(50));
  until_standby_has_the_slot(feed);
  until_standby_has_everything(feed);
  standby_->cut_off();
  write(postgres_, "lost");
  ASSERT_TRUE(feed.until_changes(100)) << "the primary waits for no standby unless it is told to";

  postgres_.kill();
  standby_->promote();
  write(*standby_, "after");
  ASSERT_TRUE(feed.until_told("gap the database has lost the end of its log"));
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 2; }));
  write(*standby_, "later");
  const auto rows = notes_in(*standby_);
  EXPECT_THAT(rows, SizeIs(150));
  EXPECT_TRUE(feed.until([&] { return told_notes(stored("change.>")) == rows; }));
  EXPECT_THAT(stored("change.gap.changes"), SizeIs(1));

  // Positions of the new log are those of the lost one: names of changes must not be.
  std::set<std::string> ids;
  std::size_t changes = 0;
  for (const auto& change : stored_json("change.row.>")) {
    ids.emplace(change.at("id").as_string());
    ++changes;
  }
  EXPECT_EQ(ids.size(), changes);
}

TEST_F(CdcFailoverTest, a_database_that_came_back_as_it_was_before_leaves_a_gap) {
  {
    RunningFeed feed(nats_.url(), both());
    ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
    write(postgres_, "kept");
    ASSERT_TRUE(feed.until_changes(50));
    until_standby_has_the_slot(feed);
    until_standby_has_everything(feed);
  }
  standby_->cut_off();
  {
    RunningFeed feed(nats_.url(), both());
    write(postgres_, "lost");
    ASSERT_TRUE(feed.until_changes(50));
  }
  postgres_.kill();
  standby_->promote();
  RunningFeed feed(nats_.url(), both());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  EXPECT_EQ(feed.statistics().gaps, 1u);
  EXPECT_EQ(told_notes(stored("change.>")), notes_in(*standby_));
}

}  // namespace
}  // namespace intra365::cdc
