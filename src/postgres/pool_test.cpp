// Calls, scopes and their limits against a real server. Transactions and outages have files of their own.
#include "postgres/test_loop.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <random>

namespace intra365::postgres::testing {
namespace {

constexpr Query kTenant{"tenant", "select current_setting('intra365.tenant', true)"};
constexpr Query kPid{"pid", "select pg_backend_pid()"};
constexpr Query kSleep{"sleep", "select pg_sleep(60)"};

std::vector<Statement> statements(std::initializer_list<std::string_view> sql) {
  std::vector<Statement> list;
  for (const auto text : sql) list.push_back({{"part", text}, {}});
  return list;
}

class PoolTest : public DatabaseTest {
 protected:
  void limit_connections(std::size_t count, const std::function<void(PoolOptions&)>& change = {}) {
    pool = loop.pool(dsn, [&](PoolOptions& options) {
      options.max_connections = count;
      if (change) change(options);
    });
  }
  Result<Rows> scoped(std::string tenant, Query query, Parameters parameters = {}) {
    return loop.run(pool->query(Scope{std::move(tenant)}, query, std::move(parameters), in(10s)));
  }
  std::string tenant_seen(std::string tenant) {
    return std::string(*scoped(std::move(tenant), kTenant)->value(0, 0));
  }
  /// Waits until no other connection of this database runs or holds anything.
  bool server_is_quiet() {
    auto watcher = loop.pool(dsn, [](PoolOptions& options) { options.max_connections = 1; });
    for (int i = 0; i < 500; ++i) {
      const auto rows = loop.run(watcher->query(
          Scope{},
          Query{"activity", R"(select count(*) from pg_stat_activity where datname = current_database()
                                          and pid <> pg_backend_pid() and state <> 'idle')"},
          {}, in(10s)));
      if (rows && rows->value(0, 0) == "0") return true;
      loop.run(contain([]() -> Task<> {
        co_await sleep_for(10ms);
        co_return Result<void>{};
      }()));
    }
    return false;
  }
};

// Between every two calls something else happens: an error after the scope was set, a call that is cancelled
// in the server, a transaction that ends either way. The order is drawn, the seed is fixed.
TEST_F(PoolTest, a_kept_scope_is_the_callers_own_whatever_happened_before) {
  for (const std::size_t connections : {1, 3}) {
    limit_connections(connections, [](PoolOptions& options) { options.direct = true; });
    std::minstd_rand random{11};
    const std::string tenants[] = {"red", "green", "blue", ""};
    for (int round = 0; round < 300; ++round) {
      const auto& tenant = tenants[random() % 4];
      const auto& other = tenants[random() % 4];
      switch (random() % 6) {
        case 0:
          EXPECT_FALSE(scoped(other, Query{"wrong", "select 1 / 0"}));
          break;
        case 1: {
          const auto late =
              loop.run(pool->query(Scope{other}, Query{"late", "select pg_sleep(30)"}, {}, in(20ms)));
          EXPECT_FALSE(late);
          break;
        }
        case 2: {
          auto transaction = loop.run(pool->begin(Scope{other}, in(5s)));
          ASSERT_TRUE(transaction);
          EXPECT_EQ(loop.run(transaction->query(kTenant, {}))->value(0, 0), other);
          ASSERT_TRUE(loop.run(random() % 2 == 0 ? transaction->commit() : transaction->rollback()));
          break;
        }
        case 3: {
          auto transaction = loop.run(pool->begin(Scope{other}, in(5s)));
          ASSERT_TRUE(transaction);
          EXPECT_FALSE(loop.run(transaction->query(Query{"wrong", "select 1 / 0"}, {})));
          break;
        }
        default:
          break;
      }
      ASSERT_EQ(tenant_seen(tenant), tenant) << "round " << round << ", " << connections << " connections";
    }
  }
}

TEST_F(PoolTest, a_kept_scope_is_sent_only_where_it_changes) {
  const auto sets = [&](bool direct) {
    limit_connections(1, [&](PoolOptions& options) { options.direct = direct; });
    for (int i = 0; i < 5; ++i) EXPECT_EQ(tenant_seen("red"), "red");
    // What stands in the session, beyond the transaction of a call.
    return std::string(scoped("red", Query{"kept",
                                           "select count(*) from pg_prepared_statements where statement like "
                                           "'%intra365.tenant'', $1, false%'"})
                           ->value(0, 0)
                           .value_or(""));
  };
  EXPECT_EQ(sets(true), "1");
  EXPECT_EQ(sets(false), "0");
}

TEST_F(PoolTest, query_returns_its_rows) {
  const auto rows = query("select $1::int as a, 'x' as b, null as c", postgres::bind(7));
  ASSERT_TRUE(rows) << rows.error().detail;
  EXPECT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->columns(), 3u);
  EXPECT_EQ(rows->column_name(1), "b");
  EXPECT_EQ(rows->value(0, 0), "7");
  EXPECT_EQ(rows->value(0, 2), std::nullopt);
}

TEST_F(PoolTest, rows_outlive_their_connection) {
  const auto rows = query("select repeat('x', 1000)");
  pool.reset();
  EXPECT_EQ(rows->value(0, 0), std::string(1000, 'x'));
}

TEST_F(PoolTest, row_level_security_shows_each_tenant_its_own_rows) {
  const auto role = "app_" + database;
  execute(
      "create table notes (tenant_id text not null, body text);"
      "alter table notes enable row level security;"
      "create policy tenant on notes using (tenant_id = current_setting('intra365.tenant', true));"
      "create role " +
      role + " login password 'app-secret'; grant select, insert on notes to " + role);
  pool = loop.pool("host=127.0.0.1 port=" + std::to_string(PostgresServer::shared().port()) +
                       " dbname=" + database + " user=" + role + " password=app-secret",
                   [](PoolOptions& options) { options.max_connections = 1; });
  constexpr Query add{"note_add", "insert into notes values ($1, $2)"};
  constexpr Query list{"note_list", "select body from notes order by 1"};
  ASSERT_TRUE(scoped("red", add, postgres::bind("red", "r1")));
  ASSERT_TRUE(scoped("blue", add, postgres::bind("blue", "b1")));
  EXPECT_EQ(scoped("red", list)->value(0, 0), "r1");
  EXPECT_EQ(scoped("blue", list)->size(), 1u);
  EXPECT_EQ(scoped("blue", list)->value(0, 0), "b1");
  EXPECT_TRUE(scoped("", list)->empty());
  EXPECT_TRUE(scoped("red' or true --", list)->empty());
  const auto foreign = scoped("red", add, postgres::bind("blue", "smuggled"));
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().detail.find("smuggled"), std::string::npos);
  EXPECT_EQ(scoped("blue", list)->size(), 1u);
}

