#include "postgres/migrator.hpp"

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

class Migrator : public DatabaseTest {
 protected:
  const std::vector<Migration> migrations{
      {"0002_rows", "insert into intra365.things values (1); insert into intra365.things values (2);"},
      {"0001_things",
       "create table intra365.things (id int primary key); grant select on intra365.things to public;"},
  };
  Result<MigrationReport> migrate(std::vector<Migration> list) {
    return loop.run(postgres::migrate(*pool, std::move(list), in(20s)));
  }
  std::string check(std::vector<Migration> list) {
    const auto checked = loop.run(postgres::check_schema(*pool, std::move(list), in(20s)));
    return checked ? "ok" : checked.error().code + ": " + checked.error().detail;
  }
};

TEST_F(Migrator, applies_in_order_of_id_once_and_records_the_checksum) {
  const auto first = migrate(migrations);
  ASSERT_TRUE(first) << first.error().detail;
  EXPECT_EQ(first->applied, (std::vector<std::string>{"0001_things", "0002_rows"}));
  EXPECT_EQ(first->known, 2u);
  EXPECT_EQ(value("select count(*) from intra365.things"), "2");
  EXPECT_EQ(value("select checksum = encode(sha256($1::text::bytea), 'hex') from intra365.schema_migrations "
                  "where id = '0002_rows'",
                  postgres::bind(migrations[0].sql)),
            "t");

  const auto second = migrate(migrations);
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_TRUE(second->applied.empty());
  EXPECT_EQ(value("select count(*) from intra365.things"), "2");
  EXPECT_EQ(check(migrations), "ok");
}

TEST_F(Migrator, changed_text_is_refused) {
  ASSERT_TRUE(migrate(migrations));
  auto changed = migrations;
  changed[0].sql += " -- a later thought";
  const auto outcome = migrate(changed);
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(outcome.error().is(errors::unknown_schema));
  EXPECT_EQ(outcome.error().detail, "the migration 0002_rows was changed after it was applied");
  EXPECT_TRUE(check(changed).starts_with("postgres.unknown_schema"));
}

TEST_F(Migrator, database_of_a_newer_program_is_refused) {
  ASSERT_TRUE(migrate(migrations));
  const std::vector<Migration> older{migrations[1]};
  EXPECT_TRUE(migrate(older).error().is(errors::unknown_schema));
  EXPECT_NE(check(older).find("0002_rows"), std::string::npos);
}

TEST_F(Migrator, older_or_empty_database_does_not_pass_the_check) {
  EXPECT_TRUE(check(migrations).starts_with("postgres.unknown_schema"));
  ASSERT_TRUE(migrate({migrations[1]}));
  EXPECT_NE(check(migrations).find("0002_rows is not applied yet"), std::string::npos);
}

TEST_F(Migrator, failed_migration_leaves_nothing_and_names_itself) {
  auto broken = migrations;
  broken.push_back({"0003_broken", "create table intra365.half (id int); select 1 / 0;"});
  const auto outcome = migrate(broken);
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(outcome.error().detail.starts_with("migration 0003_broken: ")) << outcome.error().detail;
  EXPECT_EQ(value("select to_regclass('intra365.half') is null"), "t");
  EXPECT_EQ(value("select count(*) from intra365.schema_migrations"), "2");
}

TEST_F(Migrator, migration_that_commits_by_itself_is_refused) {
  const auto outcome = migrate({{"0001_commits", "create table t (id int); commit;"}});
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().detail.find("ended the transaction"), std::string::npos)
      << outcome.error().detail;
}

TEST_F(Migrator, two_programs_at_once_apply_each_migration_once) {
  std::vector<Migration> list{{"0000_base", "create table intra365.counted (id int);"}};
  for (int i = 1; i <= 9; ++i) {
    list.push_back(
        {"000" + std::to_string(i), "insert into intra365.counted values (" + std::to_string(i) + ");"});
  }
  auto other_pool = loop.pool(dsn);
  auto one = loop.start(postgres::migrate(*pool, list, in(20s)));
  auto other = loop.start(postgres::migrate(*other_pool, list, in(20s)));
  const auto first = loop.finish(one), second = loop.finish(other);
  ASSERT_TRUE(first) << first.error().detail;
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_EQ(first->applied.size() + second->applied.size(), list.size());
  EXPECT_EQ(value("select count(*) from intra365.counted"), "9");
}

TEST_F(Migrator, nobody_waits_behind_a_migration_that_waits_for_a_lock) {
  ASSERT_TRUE(migrate(migrations));
  auto services = loop.pool(dsn);
  auto reading = loop.run(services->begin(Scope{}, in(60s)));
  ASSERT_TRUE(reading);
  const Query read{"read", "select count(*) from intra365.things"};
  ASSERT_TRUE(loop.run(reading->query(read, {})));

  auto more = migrations;
  more.push_back({"0003_column", "alter table intra365.things add column more int;"});
  auto pending = loop.start(postgres::migrate(*pool, more, in(30s)));
  ASSERT_TRUE(loop.until([&] {
    const auto waiting = loop.run(services->query(
        Scope{},
        Query{"waiting",
              "select 1 from pg_locks where not granted and relation = 'intra365.things'::regclass"},
        {}, in(10s)));
    return waiting && !waiting->empty();
  }));
  const auto read_behind_it = loop.run(services->query(Scope{}, read, {}, in(20s)));
  EXPECT_TRUE(read_behind_it) << read_behind_it.error().detail;
  EXPECT_FALSE(pending->has_value()) << "it still waits, for the transaction that is still open";
  ASSERT_TRUE(loop.run(reading->commit()));
  const auto done = loop.finish(pending);
  ASSERT_TRUE(done) << done.error().detail;
  EXPECT_EQ(done->applied, std::vector<std::string>{"0003_column"});
}

TEST_F(Migrator, one_connection_is_enough) {
  pool = loop.pool(dsn, [](PoolOptions& options) { options.max_connections = 1; });
  ASSERT_TRUE(migrate(migrations));
}

TEST_F(Migrator, same_id_twice_is_refused) {
  EXPECT_TRUE(migrate({{"0001", "select 1"}, {"0001", "select 2"}}).error().is(errors::unknown_schema));
}

}  // namespace
}  // namespace intra365::postgres::testing
