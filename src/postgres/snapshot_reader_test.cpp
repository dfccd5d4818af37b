#include "postgres/snapshot_reader.hpp"

#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "postgres/errors.hpp"
#include "postgres/test_loop.hpp"

namespace intra365::postgres {
namespace {

using namespace testing;

class SnapshotReaderTest : public ::testing::Test {
 protected:
  std::vector<std::string> sql(const std::string& text) { return server_.execute(database_, text); }
  Result<std::unique_ptr<SnapshotReader>> open(std::chrono::milliseconds patience = 10s,
                                               std::chrono::milliseconds answer_time = 10s) {
    return loop_.run(SnapshotReader::open(loop_.io.get_executor(), server_.dsn(database_), "snapshot",
                                          patience, answer_time));
  }
  /// How many rows each fetch gave, to the end.
  std::vector<std::size_t> fetch_all(SnapshotReader& reader, std::size_t bytes) {
    const auto tables = loop_.run(reader.tables("everything"));
    EXPECT_TRUE(tables && tables->size() == 1);
    EXPECT_TRUE(loop_.run(reader.select(tables->front())));
    std::vector<std::size_t> fetched;
    for (;;) {
      const auto rows = loop_.run(reader.fetch(bytes));
      EXPECT_TRUE(rows) << rows.error().detail;
      if (!rows || rows->empty()) return fetched;
      fetched.push_back(rows->size());
      for (const auto& row : *rows) seen_.insert(std::stoi(std::string(row.at(0).bytes)));
    }
  }

  PostgresServer server_{PostgresServer::Fsync::off};
  std::string database_ = server_.create_database();
  Loop loop_;
  std::set<int> seen_;
};

TEST_F(SnapshotReaderTest, wide_rows_come_few_at_a_time_so_that_memory_stays_flat) {
  sql("CREATE TABLE things (id int PRIMARY KEY, wide text); CREATE PUBLICATION everything FOR TABLE things");
  sql("INSERT INTO things SELECT n, repeat('x', 100) FROM generate_series(1, 700) n");
  sql("INSERT INTO things SELECT n, repeat('x', 1000000) FROM generate_series(701, 740) n");
  const auto reader = open();
  ASSERT_TRUE(reader) << reader.error().detail;
  const auto fetched = fetch_all(**reader, 4 << 20);
  EXPECT_EQ(seen_.size(), 740u) << "each row once";
  EXPECT_EQ(fetched.front(), 500u);
  for (std::size_t i = 2; i < fetched.size(); ++i) EXPECT_LE(fetched[i], 5u);
  EXPECT_EQ(fetch_all(**reader, 1).size(), 740u) << "one at least, and a table may be read again";
}

TEST_F(SnapshotReaderTest, a_server_that_has_stopped_is_not_waited_for) {
  sql("CREATE TABLE things (id int PRIMARY KEY); CREATE PUBLICATION everything FOR TABLE things");
  const auto reader = open(10s, 300ms);
  ASSERT_TRUE(reader) << reader.error().detail;
  server_.pause();
  const auto tables = loop_.run((*reader)->tables("everything"));
  ASSERT_FALSE(tables);
  EXPECT_TRUE(tables.error().is(errors::timeout)) << tables.error().code;
  const auto another = open(300ms);
  ASSERT_FALSE(another);
  EXPECT_TRUE(another.error().is(errors::timeout)) << another.error().code;
  server_.resume();
}

TEST_F(SnapshotReaderTest, transactions_that_stay_open_are_waited_for_as_long_as_patience_lasts) {
  sql("CREATE TABLE things (id int PRIMARY KEY)");
  std::jthread open_transaction([&] {
    try {
      sql("BEGIN; INSERT INTO things VALUES (1); SELECT pg_sleep(600)");
    } catch (const std::exception&) {  // terminated below
    }
  });
  while (sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").empty()) ::usleep(10'000);
  const auto reader = open(300ms);
  ASSERT_FALSE(reader);
  EXPECT_TRUE(reader.error().is(errors::timeout)) << reader.error().code;
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
}

}  // namespace
}  // namespace intra365::postgres
