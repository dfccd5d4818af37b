// NOTIFY against a real server: in order, with the commit, and honest about what was missed.
#include "postgres/listener.hpp"

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

class ListenerTest : public DatabaseTest {
 protected:
  Listener listener{loop.io.get_executor(), dsn, {"orders", "odd \"name\""}};

  /// The next payload; "begun" where it has begun to listen.
  std::string next() {
    const auto heard = loop.run(listener.next());
    if (!heard) return heard.error().code;
    return *heard ? (*heard)->channel + ":" + (*heard)->payload : "begun";
  }
};

TEST_F(ListenerTest, hears_what_is_committed_in_order_and_nothing_else) {
  EXPECT_EQ(next(), "begun");
  auto transaction = loop.run(pool->begin(Scope{}, in(10s)));
  ASSERT_TRUE(loop.run(transaction->query({"notify", "select pg_notify('orders', 'rolled back')"}, {})));
  ASSERT_TRUE(loop.run(transaction->rollback()));
  for (int i = 0; i < 3; ++i) query("select pg_notify('orders', $1)", postgres::bind(std::to_string(i)));
  query("select pg_notify('others', 'x')");
  query("select pg_notify('odd \"name\"', '')");
  for (const auto* expected : {"orders:0", "orders:1", "orders:2", "odd \"name\":"})
    EXPECT_EQ(next(), expected);
}

TEST_F(ListenerTest, says_so_after_a_lost_connection_and_listens_again) {
  EXPECT_EQ(next(), "begun");
  const auto waiting = loop.start(listener.next());
  loop.io.restart();
  loop.io.run_for(50ms);
  query(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%' and datname = "
      "current_database()");
  const auto heard = loop.finish(waiting);
  ASSERT_TRUE(heard) << heard.error().detail;
  EXPECT_FALSE(heard->has_value()) << "who listens again may have missed something";
  query("select pg_notify('orders', 'later')");
  EXPECT_EQ(next(), "orders:later");
}

TEST_F(ListenerTest, a_deadline_loses_nothing) {
  EXPECT_EQ(next(), "begun");
  EXPECT_TRUE(loop.run(with_deadline(in(30ms), listener.next())).error().is(intra365::errors::deadline));
  query("select pg_notify('orders', 'after')");
  EXPECT_EQ(next(), "orders:after");
}

TEST_F(ListenerTest, says_why_it_is_not_connected) {
  Listener wrong(loop.io.get_executor(), "host=127.0.0.1 port=1 connect_timeout=2", {"x"});
  EXPECT_FALSE(wrong.trouble());
  EXPECT_FALSE(loop.run(with_deadline(in(200ms), wrong.next())));
  ASSERT_TRUE(wrong.trouble());
  EXPECT_TRUE(wrong.trouble()->is(errors::unavailable));
}

TEST_F(ListenerTest, names_that_cannot_be_are_refused) {
  for (const auto& name : {std::string(), std::string(64, 'x'), std::string(1, 0)}) {
    Listener wrong(loop.io.get_executor(), dsn, {name});
    EXPECT_TRUE(loop.run(wrong.next()).error().is(errors::invalid_value));
  }
}

}  // namespace
}  // namespace intra365::postgres::testing
