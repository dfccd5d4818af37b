#include "postgres/migrator.hpp"

#include <algorithm>

#include "postgres/convert.hpp"

namespace intra365::postgres {
namespace {

/// Chosen at random once; shared by every program that migrates this schema.
constexpr Query kLock{"migration_lock", "select pg_advisory_xact_lock(3650417728905562817)"};
/// A statement that waits for a lock holds up whoever comes behind it: it gives up soon and tries again.
constexpr Query kPatience{"migration_patience", "select set_config('lock_timeout', '2s', true)"};
constexpr auto kPause = std::chrono::milliseconds(250), kLongestPause = std::chrono::milliseconds(4000);
constexpr Query kExists{"migration_table_exists",
                        "select to_regclass('intra365.schema_migrations') is not null as present"};
/// Every migration that the program or the database knows, with both checksums. The server computes them, so
/// that this folder needs no hash of its own.
constexpr Query kCompare{"migration_compare", R"(
select coalesce(known.id, applied.id) as id,
       encode(sha256(convert_to(known.sql, 'UTF8')), 'hex') as expected,
       applied.checksum as actual
  from unnest($1::text[], $2::text[]) as known (id, sql)
  full join intra365.schema_migrations applied on applied.id = known.id
 order by coalesce(known.id, applied.id) collate "C")"};
constexpr Query kFind{"migration_find", "select checksum from intra365.schema_migrations where id = $1"};
constexpr Query kRecord{"migration_record", R"(
insert into intra365.schema_migrations (id, checksum)
values ($1, encode(sha256(convert_to($2, 'UTF8')), 'hex'))
returning checksum)"};
constexpr std::string_view kCreate = R"(
create schema if not exists intra365;
create table if not exists intra365.schema_migrations (
  id text collate "C" primary key,
  checksum text not null,
  applied_at timestamptz not null default clock_timestamp()
);
grant select on intra365.schema_migrations to public;)";

struct Presence {
  bool present = false;
};
struct Comparison {
  std::string id;
  std::optional<std::string> expected, actual;
};
BOOST_DESCRIBE_STRUCT(Presence, (), (present))
BOOST_DESCRIBE_STRUCT(Comparison, (), (id, expected, actual))

Result<void> sort_by_id(std::vector<Migration>& migrations) {
  std::ranges::sort(migrations, {}, &Migration::id);
  const auto twice = std::ranges::adjacent_find(migrations, {}, &Migration::id);
  if (twice != migrations.end()) return fail(errors::unknown_schema, "two migrations are named " + twice->id);
  return {};
}

Parameters ids_and_sql(const std::vector<Migration>& migrations) {
  std::vector<std::string> ids, sql;
  for (const auto& migration : migrations) {
    ids.push_back(migration.id);
    sql.push_back(migration.sql);
  }
  return postgres::bind(ids, sql);
}

/// The ids still to be applied; fails where the database and the program disagree about the past.
Result<std::vector<std::string>> missing(const Rows& rows) {
  TRY(const auto comparisons, rows.as<Comparison>());
  std::vector<std::string> ids;
  for (const auto& migration : comparisons) {
    if (!migration.expected) {
      return fail(errors::unknown_schema, "the database has the migration " + migration.id +
                                              ", which this program does not know; a newer program made it");
    }
    if (!migration.actual) {
      ids.push_back(migration.id);
    } else if (*migration.actual != *migration.expected) {
      return fail(errors::unknown_schema,
                  "the migration " + migration.id + " was changed after it was applied");
    }
  }
  return ids;
}

Task<> create_table(Pool& owner, SteadyTime deadline) {
  CO_TRY(auto transaction, co_await owner.begin(Scope{}, deadline));
  CO_CHECK(co_await transaction.query(kLock, {}));
  std::string create(kCreate);
  CO_CHECK(co_await transaction.execute(std::move(create)));
  co_return co_await transaction.commit();
}

/// One migration in one transaction. False when another program was faster.
Task<bool> apply(Pool& owner, const Migration& migration, SteadyTime deadline) {
  CO_TRY(auto transaction, co_await owner.begin(Scope{}, deadline));
  CO_CHECK(co_await transaction.query(kLock, {}));
  auto id = postgres::bind(migration.id);
  CO_TRY(const auto found, co_await transaction.query(kFind, std::move(id)));
  if (!found.empty()) co_return false;
  CO_CHECK(co_await transaction.query(kPatience, {}));
  auto done = co_await transaction.execute(migration.sql);
  if (!done) {
    auto error = std::move(done.error());
    error.detail = "migration " + migration.id + ": " + error.detail;
    co_return fail(std::move(error));
  }
  auto record = postgres::bind(migration.id, migration.sql);
  CO_CHECK(co_await transaction.query(kRecord, std::move(record)));
  CO_CHECK(co_await transaction.commit());
  co_return true;
}

/// Until the locks that it needs were free for a moment.
Task<bool> apply_in_time(Pool& owner, const Migration& migration, SteadyTime deadline) {
  for (auto pause = kPause;; pause = std::min(2 * pause, kLongestPause)) {
    auto applied = co_await apply(owner, migration, deadline);
    const bool again = !applied && applied.error().is(errors::serialization) &&
                       std::chrono::steady_clock::now() + pause < deadline;
    if (!again) co_return applied;
    co_await sleep_for(pause);
  }
}

}  // namespace

Task<MigrationReport> migrate(Pool& owner, std::vector<Migration> migrations, SteadyTime deadline) {
  CO_CHECK(sort_by_id(migrations));
  CO_CHECK(co_await create_table(owner, deadline));
  auto known = ids_and_sql(migrations);
  CO_TRY(const auto rows, co_await owner.query(Scope{}, kCompare, std::move(known), deadline));
  CO_TRY(const auto todo, missing(rows));

  MigrationReport report;
  report.known = migrations.size();
  for (const auto& migration : migrations) {
    if (std::ranges::find(todo, migration.id) == todo.end()) continue;
    CO_TRY(const bool applied, co_await apply_in_time(owner, migration, deadline));
    if (applied) report.applied.push_back(migration.id);
  }
  // Another program may have applied some of them from other text in the meantime.
  CO_CHECK(co_await check_schema(owner, std::move(migrations), deadline));
  co_return report;
}

Task<> check_schema(Pool& pool, std::vector<Migration> migrations, SteadyTime deadline) {
  CO_CHECK(sort_by_id(migrations));
  CO_TRY(const auto table, co_await pool.query(Scope{}, kExists, {}, deadline));
  CO_TRY(const auto presence, table.as_optional<Presence>());
  if (!presence || !presence->present) {
    co_return fail(errors::unknown_schema, "the database has no migrations yet; run `intra365 migrate`");
  }
  auto known = ids_and_sql(migrations);
  CO_TRY(const auto rows, co_await pool.query(Scope{}, kCompare, std::move(known), deadline));
  CO_TRY(const auto todo, missing(rows));
  if (!todo.empty()) {
    co_return fail(errors::unknown_schema,
                   "the migration " + todo.front() + " is not applied yet; run `intra365 migrate`");
  }
  co_return Result<void>{};
}

}  // namespace intra365::postgres
