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

TEST_F(TransactionTest, copied_rows_are_stored_as_they_are_and_with_the_transaction_only) {
  execute("create table texts (id int, text text, list text[], at timestamptz)");
  constexpr Query kCopy{"texts_copy", "copy texts (id, text, list, at) from stdin"};
  const std::vector<std::string> odd = {"tab\tand\nline\rand\\", "\\N", "\\.", "", "\"q\",{x}"};
  const auto pieces = [&](Transaction& transaction) {
    std::uint64_t stored = 0;
    for (int piece = 0; piece < 3; ++piece) {
      CopyRows rows;
      for (const auto& text : odd) rows.add(piece, text, odd, Timestamp(1s));
      rows.add(piece, std::optional<std::string>(), odd, std::optional<Timestamp>());
      const auto copied = loop.run(transaction.copy(kCopy, std::move(rows)));
      EXPECT_TRUE(copied) << copied.error().detail;
      stored += copied.value_or(0);
    }
    return stored;
  };
  {
    auto transaction = begin();
    EXPECT_EQ(pieces(*transaction), 3 * (odd.size() + 1));
    EXPECT_EQ(loop.run(transaction->copy(kCopy, {})).value_or(9), 0u);
  }
  EXPECT_EQ(value("select count(*) from texts"), "0") << "nobody committed";

  auto transaction = begin();
  pieces(*transaction);
  ASSERT_TRUE(loop.run(transaction->commit()));
  EXPECT_EQ(value("select count(*) from texts where text = any($1) and list = $1 and at is not null",
                  postgres::bind(odd)),
            std::to_string(3 * odd.size()));
  EXPECT_EQ(value("select count(*) from texts where text is null and at is null"), "3");
  EXPECT_EQ(pool->open_connections(), 1u) << "a copy leaves nothing behind in its connection";
}

TEST_F(TransactionTest, many_megabytes_are_copied_at_once) {
  execute("create table large (id int, text text)");
  CopyRows rows;
  for (int i = 0; i < 20'000; ++i) rows.add(i, std::string(1000, 'x'));
  auto transaction = begin(30s);
  EXPECT_EQ(loop.run(transaction->copy({"large_copy", "copy large from stdin"}, std::move(rows))).value_or(0),
            20'000u);
  ASSERT_TRUE(loop.run(transaction->commit()));
  EXPECT_EQ(value("select sum(length(text)) from large"), "20000000");
}

TEST_F(TransactionTest, a_copy_that_is_refused_or_given_up_fails_the_transaction_and_not_the_connection) {
  CopyRows twice;
  twice.add(1);
  twice.add(1);
  auto transaction = begin();
  EXPECT_TRUE(loop.run(transaction->copy({"t_copy", "copy t (id) from stdin"}, std::move(twice)))
                  .error()
                  .is(errors::unique_violation));
  EXPECT_FALSE(add(*transaction, 2));
  transaction = Transaction();
  EXPECT_EQ(count(), "0");

  // Somebody else's lock keeps it waiting until its deadline.
  auto other = loop.pool(dsn);
  auto locked = loop.run(other->begin(Scope{}, in(20s)));
  ASSERT_TRUE(loop.run(locked->query({"lock", "lock table t"}, {})));
  auto late = begin(300ms);
  CopyRows rows;
  rows.add(3);
  EXPECT_TRUE(loop.run(late->copy({"t_copy", "copy t (id) from stdin"}, std::move(rows)))
                  .error()
                  .is(errors::timeout));
  *late = Transaction();
  ASSERT_TRUE(loop.run(locked->rollback()));
  EXPECT_EQ(count(), "0");
  EXPECT_EQ(pool->open_connections(), 1u);

  CopyRows text;
  text.add(std::string("nul\0byte", 8));
  auto third = begin();
  EXPECT_TRUE(loop.run(third->copy({"t_copy", "copy t (id) from stdin"}, std::move(text)))
                  .error()
                  .is(errors::invalid_value));
}

TEST_F(TransactionTest, pool_may_go_before_its_transaction) {
  auto transaction = begin();
  ASSERT_TRUE(add(*transaction, 1));
  pool.reset();
  EXPECT_TRUE(add(*transaction, 2).error().is(errors::unavailable));
}

}  // namespace
}  // namespace intra365::postgres::testing
