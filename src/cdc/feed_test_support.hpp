// For tests of the feed: real servers with two tables and a publication, feeds in this process or in one of
// their own, and what the stream holds.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/json/parse.hpp>
#include <set>
#include <thread>

#include "cdc/feed.hpp"
#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::cdc::testing {

using namespace std::chrono_literals;
using intra365::testing::NatsServer;
using intra365::testing::PostgresServer;
using nats::testing::in;

inline constexpr auto kNatsConfig = "jetstream { store_dir: $STORE_DIR, sync_interval: always }\n";

inline FeedOptions feed_options(const std::string& dsn) {
  FeedOptions options;
  options.replication.dsn = dsn;
  options.replication.slot = "changes";
  options.replication.publication = "changes";
  options.replication.status_interval = 100ms;
  options.retry_pause = 50ms;
  options.publication_interval = 50ms;
  options.snapshot_patience = 300ms;
  options.snapshot_retry = 100ms;
  return options;
}

/// A feed in this process, with all that it told.
class RunningFeed {
 public:
  RunningFeed(const std::string& nats_url, FeedOptions options)
      : connection_(loop_.connect(nats_url)),
        jetstream_(*connection_, 2s),
        feed_(jetstream_, std::move(options), [this](std::string_view event, std::string_view detail) {
          told_.push_back(std::string(event) + " " + std::string(detail));
        }) {
    asio::co_spawn(
        loop_.io, feed_.run(),
        asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr, auto) { stopped_ = true; }));
  }
  ~RunningFeed() { stop(); }

  void stop() {
    if (stopped_) return;
    asio::post(loop_.io, [this] { stop_.emit(asio::cancellation_type::terminal); });
    EXPECT_TRUE(loop_.until([this] { return stopped_; }));
  }
  bool until(const std::function<bool()>& holds) { return loop_.until(holds); }
  /// Until it told something that begins so.
  bool until_told(const std::string& beginning) {
    return loop_.until([&] {
      return std::ranges::any_of(told_, [&](const auto& one) { return one.starts_with(beginning); });
    });
  }
  bool until_changes(std::uint64_t changes) {
    return loop_.until([&] { return statistics().changes >= changes; });
  }
  FeedState state() const { return feed_.state(); }
  FeedStatistics statistics() const { return feed_.statistics(); }
  const std::vector<std::string>& told() const { return told_; }
  nats::JetStream& jetstream() { return jetstream_; }
  nats::Connection& connection() { return *connection_; }
  nats::testing::Loop& loop() { return loop_; }

 private:
  nats::testing::Loop loop_;
  std::unique_ptr<nats::Connection> connection_;
  nats::JetStream jetstream_;
  std::vector<std::string> told_;
  asio::cancellation_signal stop_;
  bool stopped_ = false;
  Feed feed_;
};

/// What takes from the stream, run on the loop of its feed until it is gone, with all that it told.
template <class Taker>
class Running {
 public:
  template <class... Arguments>
  Running(RunningFeed& feed, const std::string& nats_url, Arguments... arguments)
      : loop_(feed.loop()),
        connection_(loop_.connect(nats_url)),
        jetstream_(*connection_, 2s),
        taker_(jetstream_, std::move(arguments)..., [this](std::string_view event, std::string_view detail) {
          told_.push_back(std::string(event) + " " + std::string(detail));
        }) {
    asio::co_spawn(
        loop_.io, taker_.run(),
        asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr, auto) { stopped_ = true; }));
  }
  ~Running() {
    asio::post(loop_.io, [this] { stop_.emit(asio::cancellation_type::terminal); });
    EXPECT_TRUE(loop_.until([this] { return stopped_; }));
  }
  bool until(const std::function<bool()>& holds) { return loop_.until(holds); }
  Taker& operator*() { return taker_; }
  const std::vector<std::string>& told() const { return told_; }

 protected:
  nats::testing::Loop& loop_;

 private:
  std::unique_ptr<nats::Connection> connection_;
  nats::JetStream jetstream_;
  std::vector<std::string> told_;
  asio::cancellation_signal stop_;
  bool stopped_ = false;
  Taker taker_;
};

/// A transaction that has run `sql` and stays open until this goes.
class OpenTransaction {
 public:
  OpenTransaction(PostgresServer& server, const std::string& database, const std::string& sql)
      : server_(server), session_([&server, database, sql] {
          try {
            server.execute(database, "BEGIN; " + sql + "; SELECT pg_sleep(600)");
          } catch (const std::exception&) {  // terminated below
          }
        }) {
    while (server_.execute("postgres", "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").empty())
      ::usleep(10'000);
  }
  ~OpenTransaction() {
    server_.execute("postgres",
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
  }
  OpenTransaction(const OpenTransaction&) = delete;
  OpenTransaction& operator=(const OpenTransaction&) = delete;

 private:
  PostgresServer& server_;
  std::jthread session_;
};

class FeedServers : public ::testing::Test {
 protected:
  void SetUp() override {
    sql("CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)");
    sql("CREATE TABLE things (id int PRIMARY KEY, value bigint)");
    sql("CREATE PUBLICATION changes FOR TABLE journal, things");
  }
  std::vector<std::string> sql(const std::string& text) { return postgres_.execute(database_, text); }
  FeedOptions options() { return feed_options(postgres_.dsn(database_)); }

  /// What is stored on subjects that match, each as `subject payload`, in order.
  std::vector<nats::Outgoing> stored(const std::string& filter) {
    std::vector<nats::Outgoing> messages;
    nats::testing::Loop loop;
    const auto connection = loop.connect(nats_.url());
    nats::JetStream jetstream(*connection, 5s);
    nats::DirectBatchQuery query;
    query.next_by_subj = filter;
    query.batch = 1000;
    for (query.seq = 1;;) {
      const auto batch = loop.run(jetstream.direct_get_batch("CHANGES", query));
      if (!batch || batch->messages.empty()) break;
      for (const auto& one : batch->messages) {
        nats::Outgoing copy;
        copy.subject = one.message.subject();
        copy.payload = one.message.payload();
        messages.push_back(std::move(copy));
      }
      query.seq = batch->last_sequence + 1;
    }
    return messages;
  }
  std::vector<boost::json::object> stored_json(const std::string& filter) {
    std::vector<boost::json::object> objects;
    for (const auto& one : stored(filter)) objects.push_back(boost::json::parse(one.payload).as_object());
    return objects;
  }

  PostgresServer postgres_{PostgresServer::Fsync::off};
  NatsServer nats_{kNatsConfig};
  std::string database_ = postgres_.create_database();
};

}  // namespace intra365::cdc::testing
