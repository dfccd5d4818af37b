// The whole way from tables to the stream on real servers, and what remains true when any of the three is
// killed.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <random>

#include "cdc/feed_test_support.hpp"
#include "cdc/transactions.hpp"

namespace intra365::cdc {
namespace {

using namespace testing;

/// A process of its own that ends with us.
template <class Body>
pid_t fork_child(Body body) {
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  body();
  ::_exit(0);
}

void end_child(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

/// Runs a feed until the process is killed.
void run_feed(const std::string& nats_url, const std::string& dsn) {
  asio::io_context io(1);
  nats::Options options;
  options.urls = {nats_url};
  options.reconnect_wait = 10ms;
  options.reconnect_wait_max = 100ms;
  nats::Connection connection(io.get_executor(), options);
  nats::JetStream jetstream(connection, 2s);
  auto feed_options = testing::feed_options(dsn);
  // The tests have teeth where they fail without the acknowledgement of what is stored.
  const char* broken = std::getenv("INTRA365_CDC_BREAK");
  if (broken != nullptr && std::string_view(broken) == "acknowledge")
    feed_options.acknowledge = Acknowledge::when_taken;
  Feed feed(jetstream, feed_options);
  asio::co_spawn(
      io,
      [](nats::Connection& connection, Feed& feed) -> Task<> {
        while (!co_await connection.connect(in(1s))) co_await sleep_for(50ms);
        co_return co_await feed.run();
      }(connection, feed),
      asio::detached);
  io.run();
}

/// Changes rows as fast as it can, each transaction with a journal of what it did, until it is killed.
void write_rows(PostgresServer& server, const std::string& database, unsigned seed) {
  std::mt19937 random(seed);
  for (;; ::usleep(2000)) {
    // Mostly small ones; now and then one that does not fit into one batch.
    const int rows = random() % 50 == 0 ? 2500 : 1 + static_cast<int>(random() % 20);
    const auto sql =
        "BEGIN; INSERT INTO journal (note) SELECT 'row ' || n FROM generate_series(1, " +
        std::to_string(rows) + ") n; INSERT INTO things SELECT n % 50, n FROM generate_series(" +
        std::to_string(random() % 50) +
        ", 50) n ON CONFLICT (id) DO UPDATE SET value = things.value + 1; DELETE FROM things WHERE id = " +
        std::to_string(random() % 50) + "; COMMIT";
    try {
      server.execute(database, sql);
    } catch (const std::exception&) {
      ::usleep(20'000);  // the server was killed
    }
  }
}

class FeedTest : public FeedServers {
 protected:
  std::set<std::string> column(const std::string& query) {
    const auto values = postgres_.execute(database_, query);
    return {values.begin(), values.end()};
  }

  /// Everything in the stream, in its order.
  std::vector<boost::json::object> read_stream(std::size_t at_least) {
    std::vector<boost::json::object> changes;
    nats::testing::Loop loop;
    const auto connection = loop.connect(nats_.url());
    nats::JetStream jetstream(*connection, 5s);
    nats::ConsumerConfig consumer;
    consumer.durable_name = "check";
    consumer.filter_subjects = {"change.row.>"};
    consumer.ack_policy = "none";
    EXPECT_TRUE(loop.run([](nats::JetStream& js, nats::ConsumerConfig config) -> Task<> {
      static_cast<void>(co_await js.delete_consumer("CHANGES", "check"));
      co_return co_await js.ensure_consumer("CHANGES", config);
    }(jetstream, consumer)));
    for (int empty = 0; empty < 2;) {
      auto fetched = loop.run(jetstream.fetch("CHANGES", "check", 1000, 500ms, nats::FetchUntil::available));
      EXPECT_TRUE(fetched) << fetched.error().detail;
      if (!fetched) break;
      empty = fetched->empty() && changes.size() >= at_least ? empty + 1 : 0;
      for (const auto& one : *fetched)
        changes.push_back(boost::json::parse(one.message.payload()).as_object());
      if (fetched->empty() && ++idle_ > 100) break;
    }
    return changes;
  }

  /// Each change once, in the order of the log; together they are what the tables hold.
  void check(const std::vector<boost::json::object>& changes) {
    std::set<std::string> journal;
    std::map<std::int64_t, std::int64_t> things;
    std::pair<std::uint64_t, std::uint64_t> last;
    for (const auto& change : changes) {
      const std::string id(change.at("id").as_string());
      const auto index_at = id.rfind('.'), commit_at = id.rfind('.', index_at - 1);
      const std::pair<std::uint64_t, std::uint64_t> here{
          std::stoull(id.substr(commit_at + 1, index_at - commit_at - 1), nullptr, 16),
          std::stoull(id.substr(index_at + 1))};
      ASSERT_GT(here, last) << id << ": twice, or out of order";
      last = here;
      const auto& key = change.at("key").as_object();
      if (change.at("table") == "journal") {
        journal.insert(std::to_string(key.at("id").to_number<std::int64_t>()));
      } else if (change.at("operation") == "delete") {
        ASSERT_EQ(things.erase(key.at("id").to_number<std::int64_t>()), 1u) << id;
      } else {
        things[key.at("id").to_number<std::int64_t>()] =
            change.at("row").as_object().at("value").to_number<std::int64_t>();
      }
    }
    const auto written = column("SELECT id FROM journal");
    std::vector<std::string> lost, invented;
    std::ranges::set_difference(written, journal, std::back_inserter(lost));
    std::ranges::set_difference(journal, written, std::back_inserter(invented));
    EXPECT_TRUE(lost.empty()) << lost.size() << " of " << written.size() << " are missing, first "
                              << lost.front();
    EXPECT_TRUE(invented.empty()) << invented.size() << " are in no table, first " << invented.front();
    std::set<std::string> replayed;
    for (const auto& [id, value] : things) replayed.insert(std::to_string(id) + "=" + std::to_string(value));
    EXPECT_EQ(replayed, column("SELECT id || '=' || value FROM things"));
  }

  /// A reader in a process of its own, which may be waiting for the slot still.
  pid_t restart_feed() {
    return fork_child([&] { run_feed(nats_.url(), postgres_.dsn(database_)); });
  }
  /// One that has the slot: what is written from here on is told as a change.
  pid_t start_feed() {
    const auto feed = restart_feed();
    while (column("SELECT 1 FROM pg_replication_slots WHERE active").empty()) ::usleep(10'000);
    return feed;
  }

  int idle_ = 0;
};

TEST_F(FeedTest, every_committed_row_is_told_once_in_order) {
  const auto feed = start_feed();
  sql("INSERT INTO journal (note) VALUES ('one'), ('two')");
  sql("BEGIN; INSERT INTO journal (note) VALUES ('never'); ROLLBACK");
  sql("INSERT INTO things VALUES (1, 1); UPDATE things SET value = 2; DELETE FROM things");
  sql("INSERT INTO journal (note) SELECT 'many' FROM generate_series(1, 5000)");
  const auto changes = read_stream(5005);
  EXPECT_EQ(changes.size(), 5005u);
  check(changes);
  end_child(feed);
}

TEST_F(FeedTest, consumers_may_take_whole_transactions_only) {
  auto feed = start_feed();
  sql("BEGIN; INSERT INTO journal (note) VALUES ('a'), ('b'); INSERT INTO things VALUES (1, 1); COMMIT");
  sql("INSERT INTO journal (note) SELECT 'many' FROM generate_series(1, 5000)");
  ::usleep(20'000);
  end_child(feed);  // perhaps between two pieces
  feed = restart_feed();
  sql("INSERT INTO things VALUES (2, 2)");

  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 5s);
  const auto sizes = [&](std::size_t wanted) {
    TransactionConsumer::Options options;
    options.durable = "whole";
    options.assembler.slot = "changes";
    TransactionConsumer consumer(jetstream, options);
    const auto started = loop.run(consumer.start());
    EXPECT_TRUE(started) << started.error().detail;
    std::vector<std::size_t> seen;
    for (int empty = 0; seen.size() < wanted && empty < 20;) {
      const auto next = loop.run(consumer.next(1s));
      EXPECT_TRUE(next) << next.error().detail;
      if (!next) break;
      if (next->empty()) ++empty;
      for (const auto& one : *next) seen.push_back(one.changes.size());
      consumer.acknowledge();
    }
    EXPECT_TRUE(loop.run(connection->flush(in(5s))));
    return seen;
  };
  EXPECT_EQ(sizes(3), (std::vector<std::size_t>{3, 5000, 1}));
  sql("INSERT INTO things VALUES (3, 3), (4, 4)");
  EXPECT_EQ(sizes(1), (std::vector<std::size_t>{2})) << "what was acknowledged does not come again";
  end_child(feed);
}

TEST_F(FeedTest, consumers_get_again_in_order_what_nobody_acknowledged) {
  const auto feed = start_feed();
  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 5s);
  TransactionConsumer::Options options;
  options.durable = "whole";
  options.assembler.slot = "changes";
  const auto sizes = [&](TransactionConsumer& consumer, std::size_t wanted) {
    std::vector<std::size_t> seen;
    for (int empty = 0; seen.size() < wanted && empty < 20;) {
      const auto next = loop.run(consumer.next(500ms));
      EXPECT_TRUE(next) << next.error().detail;
      if (!next) break;
      if (next->empty()) ++empty;
      for (const auto& one : *next) seen.push_back(one.changes.size());
    }
    return seen;
  };
  sql("INSERT INTO things VALUES (1, 1)");
  {
    TransactionConsumer consumer(jetstream, options);
    ASSERT_TRUE(loop.run(consumer.start()));
    EXPECT_EQ(sizes(consumer, 1), (std::vector<std::size_t>{1}));
    consumer.acknowledge();
    sql("INSERT INTO journal (note) SELECT 'many' FROM generate_series(1, 3000)");
    EXPECT_EQ(sizes(consumer, 1), (std::vector<std::size_t>{3000}));
  }
  sql("INSERT INTO things VALUES (2, 2), (3, 3)");
  TransactionConsumer consumer(jetstream, options);
  ASSERT_TRUE(loop.run(consumer.start()));
  EXPECT_EQ(sizes(consumer, 2), (std::vector<std::size_t>{3000, 2})) << "not behind what is new";

  // Some of a transaction is lost on the way, as with a connection that breaks: here somebody else takes it.
  const auto before = read_stream(3003).size();
  sql("INSERT INTO journal (note) VALUES ('a'), ('b'), ('c'), ('d')");
  while (read_stream(before + 4).size() < before + 4) continue;
  ASSERT_TRUE(loop.run(jetstream.fetch("CHANGES", "whole", 2, 5s)));
  EXPECT_EQ(sizes(consumer, 1), (std::vector<std::size_t>{4})) << "whole, and not twice what was handed out";
  end_child(feed);
}

TEST_F(FeedTest, whatever_is_killed_no_row_is_lost_or_told_twice) {
  const char* wanted = std::getenv("INTRA365_CDC_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 9;
  std::mt19937 random(std::random_device{}());
  auto feed = start_feed();
  const auto writer = fork_child([&] { write_rows(postgres_, database_, random()); });
  for (int kill = 0; kill < kills; ++kill) {
    ::usleep(50'000 + static_cast<unsigned>(random() % 600'000));
    switch (kill % 3) {
      case 0:
        end_child(feed);
        feed = restart_feed();
        break;
      case 1:
        nats_.kill();
        nats_.restart();
        break;
      default:
        postgres_.kill();
        postgres_.restart();
    }
  }
  end_child(writer);
  while (
      column("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT%' AND state <> 'idle'").size() >
      0)
    ::usleep(10'000);
  const auto rows = column("SELECT id FROM journal").size();
  EXPECT_GT(rows, 100u);
  // Behind the last kill the feed may be a good way back: it is done when it has confirmed what was written.
  const auto end = column("SELECT pg_current_wal_lsn()");
  const auto done = "SELECT 1 FROM pg_replication_slots WHERE confirmed_flush_lsn >= '" + *end.begin() + "'";
  for (int tries = 0; tries < 6000 && column(done).empty(); ++tries) ::usleep(10'000);
  EXPECT_FALSE(column(done).empty()) << "the feed did not come to the end of the log in a minute";
  check(read_stream(rows));
  end_child(feed);
}

TEST_F(FeedTest, what_a_killed_reader_still_had_under_way_does_no_harm) {
  const char* wanted = std::getenv("INTRA365_CDC_TAKEOVERS");
  const int takeovers = wanted != nullptr ? std::atoi(wanted) : 20;
  std::mt19937 random(std::random_device{}());
  auto feed = start_feed();
  for (int takeover = 0; takeover < takeovers; ++takeover) {
    // Many full batches, so that the next reader's are as long as those that arrive late.
    sql("INSERT INTO journal (note) SELECT 'many' FROM generate_series(1, 5000)");
    ::usleep(static_cast<unsigned>(random() % 60'000));
    end_child(feed);
    feed = restart_feed();
    ::usleep(static_cast<unsigned>(random() % 200'000));
  }
  const auto rows = static_cast<std::size_t>(5000 * takeovers);
  check(read_stream(rows));
  end_child(feed);
}

TEST_F(FeedTest, a_process_that_was_replaced_cannot_write_any_more) {
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.state() == FeedState::streaming; }));
  sql("INSERT INTO journal (note) VALUES ('one')");
  ASSERT_TRUE(feed.until_changes(1));
  // Somebody else makes a mark, as a process does that takes over while this one is frozen.
  ASSERT_TRUE(feed.loop().run(feed.jetstream().publish("change.writer.changes", "{}")));
  sql("INSERT INTO journal (note) VALUES ('two')");
  ASSERT_TRUE(feed.until_changes(2)) << "it starts over and goes on";
  EXPECT_THAT(feed.told(), ::testing::Contains(::testing::StartsWith("failed cdc.fenced")));
  feed.stop();
  EXPECT_EQ(feed.state(), FeedState::stopped);
}

TEST_F(FeedTest, what_a_killed_reader_sent_is_refused_even_where_its_numbers_fit) {
  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 5s);
  const auto last = [&](const std::string& subject) {
    const auto stored = loop.run(jetstream.last_stored("CHANGES", subject));
    EXPECT_TRUE(stored) << subject;
    return stored ? stored->sequence : 0;
  };
  std::uint64_t first_writer = 0;
  for (int reader = 0; reader < 2; ++reader) {
    const auto feed = start_feed();
    sql("INSERT INTO journal (note) VALUES ('one')");
    EXPECT_EQ(read_stream(static_cast<std::size_t>(reader) + 1).size(), static_cast<std::size_t>(reader) + 1);
    end_child(feed);
    if (reader == 0) first_writer = last("change.writer.changes");
  }
  const auto publish = [&](std::uint64_t writer) {
    std::vector<nats::Outgoing> batch(2);
    batch[0].subject = "change.row.journal.-.0";
    batch[0].headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(writer));
    batch[0].headers.add("Nats-Expected-Last-Subject-Sequence-Subject", "change.writer.changes");
    batch[1].subject = "change.cursor.changes";
    batch[1].headers.add("Nats-Expected-Last-Subject-Sequence",
                         std::to_string(last("change.cursor.changes")));
    return loop.run(jetstream.publish_batch(batch));
  };
  const auto late = publish(first_writer);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "jetstream.wrong_revision");
  EXPECT_TRUE(publish(last("change.writer.changes"))) << "so it was the writer's mark that did not fit";
}

TEST_F(FeedTest, a_batch_that_fails_while_something_else_is_waited_for_is_not_confirmed) {
  RunningFeed feed(nats_.url(), options());
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  sql("INSERT INTO things VALUES (1, 1)");
  ASSERT_TRUE(feed.until_changes(1));
  nats_.pause();
  const auto sent = feed.connection().statistics().out_messages;
  sql("INSERT INTO things VALUES (2, 2)");
  ASSERT_TRUE(feed.until([&] { return feed.connection().statistics().out_messages > sent; }));
  {
    const OpenTransaction in_the_way(postgres_, database_, "LOCK TABLE pg_publication_rel");
    ASSERT_TRUE(feed.until([&] {
      return !sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'intra365-cdc' AND "
                  "wait_event_type = 'Lock'")
                  .empty();
    })) << "it looks at the publication";
    nats_.kill();
    ASSERT_TRUE(feed.until([&] { return !feed.connection().connected(); }));
  }
  nats_.restart();
  EXPECT_TRUE(feed.until([&] { return stored("change.row.things.>").size() == 2; }));
}

TEST_F(FeedTest, one_that_has_gone_tells_nothing_of_what_it_still_had_under_way) {
  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 2s);
  auto owner = std::make_shared<std::string>("whoever listens");
  const std::weak_ptr<std::string> listens = owner;
  {
    Feed feed(jetstream, options(), [owner = std::move(owner)](std::string_view, std::string_view) {});
    asio::cancellation_signal stop;
    bool stopped = false;
    asio::co_spawn(
        loop.io, feed.run(),
        asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr, auto) { stopped = true; }));
    ASSERT_TRUE(loop.until([&] { return feed.statistics().snapshots == 1; }));
    nats_.pause();
    const auto sent = connection->statistics().out_messages;
    sql("INSERT INTO things VALUES (1, 1)");
    ASSERT_TRUE(loop.until([&] { return connection->statistics().out_messages > sent; }));
    stop.emit(asio::cancellation_type::terminal);
    ASSERT_TRUE(loop.until([&] { return stopped; }));
  }
  EXPECT_TRUE(listens.expired());
  nats_.resume();
  EXPECT_TRUE(loop.until([&] { return stored("change.row.things.>").size() == 1; })) << "it ends by itself";
}

