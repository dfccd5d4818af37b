// The archiver against a real server. Restoring is tested from outside (tests/e2e/backup.test.js), with a
// platform's keys.
#include "backup/archiver.hpp"

#include <gmock/gmock.h>

#include "postgres/physical.hpp"
#include "postgres/test_loop.hpp"

namespace intra365::backup {
namespace {

using namespace postgres::testing;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Archiver : ::testing::Test {
  Archiver() {
    options.to = temp.path() / "backups";
    options.key_file = temp.path() / "key";
    options.dsn = [this] { return server.dsn(); };
    options.stopping = [this] { return stopping; };
    options.tell = [this](const std::string& step) { told.push_back(step); };
  }
  std::vector<std::string> bases() const {
    std::vector<std::string> names;
    const auto repository = Repository::open(options.to, options.key_file);
    if (!repository) return names;
    const auto found = repository->bases();
    if (!found) return names;
    for (const auto& base : *found) names.push_back(base.name);
    return names;
  }
  Result<ArchiverReport> run() { return loop.run(run_archiver(loop.io.get_executor(), options)); }
  std::string text() const {
    std::string all;
    for (const auto& step : told) all += step + "\n";
    return all;
  }

  intra365::testing::TempDir temp;
  PostgresServer server{PostgresServer::Fsync::off};
  Loop loop;
  ArchiverOptions options;
  bool stopping = false;
  std::vector<std::string> told;
};

TEST_F(Archiver, who_follows_makes_new_bases_beside_the_log_and_keeps_as_many_as_may_stay) {
  options.follow = true;
  options.keep = 2;
  options.full_after = 1s;
  int proofs = 0;
  options.prove = [&]() -> Task<> {
    ++proofs;
    co_return Result<void>{};
  };
  auto running = loop.start(run_archiver(loop.io.get_executor(), options));
  std::set<std::string> seen;
  ASSERT_TRUE(loop.until([&] {
    for (const auto& name : bases()) seen.insert(name);
    return seen.size() >= 3 && proofs >= 3;
  })) << text();
  ASSERT_TRUE(loop.until([&] { return bases().size() == 2; })) << text();
  stopping = true;
  const auto done = loop.finish(running);
  ASSERT_TRUE(done) << done.error().detail;
  EXPECT_EQ(std::ranges::count_if(
                told, [](const std::string& step) { return step.starts_with("following the log"); }),
            1)
      << "the log is never let go:\n"
      << text();
  const auto repository = Repository::open(options.to, options.key_file).value();
  const auto kept = repository.bases().value();
  EXPECT_EQ(kept.front().log, kept.back().log) << "the new one goes on in the same run of the log";
}

TEST_F(Archiver, a_base_that_cannot_be_restored_takes_no_other_ones_place) {
  ASSERT_TRUE(run());
  const auto good = bases();
  ASSERT_THAT(good, SizeIs(1));
  options.follow = true;
  options.keep = 1;
  options.full_after = 1s;
  int proofs = 0;
  options.prove = [&]() -> Task<> {
    ++proofs;
    co_return fail(errors::restore_failed, "broken");
  };
  auto running = loop.start(run_archiver(loop.io.get_executor(), options));
  ASSERT_TRUE(loop.until([&] { return bases().size() >= 3 && proofs >= 2; })) << text();
  stopping = true;
  const auto done = loop.finish(running);
  ASSERT_FALSE(done) << "who stops it learns of it";
  EXPECT_TRUE(done.error().is(errors::restore_failed));
  EXPECT_THAT(bases(), Contains(good.front()));
  EXPECT_THAT(text(), HasSubstr("COULD NOT BE RESTORED"));
}

TEST_F(Archiver, the_server_forgets_nothing_that_the_next_run_begins_with) {
  ASSERT_TRUE(run());
  options.follow = true;
  bool crashed = false;
  options.stopping = [&] { return crashed; };
  auto running = loop.start(run_archiver(loop.io.get_executor(), options));
  ASSERT_TRUE(loop.until([&] { return text().find("following") != std::string::npos; }));
  const auto repository = Repository::open(options.to, options.key_file).value();
  const auto log = repository.bases().value().back().log;
  // Under a load that leaves it no moment's rest, the slot never stands before what is written down.
  for (int round = 0; round < 8; ++round) {
    server.execute("postgres",
                   "select count(pg_logical_emit_message(false, 'fill', repeat('x', 1000000))) from "
                   "generate_series(1, 8)");
    for (int step = 0; step < 10; ++step) {
      loop.io.restart();
      loop.io.run_one_for(1ms);
      const auto covered = postgres::Lsn::parse(repository.coverage(log).value()->end);
      const auto kept = postgres::Lsn::parse(
          server
              .execute("postgres",
                       "select restart_lsn from pg_replication_slots where slot_name = 'intra365_backup'")
              .front());
      ASSERT_LE(kept->value, covered->value);
    }
  }
  crashed = true;
  ASSERT_TRUE(loop.finish(running));
}

}  // namespace
}  // namespace intra365::backup
