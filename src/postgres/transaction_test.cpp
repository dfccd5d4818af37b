// Transactions against a real server: what is stored, and what never is.
#include <boost/asio/bind_cancellation_slot.hpp>

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

class TransactionTest : public DatabaseTest {
 protected:
  void SetUp() override {
    pool = loop.pool(dsn, [](PoolOptions& options) { options.max_connections = 1; });
    execute("create table t (id int primary key)");
  }
  Result<Transaction> begin(std::chrono::milliseconds limit = 10s) {
    return loop.run(pool->begin(Scope{"red"}, in(limit)));
  }
  Result<Rows> add(Transaction& transaction, int id) {
    return loop.run(transaction.query(Query{"add", "insert into t values ($1)"}, postgres::bind(id)));
  }
  std::string count() { return value("select count(*) from t"); }
};

TEST_F(TransactionTest, commit_stores_what_its_statements_did) {
  auto transaction = begin();
  ASSERT_TRUE(transaction);
  ASSERT_TRUE(add(*transaction, 1));
  const auto more = loop.run(transaction->pipeline(
      {{{"add", "insert into t values ($1)"}, postgres::bind(2)}, {{"n", "select count(*) from t"}, {}}}));
  ASSERT_TRUE(more) << more.error().detail;
  EXPECT_EQ((*more)[1].value(0, 0), "2");
  ASSERT_TRUE(loop.run(transaction->commit()));
  EXPECT_EQ(count(), "2");
  EXPECT_FALSE(add(*transaction, 3)) << "it has ended";
}

TEST_F(TransactionTest, dropped_without_commit_is_rolled_back_before_the_connection_is_used_again) {
  {
    auto transaction = begin();
    ASSERT_TRUE(add(*transaction, 1));
  }
  EXPECT_EQ(count(), "0");
  EXPECT_EQ(pool->open_connections(), 1u);
}

TEST_F(TransactionTest, moved_transaction_rolls_back_once) {
  auto first = begin();
  ASSERT_TRUE(add(*first, 1));
  Transaction second = std::move(*first);
  ASSERT_TRUE(add(second, 2));
  ASSERT_TRUE(loop.run(second.rollback()));
  EXPECT_EQ(count(), "0");
}

TEST_F(TransactionTest, failed_statement_fails_the_transaction_and_its_commit) {
  auto transaction = begin();
  ASSERT_TRUE(add(*transaction, 1));
  EXPECT_TRUE(add(*transaction, 1).error().is(errors::unique_violation));
  EXPECT_FALSE(add(*transaction, 2));
  EXPECT_FALSE(loop.run(transaction->commit()));
  ASSERT_TRUE(loop.run(transaction->rollback()));
  EXPECT_EQ(count(), "0");
}

TEST_F(TransactionTest, deadline_ends_the_statement_and_rolls_back) {
  auto transaction = begin(200ms);
  ASSERT_TRUE(add(*transaction, 1));
  const auto late = loop.run(transaction->query(Query{"sleep", "select pg_sleep(60)"}, {}));
  ASSERT_FALSE(late);
  EXPECT_TRUE(late.error().is(errors::timeout));
  transaction = Transaction();
  EXPECT_EQ(count(), "0");
  EXPECT_EQ(pool->open_connections(), 1u);
}

TEST_F(TransactionTest, coroutine_cancelled_in_the_middle_rolls_back) {
  asio::cancellation_signal stop;
  bool inserted = false, ended = false;
  const auto work = [](Pool& pool, bool& inserted) -> Task<> {
    CO_TRY(auto transaction, co_await pool.begin(Scope{}, in(20s)));
    CO_CHECK(co_await transaction.query(Query{"add", "insert into t values (1)"}, Parameters{}));
    inserted = true;
    CO_CHECK(co_await transaction.query(Query{"sleep", "select pg_sleep(60)"}, Parameters{}));
    co_return co_await transaction.commit();
  };
  asio::co_spawn(
      loop.io, contain(work(*pool, inserted)),
      asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr, Result<void>) { ended = true; }));
  ASSERT_TRUE(loop.until([&] { return inserted; }));
  stop.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(loop.until([&] { return ended; }));
  EXPECT_EQ(count(), "0");
}

TEST_F(TransactionTest, script_runs_inside_it_and_may_not_end_it) {
  {
    auto transaction = begin();
    ASSERT_TRUE(loop.run(transaction->execute("insert into t values (1); insert into t values (2)")));
    ASSERT_TRUE(add(*transaction, 3));
    EXPECT_EQ(loop.run(transaction->query(Query{"tenant", "select current_setting('intra365.tenant')"}, {}))
                  ->value(0, 0),
              "red");
    ASSERT_TRUE(loop.run(transaction->commit()));
  }
  EXPECT_EQ(count(), "3");
  auto ending = begin();
  EXPECT_FALSE(loop.run(ending->execute("commit")));
  EXPECT_FALSE(loop.run(ending->commit()));
}

TEST_F(TransactionTest, empty_transaction_commits_without_a_word) {
  auto transaction = begin();
  EXPECT_TRUE(loop.run(transaction->commit()));
  EXPECT_EQ(count(), "0");
}

TEST_F(TransactionTest, lost_connection_fails_it_and_nothing_is_stored) {
  auto transaction = begin();
  ASSERT_TRUE(add(*transaction, 1));
  PostgresServer::shared().execute(
      "postgres",
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + database + "'");
  const auto lost = add(*transaction, 2);
  ASSERT_FALSE(lost);
  EXPECT_TRUE(lost.error().is(errors::unavailable)) << lost.error().detail;
  EXPECT_EQ(loop.run(transaction->commit()).has_value(), false);
  transaction = Transaction();
  EXPECT_TRUE(loop.until([&] { return count() == "0"; }));
}

TEST_F(TransactionTest, pool_may_go_before_its_transaction) {
  auto transaction = begin();
  ASSERT_TRUE(add(*transaction, 1));
  pool.reset();
  EXPECT_TRUE(add(*transaction, 2).error().is(errors::unavailable));
}

}  // namespace
}  // namespace intra365::postgres::testing
