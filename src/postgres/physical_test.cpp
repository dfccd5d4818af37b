#include "postgres/physical.hpp"

#include <gmock/gmock.h>

#include "postgres/test_loop.hpp"

namespace intra365::postgres {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Keeps what came, and can refuse.
struct Collected final : BaseBackupSink {
  Result<void> begin_archive(std::string_view name, std::string_view tablespace) override {
    archives.emplace_back(name);
    tablespaces.emplace_back(tablespace);
    return {};
  }
  Result<void> begin_manifest() override {
    in_manifest = true;
    return {};
  }
  Result<void> data(std::string_view bytes) override {
    if (refuse) return fail(intra365::errors::internal, "no more");
    (in_manifest ? manifest : files) += bytes;
    return {};
  }
  std::vector<std::string> archives, tablespaces;
  std::string files, manifest;
  bool in_manifest = false, refuse = false;
};

class PhysicalTest : public ::testing::Test {
 protected:
  void TearDown() override {
    const auto dropped = loop_.run(connect()->drop_slot());  // waits for the backend that has let go
    if (!dropped) EXPECT_EQ(dropped.error().code, "postgres.slot_missing");
  }

  std::unique_ptr<PhysicalLog> connect() {
    PhysicalOptions options;
    options.dsn = server_.dsn(database_);
    options.slot = "physical_" + database_;
    std::ranges::replace(options.slot, '-', '_');
    options.status_interval = 20ms;
    auto log = loop_.run(PhysicalLog::connect(loop_.io.get_executor(), options, in(10s)));
    EXPECT_TRUE(log) << log.error().detail;
    return std::move(log).value();
  }

  Loop loop_;
  PostgresServer& server_ = PostgresServer::shared();
  std::string database_ = server_.create_database();
};

TEST_F(PhysicalTest, a_base_backup_has_every_file_and_a_manifest_that_names_them) {
  Collected sink;
  const auto log = connect();
  const auto backup = loop_.run(log->base_backup(sink, "it's one"));
  ASSERT_TRUE(backup) << backup.error().detail;
  EXPECT_LT(backup->start, backup->end);
  EXPECT_EQ(backup->timeline, 1u);
  EXPECT_THAT(sink.archives, ElementsAre("base.tar"));
  EXPECT_THAT(sink.tablespaces, ElementsAre(""));
  EXPECT_THAT(sink.files, HasSubstr("backup_label"));
  EXPECT_THAT(sink.files, HasSubstr("global/pg_control"));
  EXPECT_THAT(sink.files, HasSubstr("LABEL: it's one"));
  EXPECT_THAT(sink.manifest, HasSubstr("\"Checksum-Algorithm\": \"SHA256\""));
  EXPECT_THAT(sink.manifest, HasSubstr("\"Manifest-Checksum\""));
}

TEST_F(PhysicalTest, a_base_backup_ends_with_the_first_failure_of_its_sink) {
  Collected sink;
  sink.refuse = true;
  const auto backup = loop_.run(connect()->base_backup(sink, "two"));
  ASSERT_FALSE(backup);
  EXPECT_EQ(backup.error().detail, "no more");
}

TEST_F(PhysicalTest, the_log_comes_without_a_gap_and_the_server_says_where_it_ends) {
  const auto log = connect();
  const auto identity = loop_.run(log->identify());
  ASSERT_TRUE(identity);
  ASSERT_EQ(loop_.run(log->create_slot()).value(), true);
  ASSERT_EQ(loop_.run(log->create_slot()).value(), false);
  EXPECT_EQ(loop_.run(log->setting("wal_segment_size")).value(), "16MB");
  EXPECT_FALSE(loop_.run(log->setting("a; drop")));

  const auto begun = loop_.run(log->start(identity->end, identity->timeline));
  ASSERT_TRUE(begun) << begun.error().detail;
  server_.execute(database_,
                  "CREATE TABLE marks (text text); INSERT INTO marks VALUES ('a mark in the log')");
  std::string seen;
  auto position = identity->end;
  const auto limit = in(20s);
  while (std::chrono::steady_clock::now() < limit &&
         (seen.find("a mark in the log") == std::string::npos || position < log->server_end())) {
    const auto piece = log->try_next();
    ASSERT_TRUE(piece) << piece.error().detail;
    if (*piece) {
      ASSERT_EQ((*piece)->start, position);
      position = (*piece)->end();
      seen += (*piece)->bytes;
      log->confirm(position);
      continue;
    }
    ASSERT_TRUE(loop_.run(log->wait(limit)));
  }
  EXPECT_THAT(seen, HasSubstr("a mark in the log"));
  EXPECT_EQ(position, log->server_end());
  const auto apart = std::chrono::system_clock::now() - log->server_time();
  EXPECT_LT(std::chrono::abs(apart), 30s);
}

TEST_F(PhysicalTest, a_log_that_the_server_has_removed_is_told) {
  const auto log = connect();
  ASSERT_TRUE(loop_.run(log->create_slot()));
  for (int i = 0; i < 3; ++i)
    server_.execute(database_, "CREATE TABLE t" + std::to_string(i) + " (); SELECT pg_switch_wal()");
  server_.execute(database_, "CHECKPOINT");
  server_.execute(database_, "CHECKPOINT");
  // Position 0/1000000 is in the first segment, which initdb alone wrote.
  auto refused = loop_.run(log->start(Lsn{0x1000000}, 1));
  const auto limit = in(20s);
  while (refused && std::chrono::steady_clock::now() < limit) {
    const auto piece = log->try_next();
    if (!piece) refused = fail(piece.error());
    if (piece && !*piece) refused = loop_.run(log->wait(limit));
  }
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "postgres.log_removed") << refused.error().detail;
}

}  // namespace
}  // namespace intra365::postgres