TEST_F(PoolTest, scope_never_reaches_the_next_user_of_the_connection) {
  limit_connections(1);
  const auto pid = std::string(*scoped("", kPid)->value(0, 0));
  EXPECT_EQ(tenant_seen("red"), "red");
  EXPECT_EQ(tenant_seen(""), "");
  EXPECT_FALSE(scoped("red", Query{"fails", "select 1 / 0"}));
  EXPECT_EQ(tenant_seen(""), "");
  ASSERT_TRUE(loop.run(pool->atomically(Scope{"blue"}, statements({"select 1", "select 2"}), in(5s))));
  EXPECT_EQ(tenant_seen(""), "");
  {
    auto transaction = loop.run(pool->begin(Scope{"green"}, in(5s)));
    ASSERT_TRUE(transaction);
    EXPECT_EQ(loop.run(transaction->query(kTenant, {}))->value(0, 0), "green");
    ASSERT_TRUE(loop.run(transaction->commit()));
  }
  EXPECT_EQ(tenant_seen(""), "");
  {
    auto transaction = loop.run(pool->begin(Scope{"green"}, in(5s)));
    ASSERT_TRUE(loop.run(transaction->query(kTenant, {})));
  }
  EXPECT_EQ(tenant_seen(""), "");
  EXPECT_EQ(scoped("", kPid)->value(0, 0), pid) << "all of it on one connection";
}

TEST_F(PoolTest, script_leaves_no_session_settings_behind) {
  limit_connections(1);
  execute("set intra365.tenant = 'red'; begin; create table never (id int); set role pg_monitor");
  EXPECT_EQ(tenant_seen(""), "");
  EXPECT_EQ(value("select current_user"), "postgres");
  EXPECT_EQ(value("select to_regclass('never') is null"), "t");
}

TEST_F(PoolTest, atomically_stores_all_or_nothing) {
  execute("create table t (id int primary key)");
  const auto both = loop.run(
      pool->atomically(Scope{}, statements({"insert into t values (1)", "select id from t"}), in(5s)));
  ASSERT_TRUE(both) << both.error().detail;
  EXPECT_EQ((*both)[0].affected(), 1u);
  EXPECT_EQ((*both)[1].value(0, 0), "1");
  const auto failed = loop.run(pool->atomically(
      Scope{},
      statements({"insert into t values (2)", "insert into t values (1)", "insert into t values (3)"}),
      in(5s)));
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().is(errors::unique_violation));
  EXPECT_EQ(failed.error().detail, "query part: SQLSTATE 23505, constraint t_pkey");
  EXPECT_EQ(value("select count(*) from t"), "1");
  EXPECT_TRUE(loop.run(pool->atomically(Scope{}, {}, in(5s)))->empty());
}

