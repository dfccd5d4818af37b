// Reads from a real standby, and who answers when it is behind, away, frozen or promoted.
#include "postgres/read_pool.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

constexpr Query kCount{"count", "select count(*)::text from things"};
constexpr Query kWho{"who", "select pg_is_in_recovery()::text"};

class ReadPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    primary_.execute("postgres", "CREATE TABLE things (id int PRIMARY KEY)");
    standby_.emplace(PostgresServer::StandbyOf{primary_});
    pool_ = loop_.pool(primary_.dsn());
    ReadPoolOptions options;
    options.poll = 10ms;
    options.standbys.emplace_back();
    options.standbys.back().dsn = standby_->dsn();
    options.standbys.back().connect_timeout = 500ms;
    reads_ = std::make_unique<ReadPool>(loop_.io.get_executor(), *pool_, std::move(options));
    asio::co_spawn(
        loop_.io, reads_->watch(),
        asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr, auto) { stopped_ = true; }));
    // As soon as it has caught up it answers.
    ASSERT_TRUE(loop_.until([&] { return read(kWho, 1s) == "true"; }));
  }
  void TearDown() override {
    stop_.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(loop_.until([&] { return stopped_; }));
  }

  std::string read(const Query& query, std::chrono::milliseconds at_most, Lsn at_least = {}) {
    const auto rows = loop_.run(reads_->query(Scope{}, query, {}, Freshness(at_most, at_least), in(10s)));
    return rows ? std::string(*rows->value(0, 0)) : rows.error().code;
  }
  void replay(bool on) {
    standby_->execute("postgres", on ? "SELECT pg_wal_replay_resume()" : "SELECT pg_wal_replay_pause()");
    if (!on) {
      while (standby_->execute("postgres", "SELECT pg_get_wal_replay_pause_state()").at(0) != "paused")
        ::usleep(5'000);
    }
  }

  PostgresServer primary_{PostgresServer::Fsync::off};
  std::optional<PostgresServer> standby_;
  Loop loop_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<ReadPool> reads_;
  asio::cancellation_signal stop_;
  bool stopped_ = false;
};

TEST_F(ReadPoolTest, an_answer_is_never_older_than_its_bound) {
  replay(false);
  for (int i = 1; i <= 30; ++i) {
    primary_.execute("postgres", "INSERT INTO things VALUES (" + std::to_string(i) + ")");
    // The write is 100 ms old, the bound is 50 ms: it must be seen, and the standby has not got it.
    const auto later = in(100ms);
    ASSERT_TRUE(loop_.until([&] { return std::chrono::steady_clock::now() > later; }));
    ASSERT_EQ(read(kCount, 50ms), std::to_string(i));
  }
  EXPECT_EQ(read(kWho, 50ms), "false") << "the primary answers";
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 1h) == "true"; })) << "for a wider bound it is good enough";
  EXPECT_GT(reads_->counts().behind, 0u);
  replay(true);
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 50ms) == "true"; })) << "it caught up";
  EXPECT_EQ(read(kCount, 200ms), "30");
}

TEST_F(ReadPoolTest, one_sees_what_one_wrote) {
  replay(false);
  primary_.execute("postgres", "INSERT INTO things VALUES (1)");
  const auto position = loop_.run(reads_->position(in(5s)));
  ASSERT_TRUE(position);
  EXPECT_EQ(read(kCount, 10s, *position), "1") << "however old it may be otherwise";
  replay(true);
}

TEST_F(ReadPoolTest, a_standby_that_is_away_or_frozen_is_left_out) {
  standby_->pause();
  const auto begun = std::chrono::steady_clock::now();
  const auto rows = loop_.run(reads_->query(Scope{}, kWho, {}, Freshness(1s), in(1s)));
  ASSERT_TRUE(rows) << rows.error().code;
  EXPECT_EQ(*rows->value(0, 0), "false");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s) << "the primary had its share of the time";
  standby_->resume();
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 1s) == "true"; }));
  standby_->kill();
  EXPECT_EQ(read(kWho, 1s), "false");
  standby_->restart();
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 1s) == "true"; }));
}

TEST_F(ReadPoolTest, a_standby_that_was_promoted_answers_no_more) {
  standby_->execute("postgres", "SELECT pg_promote()");
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 1s) == "false"; }));
  primary_.execute("postgres", "INSERT INTO things VALUES (1)");
  EXPECT_EQ(read(kCount, 1s), "1") << "though the other takes writes of its own";
}

TEST_F(ReadPoolTest, without_the_primary_nothing_is_known_of_freshness) {
  primary_.kill();
  const auto later = in(400ms);
  ASSERT_TRUE(loop_.until([&] { return std::chrono::steady_clock::now() > later; }));
  EXPECT_EQ(read(kWho, 100ms), errors::unavailable.code) << "rather than an answer of unknown age";
  primary_.restart();
  ASSERT_TRUE(loop_.until([&] { return read(kWho, 1s) == "true"; }));
}

/// Two standbys, of which the one that has heard less takes over: the other has commits that never happened.
TEST(ReadPoolFailover, a_standby_of_the_old_primary_does_not_answer_for_the_new_one) {
  PostgresServer primary{PostgresServer::Fsync::off};
  primary.execute("postgres", "CREATE TABLE things (id int PRIMARY KEY)");
  PostgresServer heir(PostgresServer::StandbyOf{primary}), other(PostgresServer::StandbyOf{primary});
  Loop loop;
  auto dsn = primary.dsn();
  dsn.insert(dsn.find('/', dsn.find("127.0.0.1:")), ",127.0.0.1:" + std::to_string(heir.port()));
  const auto pool = loop.pool(dsn + "?target_session_attrs=read-write");
  ReadPoolOptions options;
  options.poll = 10ms;
  options.standbys.emplace_back();
  options.standbys.back().dsn = other.dsn();
  ReadPool reads(loop.io.get_executor(), *pool, std::move(options));
  asio::cancellation_signal stop;
  bool stopped = false;
  asio::co_spawn(
      loop.io, reads.watch(),
      asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr, auto) { stopped = true; }));
  const auto read = [&](const Query& query) {
    const auto rows = loop.run(reads.query(Scope{}, query, {}, Freshness(100ms), in(10s)));
    return rows ? std::string(*rows->value(0, 0)) : rows.error().code;
  };
  ASSERT_TRUE(loop.until([&] { return read(kWho) == "true"; })) << "the standby answers";

  heir.cut_off();
  primary.execute("postgres", "INSERT INTO things SELECT generate_series(1, 5000)");
  ASSERT_TRUE(
      loop.until([&] { return other.execute("postgres", "SELECT count(*) FROM things").at(0) == "5000"; }));
  primary.kill();
  heir.promote();
  ASSERT_TRUE(loop.until([&] { return loop.run(pool->ping(in(1s))).has_value(); }));
  ASSERT_TRUE(loop.run(pool->execute("INSERT INTO things VALUES (-1)", in(5s))));
  const auto until = in(1500ms);
  ASSERT_TRUE(loop.until([&] {
    const auto count = read(kCount);
    EXPECT_TRUE(count == "1" || count == "postgres.unavailable") << count;
    return std::chrono::steady_clock::now() > until;
  }));
  EXPECT_EQ(read(kWho), "false") << "nobody follows the new primary";
  stop.emit(asio::cancellation_type::terminal);
  EXPECT_TRUE(loop.until([&] { return stopped; }));
}

}  // namespace
}  // namespace intra365::postgres::testing