TEST_F(FeedTest, a_log_with_transactions_that_may_not_commit_is_refused) {
  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 2s);
  for (const auto option :
       {&postgres::ReplicationOptions::streaming, &postgres::ReplicationOptions::two_phase}) {
    auto options = this->options();
    options.replication.protocol_version = 3;
    options.replication.*option = true;
    Feed feed(jetstream, options);
    const auto ran = loop.run(feed.run());
    ASSERT_FALSE(ran);
    EXPECT_TRUE(ran.error().is(errors::unsupported_option)) << ran.error().code;
  }
}

TEST_F(FeedTest, a_database_that_has_stopped_raises_an_alarm_and_nothing_is_lost_when_it_goes_on) {
  auto options = this->options();
  options.replication.answer_time = 500ms;
  RunningFeed feed(nats_.url(), options);
  ASSERT_TRUE(feed.until([&] { return feed.statistics().snapshots == 1; }));
  sql("INSERT INTO things VALUES (1, 1)");
  postgres_.pause();
  EXPECT_TRUE(feed.until([&] { return feed.statistics().alarm == postgres::errors::timeout.code; }))
      << feed.statistics().alarm;
  postgres_.resume();
  sql("INSERT INTO things VALUES (2, 2)");
  EXPECT_TRUE(feed.until([&] { return feed.statistics().alarm.empty() && feed.statistics().changes == 2; }));
}