TEST_F(PoolTest, constraint_that_fails_at_commit_fails_the_call) {
  limit_connections(1);
  execute("create table t (id int unique deferrable initially deferred)");
  ASSERT_TRUE(query("insert into t values (1)"));
  const auto failed = query("insert into t values (1)");
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().is(errors::unique_violation)) << failed.error().detail;
  EXPECT_EQ(value("select count(*) from t"), "1");
}

TEST_F(PoolTest, violations_have_their_codes) {
  execute(
      "create table parent (id int primary key);"
      "create table child (id int check (id > 0), parent int references parent, name text not null)");
  EXPECT_EQ(value("insert into child values (1, 9, 'x')"), "postgres.foreign_key_violation");
  EXPECT_EQ(value("insert into child values (-1, null, 'x')"), "postgres.check_violation");
  EXPECT_EQ(value("insert into child values (1, null, null)"), "postgres.check_violation");
  EXPECT_EQ(value("select nonsense"), "postgres.query_failed");
  EXPECT_EQ(value("copy parent to stdout"), "postgres.unavailable");
  EXPECT_EQ(value("select 'still works'"), "still works");
}

TEST_F(PoolTest, deadline_cancels_in_the_server_and_the_connection_is_used_again) {
  limit_connections(1);
  const auto pid = std::string(*scoped("", kPid)->value(0, 0));
  const auto start = std::chrono::steady_clock::now();
  const auto late = loop.run(pool->query(Scope{}, kSleep, {}, in(100ms)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  ASSERT_FALSE(late);
  EXPECT_TRUE(late.error().is(errors::timeout)) << late.error().code;
  EXPECT_TRUE(server_is_quiet());
  EXPECT_EQ(scoped("", kPid)->value(0, 0), pid);
  EXPECT_EQ(pool->open_connections(), 1u);
}

TEST_F(PoolTest, deadline_passes_while_waiting_for_a_connection) {
  limit_connections(1);
  auto holder = loop.run(pool->begin(Scope{}, in(10s)));
  ASSERT_TRUE(holder);
  const auto late = loop.run(pool->query(Scope{}, kPid, {}, in(50ms)));
  ASSERT_FALSE(late);
  EXPECT_TRUE(late.error().is(errors::timeout));
  ASSERT_TRUE(loop.run(holder->rollback()));
  EXPECT_TRUE(scoped("", kPid));
}

TEST_F(PoolTest, cancelled_caller_frees_the_connection) {
  limit_connections(1);
  asio::cancellation_signal running, waiting;
  std::string first, second;
  const auto record = [](std::string& into) {
    return
        [&into](std::exception_ptr, Result<Rows> outcome) { into = outcome ? "done" : outcome.error().code; };
  };
  asio::co_spawn(loop.io, contain(pool->query(Scope{}, kSleep, {}, in(30s))),
                 asio::bind_cancellation_slot(running.slot(), record(first)));
  asio::co_spawn(loop.io, contain(pool->query(Scope{}, kSleep, {}, in(30s))),
                 asio::bind_cancellation_slot(waiting.slot(), record(second)));
  ASSERT_TRUE(loop.until([&] { return pool->open_connections() == 1; }));
  waiting.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(loop.until([&] { return !second.empty(); }));
  EXPECT_EQ(second, "cancelled");
  EXPECT_EQ(first, "");
  running.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(loop.until([&] { return !first.empty(); }));
  EXPECT_EQ(first, "cancelled");
  EXPECT_EQ(value("select 1"), "1");
  EXPECT_TRUE(server_is_quiet());
}

TEST_F(PoolTest, more_waiting_than_may_is_pool_full_and_the_others_are_served_in_order) {
  limit_connections(1, [](PoolOptions& options) { options.max_waiting = 3; });
  auto holder = loop.run(pool->begin(Scope{}, in(10s)));
  ASSERT_TRUE(holder);
  std::vector<int> served;
  std::vector<Loop::Pending<void>> waiting;
  const auto ask = [](Pool& pool, std::vector<int>& served, int number) -> Task<> {
    CO_CHECK(co_await pool.query(Scope{}, kPid, Parameters{}, in(10s)));
    served.push_back(number);
    co_return Result<void>{};
  };
  for (int i = 0; i < 4; ++i) waiting.push_back(loop.start(ask(*pool, served, i)));
  const auto refused = loop.finish(waiting[3]);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(errors::pool_full));
  ASSERT_TRUE(loop.run(holder->rollback()));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(loop.finish(waiting[i]));
  EXPECT_EQ(served, (std::vector<int>{0, 1, 2}));
}

TEST_F(PoolTest, connections_grow_to_the_limit_and_no_further) {
  limit_connections(3);
  std::vector<Loop::Pending<Rows>> all;
  for (int i = 0; i < 50; ++i)
    all.push_back(loop.start(pool->query(Scope{}, Query{"nap", "select pg_sleep(0.005)"}, {}, in(10s))));
  for (const auto& one : all) EXPECT_TRUE(loop.finish(one));
  EXPECT_EQ(pool->open_connections(), 3u);
}

TEST_F(PoolTest, prepare_off_leaves_nothing_prepared_and_on_prepares_once) {
  constexpr std::string_view count =
      "select count(*) from pg_prepared_statements where statement like '%$1::int%'";
  limit_connections(1, [](PoolOptions& options) { options.prepare = false; });
  EXPECT_EQ(value("select $1::int", postgres::bind(5)), "5");
  EXPECT_EQ(value(count), "0");
  limit_connections(1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(value("select $1::int", postgres::bind(i)), std::to_string(i));
  const auto twice = loop.run(pool->atomically(
      Scope{},
      {{{"a", "select $1::int + 1"}, postgres::bind(1)}, {{"a", "select $1::int + 1"}, postgres::bind(2)}},
      in(5s)));
  EXPECT_EQ((*twice)[1].value(0, 0), "3");
  EXPECT_EQ(value(count), "3") << "the two statements and this one";
}

TEST_F(PoolTest, statement_the_server_forgot_is_prepared_again) {
  limit_connections(1);
  EXPECT_EQ(value("select $1::int", postgres::bind(1)), "1");
  ASSERT_TRUE(loop.run(pool->query(Scope{}, Query{"forget", "deallocate all"}, {}, in(5s))));
  EXPECT_EQ(value("select $1::int", postgres::bind(2)), "2");
}

TEST_F(PoolTest, changed_table_does_not_break_a_prepared_select) {
  limit_connections(1);
  execute("create table t (a int); insert into t values (1)");
  EXPECT_EQ(query("select * from t")->columns(), 1u);
  PostgresServer::shared().execute(database, "alter table t add column b int");
  const auto rows = query("select * from t");
  ASSERT_TRUE(rows) << rows.error().detail;
  EXPECT_EQ(rows->columns(), 2u);
}

TEST_F(PoolTest, megabytes_travel_both_ways_at_once) {
  const std::string big(8 << 20, 'x');
  std::vector<Statement> list;
  for (int i = 0; i < 4; ++i) list.push_back({{"echo", "select $1::text"}, postgres::bind(big)});
  const auto rows = loop.run(pool->atomically(Scope{}, std::move(list), in(20s)));
  ASSERT_TRUE(rows) << rows.error().detail;
  for (const auto& one : *rows) EXPECT_EQ(one.value(0, 0)->size(), big.size());
}

TEST_F(PoolTest, thousand_statements_in_one_pipeline) {
  execute("create table t (id int)");
  std::vector<Statement> list;
  for (int i = 0; i < 1000; ++i) list.push_back({{"add", "insert into t values ($1)"}, postgres::bind(i)});
  ASSERT_TRUE(loop.run(pool->atomically(Scope{}, std::move(list), in(20s))));
  EXPECT_EQ(value("select sum(id) from t"), "499500");
}

TEST_F(PoolTest, every_statement_is_reported_with_its_name) {
  std::vector<std::string> seen;
  limit_connections(1, [&](PoolOptions& options) {
    options.on_query = [&](std::string_view name, std::chrono::nanoseconds duration, const Error* error) {
      EXPECT_GE(duration.count(), 0);
      seen.push_back(std::string(name) + (error ? " " + error->code : ""));
    };
  });
  ASSERT_TRUE(
      loop.run(pool->atomically(Scope{}, {{{"one", "select 1"}, {}}, {{"two", "select 2"}, {}}}, in(5s))));
  EXPECT_FALSE(loop.run(
      pool->atomically(Scope{}, {{{"three", "select 3"}, {}}, {{"four", "select 1 / 0"}, {}}}, in(5s))));
  EXPECT_FALSE(loop.run(pool->query(Scope{}, kSleep, {}, in(50ms))));
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "two", "three", "four postgres.invalid_value",
                                            "sleep postgres.timeout"}));
}

TEST_F(PoolTest, closed_pool_fails_what_runs_and_what_comes) {
  auto running = loop.start(pool->query(Scope{}, kSleep, {}, in(30s)));
  ASSERT_TRUE(loop.until([&] { return pool->open_connections() == 1; }));
  pool->close();
  EXPECT_TRUE(loop.finish(running).error().is(errors::unavailable));
  EXPECT_TRUE(query("select 1").error().is(errors::unavailable));
  EXPECT_EQ(pool->open_connections(), 0u);
}

TEST_F(PoolTest, ping_holds_with_and_without_free_connections) {
  limit_connections(1);
  EXPECT_TRUE(loop.run(pool->ping(in(5s))));
  auto holder = loop.run(pool->begin(Scope{}, in(10s)));
  EXPECT_TRUE(loop.run(pool->ping(in(5s))));
}

}  // namespace
}  // namespace intra365::postgres::testing
