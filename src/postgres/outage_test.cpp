// What callers see while the server is away, and that the pool comes back by itself.
#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

using std::chrono::steady_clock;

constexpr Query kOne{"one", "select 1"};

void mend_quickly(PoolOptions& options) {
  options.reconnect_wait = 5ms;
  options.reconnect_wait_max = 100ms;
}

TEST(Outage, nobody_listening_fails_at_once_and_later_calls_too) {
  Loop loop;
  const auto pool =
      loop.pool("host=127.0.0.1 port=1 dbname=x user=x password=hunter2 sslmode=disable", mend_quickly);
  for (int i = 0; i < 20; ++i) {
    const auto start = steady_clock::now();
    const auto outcome = loop.run(pool->query(Scope{}, kOne, {}, in(30s)));
    ASSERT_FALSE(outcome);
    EXPECT_TRUE(outcome.error().is(errors::unavailable));
    EXPECT_EQ(outcome.error().detail.find("hunter2"), std::string::npos);
    EXPECT_LT(steady_clock::now() - start, 2s);
  }
  EXPECT_FALSE(loop.run(pool->ping(in(5s))));
}

TEST(Outage, name_that_does_not_resolve_and_bad_string_are_unavailable) {
  Loop loop;
  EXPECT_TRUE(loop.run(loop.pool("host=db.invalid user=x")->query(Scope{}, kOne, {}, in(20s)))
                  .error()
                  .is(errors::unavailable));
  const auto pool = loop.pool("what is this");
  EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(20s))).error().is(errors::unavailable));
}

TEST(Outage, host_names_are_resolved) {
  auto dsn = PostgresServer::shared().dsn();
  const auto at = dsn.find("127.0.0.1");
  ASSERT_NE(at, std::string::npos);
  dsn.replace(at, 9, "localhost");
  Loop loop;
  const auto pool = loop.pool(dsn);
  EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(10s))));
}

TEST(Outage, wrong_password_says_so_without_it) {
  Loop loop;
  auto dsn = "host=127.0.0.1 port=" + std::to_string(PostgresServer::shared().port()) +
             " dbname=postgres user=postgres password=hunter2";
  const auto outcome = loop.run(loop.pool(dsn)->query(Scope{}, kOne, {}, in(10s)));
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().detail.find("password authentication failed"), std::string::npos)
      << outcome.error().detail;
  EXPECT_EQ(outcome.error().detail.find("hunter2"), std::string::npos);
}

/// Asks again and again until told to stop; notes how the calls ended and the longest of them.
struct Load {
  std::size_t good = 0, bad = 0;
  bool stop = false;
  std::string wrong_code;
  steady_clock::duration longest{};

  Task<> run(Pool& pool) {
    while (!stop) {
      const auto start = steady_clock::now();
      auto outcome = co_await pool.query(Scope{"red"}, kOne, Parameters{}, in(20s));
      longest = std::max(longest, steady_clock::now() - start);
      if (outcome) {
        ++good;
        continue;
      }
      ++bad;
      if (!outcome.error().is(errors::unavailable))
        wrong_code = outcome.error().code + ": " + outcome.error().detail;
      co_await sleep_for(1ms);  // a failing call ends at once; do not spin
    }
    co_return Result<void>{};
  }
};

TEST(Outage, killed_server_fails_calls_fast_and_the_pool_recovers_by_itself) {
  PostgresServer server;
  Loop loop;
  const auto pool = loop.pool(server.dsn(), mend_quickly);
  Load load;
  std::vector<Loop::Pending<void>> workers;
  for (int i = 0; i < 16; ++i) workers.push_back(loop.start(load.run(*pool)));
  for (int round = 0; round < 2; ++round) {
    load.good = 0;
    ASSERT_TRUE(loop.until([&] { return load.good > 500; }));
    server.kill();
    load.bad = 0;
    ASSERT_TRUE(loop.until([&] { return load.bad > 200; }));
    EXPECT_EQ(pool->open_connections(), 0u);
    server.restart();
    load.longest = {};
    load.good = 0;
    ASSERT_TRUE(loop.until([&] { return load.good > 500; })) << load.wrong_code;
  }
  load.stop = true;
  for (const auto& worker : workers) EXPECT_TRUE(loop.finish(worker));
  EXPECT_EQ(load.wrong_code, "");
  EXPECT_EQ(pool->open_connections(), 4u);
}

TEST(Outage, call_in_flight_fails_at_once_when_the_server_dies) {
  PostgresServer server;
  Loop loop;
  const auto pool = loop.pool(server.dsn(), mend_quickly);
  auto sleeping = loop.start(pool->query(Scope{}, Query{"sleep", "select pg_sleep(60)"}, {}, in(60s)));
  ASSERT_TRUE(loop.until([&] { return pool->open_connections() == 1; }));
  server.kill();
  const auto start = steady_clock::now();
  EXPECT_TRUE(loop.finish(sleeping).error().is(errors::unavailable));
  EXPECT_LT(steady_clock::now() - start, 2s);
}

TEST(Outage, idle_connections_of_a_restarted_server_are_noticed_before_they_are_used) {
  PostgresServer server;
  Loop loop;
  const auto pool = loop.pool(server.dsn(), mend_quickly);
  ASSERT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(10s))));
  server.restart();
  // The loop sees the end of the old connection and makes a new one without being asked.
  ASSERT_TRUE(loop.until([&] { return pool->open_connections() == 0; }));
  ASSERT_TRUE(loop.until([&] { return pool->open_connections() == 1; }));
  EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(10s))));
}

TEST(Outage, frozen_server_times_out_and_neither_the_loop_nor_the_end_of_the_pool_waits_for_it) {
  PostgresServer server;
  Loop loop;
  auto pool = loop.pool(server.dsn(), mend_quickly);
  ASSERT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(10s))));
  server.pause();
  const auto start = steady_clock::now();
  EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(100ms))).error().is(errors::timeout));
  EXPECT_LT(steady_clock::now() - start, 2s);
  // The connection that does not answer the cancel request is closed, not used again.
  EXPECT_TRUE(loop.until([&] { return pool->open_connections() == 0; }));
  const auto closing = steady_clock::now();
  pool.reset();
  EXPECT_LT(steady_clock::now() - closing, 1s);
  server.resume();
}

TEST(Outage, frozen_server_fails_new_callers_after_one_connection_attempt) {
  PostgresServer server;
  Loop loop;
  server.pause();
  const auto pool = loop.pool(server.dsn(), [](PoolOptions& options) {
    mend_quickly(options);
    options.connect_timeout = 200ms;
  });
  const auto start = steady_clock::now();
  EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(30s))).error().is(errors::unavailable));
  EXPECT_LT(steady_clock::now() - start, 3s);
  server.resume();
  EXPECT_TRUE(loop.until([&] { return pool->open_connections() == 1; }));
}

}  // namespace
}  // namespace intra365::postgres::testing