TEST_F(FeedTest, an_idle_database_does_not_outlive_the_marks_in_the_stream) {
  auto forgetful = options();
  forgetful.max_age = 2s;
  RunningFeed feed(nats_.url(), forgetful);
  ASSERT_TRUE(feed.until_told("snapshot_told"));
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(feed.until([&] { return std::chrono::steady_clock::now() > begun + 5s; }));
  for (const auto* mark : {"writer", "cursor", "publication"})
    EXPECT_FALSE(stored("change." + std::string(mark) + ".changes").empty()) << mark;
  sql("INSERT INTO journal (note) VALUES ('one')");
  ASSERT_TRUE(feed.until_changes(1));
  EXPECT_EQ(feed.statistics().restarts, 0u);
  EXPECT_EQ(feed.statistics().snapshots, 1u);
}

TEST_F(FeedTest, a_lost_slot_is_said_and_the_stream_goes_on) {
  auto feed = start_feed();
  sql("INSERT INTO journal (note) VALUES ('one')");
  EXPECT_EQ(read_stream(1).size(), 1u);
  end_child(feed);
  while (!column("SELECT 1 FROM pg_replication_slots WHERE active").empty()) ::usleep(10'000);
  sql("SELECT pg_drop_replication_slot('changes')");
  sql("INSERT INTO journal (note) VALUES ('never told')");
  feed = start_feed();
  sql("INSERT INTO journal (note) VALUES ('two')");
  EXPECT_EQ(read_stream(2).size(), 2u);
  nats::testing::Loop loop;
  const auto connection = loop.connect(nats_.url());
  nats::JetStream jetstream(*connection, 5s);
  EXPECT_TRUE(loop.run(jetstream.last_stored("CHANGES", "change.gap.changes")))
      << "those who follow are told";
  end_child(feed);
}

}  // namespace
}  // namespace intra365::cdc
