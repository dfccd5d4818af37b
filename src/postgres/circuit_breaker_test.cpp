// When a server that does not answer is asked no more, and when again.
#include "postgres/circuit_breaker.hpp"

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

using std::chrono::steady_clock;
using State = CircuitBreaker::State;

struct Breaker : ::testing::Test {
  CircuitBreaker breaker{{3, 1000ms, 100ms, 300ms}};
  SteadyTime now{1h};
};

TEST_F(Breaker, opens_after_failures_in_a_row_and_silence) {
  breaker.answered(now);
  EXPECT_FALSE(breaker.unanswered(now += 500ms));
  EXPECT_FALSE(breaker.unanswered(now += 400ms));
  EXPECT_FALSE(breaker.unanswered(now += 50ms)) << "it was heard less than a second ago";
  EXPECT_TRUE(breaker.unanswered(now += 60ms));
  EXPECT_EQ(breaker.state(), State::open);
}

TEST_F(Breaker, any_answer_starts_the_count_anew) {
  breaker.answered(now);
  EXPECT_FALSE(breaker.unanswered(now += 2s));
  EXPECT_FALSE(breaker.unanswered(now += 2s));
  breaker.answered(now);
  EXPECT_FALSE(breaker.unanswered(now += 2s));
  EXPECT_EQ(breaker.state(), State::closed);
}

TEST_F(Breaker, waits_longer_after_each_trial_that_fails_and_closes_with_an_answer) {
  breaker.answered(now);
  for (int i = 0; i < 3; ++i) breaker.unanswered(now += 1s);
  EXPECT_EQ(breaker.open_for(), 100ms);
  breaker.try_again();
  EXPECT_EQ(breaker.state(), State::half_open);
  breaker.still_away();
  EXPECT_EQ(breaker.open_for(), 200ms);
  breaker.still_away();
  EXPECT_EQ(breaker.open_for(), 300ms) << "the longest";
  breaker.answered(now);
  EXPECT_EQ(breaker.state(), State::closed);
  EXPECT_EQ(breaker.open_for(), 100ms);
}

TEST_F(Breaker, may_be_switched_off) {
  CircuitBreaker never({0, 0ms, 1ms, 1ms});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(never.unanswered(now += 1s));
}

constexpr Query kOne{"one", "select 1"};

TEST(Circuit, a_server_that_hangs_is_found_out_once_and_then_calls_fail_at_once_until_it_answers) {
  PostgresServer server(PostgresServer::Fsync::off);
  Loop loop;
  const auto pool = loop.pool(server.dsn(), [](PoolOptions& options) {
    options.breaker = {3, 300ms, 50ms, 200ms};
    options.connect_timeout = 300ms;
  });
  const auto ask = [&](std::chrono::milliseconds patience) {
    return loop.run(pool->query(Scope{}, kOne, {}, in(patience)));
  };
  ASSERT_TRUE(ask(10s));
  server.pause();
  ASSERT_TRUE(loop.until([&] {
    EXPECT_FALSE(ask(150ms));
    return !pool->reachable();
  }));
  for (int i = 0; i < 50; ++i) {
    const auto begun = steady_clock::now();
    const auto refused = ask(20s);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(errors::unavailable)) << refused.error().code;
    EXPECT_LT(steady_clock::now() - begun, 100ms) << "nobody waits for a server that is known to be away";
  }
  EXPECT_FALSE(loop.run(pool->ping(in(5s))));
  server.resume();
  ASSERT_TRUE(loop.until([&] { return pool->reachable(); })) << "tried again by itself";
  EXPECT_TRUE(ask(10s));
}

TEST(Circuit, slow_statements_do_not_open_it_while_others_are_answered) {
  Loop loop;
  const auto pool = loop.pool(PostgresServer::shared().dsn(), [](PoolOptions& options) {
    options.breaker = {3, 100ms, 50ms, 200ms};
  });
  for (int i = 0; i < 8; ++i) {
    EXPECT_FALSE(loop.run(pool->query(Scope{}, Query{"slow", "select pg_sleep(60)"}, {}, in(60ms))));
    EXPECT_TRUE(loop.run(pool->query(Scope{}, kOne, {}, in(10s))));
    EXPECT_TRUE(pool->reachable());
  }
}

}  // namespace
}  // namespace intra365::postgres::testing
