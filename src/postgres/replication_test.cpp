#include "postgres/replication.hpp"

#include <gmock/gmock.h>

#include <future>

#include "postgres/pgoutput.hpp"
#include "postgres/test_loop.hpp"

namespace intra365::postgres {
namespace {

using namespace testing;
using namespace pgoutput;
using ::testing::ElementsAre;

class ReplicationTest : public ::testing::Test {
 protected:
  explicit ReplicationTest(PostgresServer& server = PostgresServer::shared()) : server_(server) {}
  void SetUp() override {
    sql("CREATE TABLE things (id int PRIMARY KEY, name text, big text)");
    sql("CREATE PUBLICATION everything FOR ALL TABLES");
  }
  void TearDown() override {
    for (const auto& name : slots_) {
      sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + name +
          "' AND active_pid IS NOT NULL");
      for (int tries = 0; tries < 100; ++tries) {
        try {
          sql("SELECT pg_drop_replication_slot('" + name + "')");
          break;
        } catch (const std::exception&) {
          std::this_thread::sleep_for(20ms);  // until the terminated backend has let go
        }
      }
    }
  }

  void sql(const std::string& text) { server_.execute(database_, text); }

  std::unique_ptr<ReplicationStream> connect(const std::function<void(ReplicationOptions&)>& change = {}) {
    ReplicationOptions options;
    options.dsn = server_.dsn(database_);
    options.slot = "slot_" + database_;
    std::ranges::replace(options.slot, '-', '_');
    options.publication = "everything";
    if (change) change(options);
    if (std::ranges::find(slots_, options.slot) == slots_.end()) slots_.push_back(options.slot);
    auto stream = loop_.run(ReplicationStream::connect(loop_.io.get_executor(), options, in(10s)));
    EXPECT_TRUE(stream) << stream.error().detail;
    return std::move(stream).value();
  }
  std::unique_ptr<ReplicationStream> started(const std::function<void(ReplicationOptions&)>& change = {}) {
    auto stream = connect(change);
    EXPECT_TRUE(loop_.run(stream->create_slot()));
    const auto begun = loop_.run(stream->start());
    EXPECT_TRUE(begun) << begun.error().detail;
    return stream;
  }

  /// Describes the stream until the commit of the transaction that `marker` was written in, by words.
  std::vector<std::string> read_until(ReplicationStream& stream, std::string_view marker) {
    bool marked = false;
    return read_until(stream, [&](const std::string& last) {
      marked = marked || last == "message " + std::string(marker);
      return marked && last == "commit";
    });
  }
  std::vector<std::string> read_until(ReplicationStream& stream,
                                      const std::function<bool(const std::string&)>& is_last) {
    std::vector<std::string> seen;
    while (seen.empty() || !is_last(seen.back())) {
      auto frame = stream.try_next();
      if (!frame) {
        ADD_FAILURE() << frame.error().detail;
        return seen;
      }
      if (!*frame) {
        const auto waited = loop_.run(stream.wait(in(1s)));
        EXPECT_TRUE(waited) << waited.error().detail;
        continue;
      }
      const auto message = decoder_.decode((*frame)->payload);
      if (!message) {
        ADD_FAILURE() << message.error().detail;
        return seen;
      }
      std::visit([&](const auto& one) { seen.push_back(describe(one)); }, *message);
    }
    return seen;
  }
  std::string emit(const std::string& text) {
    return "SELECT pg_logical_emit_message(true, 'test', '" + text + "')";
  }

  static std::string words(const Tuple& row) {
    std::string text;
    for (const auto& value : row) {
      text += text.empty() ? "" : ",";
      text += value.kind == ValueKind::null        ? "null"
              : value.kind == ValueKind::unchanged ? "unchanged"
              : value.bytes.size() > 20            ? "long"
                                                   : std::string(value.bytes);
    }
    return "(" + text + ")";
  }
  static std::string describe(const Begin&) { return "begin"; }
  std::string describe(const Commit& commit) {
    EXPECT_GT(commit.end_lsn, commit.commit_lsn);
    last_end_ = commit.end_lsn;
    return "commit";
  }
  std::string describe(const StreamCommit& commit) { return describe(commit.commit); }
  static std::string describe(const Insert& one) { return "insert " + words(one.row); }
  static std::string describe(const Update& one) {
    return "update " +
           (one.old_key   ? words(*one.old_key) + " "
            : one.old_row ? words(*one.old_row) + " "
                          : "") +
           words(one.row);
  }
  static std::string describe(const Delete& one) { return "delete " + words(one.old_row); }
  static std::string describe(const Truncate& one) { return "truncate " + one.relations.at(0)->table; }
  static std::string describe(const Logical& one) { return "message " + std::string(one.content); }
  static std::string describe(const RelationChanged& one) {
    std::string text = "relation " + one.relation->table;
    for (const auto& column : one.relation->columns) text += " " + column.name + (column.is_key ? "*" : "");
    return text;
  }
  static std::string describe(const StreamStart& one) { return one.first ? "stream first" : "stream"; }
  static std::string describe(const StreamStop&) { return "stop"; }
  static std::string describe(const StreamAbort& one) {
    return one.subxid == one.xid ? "abort" : "abort of a part";
  }
  static std::string describe(const Prepare& one) {
    return std::string(one.begins     ? "begin prepare "
                       : one.streamed ? "prepare streamed "
                                      : "prepare ") +
           one.gid;
  }
  static std::string describe(const CommitPrepared& one) { return "commit prepared " + one.gid; }
  static std::string describe(const RollbackPrepared& one) { return "rollback prepared " + one.gid; }
  static std::string describe(const Origin&) { return "origin"; }
  static std::string describe(const Type&) { return "type"; }

  PostgresServer& server_;
  std::string database_ = server_.create_database();
  Loop loop_;
  Decoder decoder_;
  Lsn last_end_;
  std::vector<std::string> slots_;
};

TEST_F(ReplicationTest, every_kind_of_change_arrives_in_order) {
  const auto stream = started();
  sql("INSERT INTO things VALUES (1, 'one', repeat('x', 100000)), (2, NULL, '')");
  sql("UPDATE things SET name = 'uno' WHERE id = 1");
  sql("UPDATE things SET id = 3 WHERE id = 2");
  sql("DELETE FROM things WHERE id = 3");
  sql("TRUNCATE things");
  sql(emit("end"));
  EXPECT_THAT(read_until(*stream, "end"),
              ElementsAre("begin", "relation things id* name big", "insert (1,one,long)", "insert (2,null,)",
                          "commit", "begin", "update (1,uno,long)", "commit", "begin",
                          "update (2,null,null) (3,null,)", "commit", "begin", "delete (3,null,null)",
                          "commit", "begin", "relation things id* name big", "truncate things", "commit",
                          "begin", "message end", "commit"));
}

TEST_F(ReplicationTest, large_values_that_were_not_touched_are_named_so) {
  sql("ALTER TABLE things ALTER big SET STORAGE EXTERNAL");
  sql("INSERT INTO things VALUES (1, 'one', repeat('x', 100000))");
  const auto stream = started();
  sql("UPDATE things SET name = 'uno'");
  sql(emit("end"));
  EXPECT_THAT(read_until(*stream, "end"),
              ElementsAre("begin", "relation things id* name big", "update (1,uno,unchanged)", "commit",
                          "begin", "message end", "commit"));
}

TEST_F(ReplicationTest, a_table_is_described_again_after_it_changed) {
  const auto stream = started();
  sql("INSERT INTO things VALUES (1)");
  sql("ALTER TABLE things RENAME name TO title; ALTER TABLE things ADD extra int DEFAULT 7");
  sql("INSERT INTO things VALUES (2)");
  sql(emit("end"));
  EXPECT_THAT(read_until(*stream, "end"),
              ElementsAre("begin", "relation things id* name big", "insert (1,null,null)", "commit", "begin",
                          "relation things id* title big extra", "insert (2,null,null,7)", "commit", "begin",
                          "message end", "commit"));
}

TEST_F(ReplicationTest, only_what_was_confirmed_is_given_up) {
  auto stream = started();
  sql("INSERT INTO things VALUES (1, 'first', NULL)");
  sql(emit("one"));
  read_until(*stream, "one");
  stream->confirm(last_end_);
  sql("INSERT INTO things VALUES (2, 'second', NULL)");
  sql(emit("two"));
  read_until(*stream, "two");
  ASSERT_TRUE(loop_.run(stream->wait(in(10ms))));  // tells the server of the first confirmation only

  stream.reset();  // as a crash would: the second transaction was never confirmed
  auto again = connect();
  EXPECT_FALSE(loop_.run(again->create_slot()).value());
  for (int tries = 0; tries < 200; ++tries) {
    const auto begun = loop_.run(again->start());
    if (begun) break;
    ASSERT_TRUE(begun.error().is(errors::slot_busy)) << begun.error().detail;
    std::this_thread::sleep_for(10ms);  // until the server has noticed that the first reader is gone
  }
  decoder_ = {};
  const auto seen = read_until(*again, "two");
  EXPECT_THAT(seen, ElementsAre("begin", "relation things id* name big", "insert (2,second,null)", "commit",
                                "begin", "message two", "commit"));
}

TEST_F(ReplicationTest, a_slot_has_one_reader_and_must_exist) {
  const auto stream = started();
  const auto second = connect();
  const auto busy = loop_.run(second->start());
  ASSERT_FALSE(busy);
  EXPECT_TRUE(busy.error().is(errors::slot_busy)) << busy.error().detail;
  const auto other = connect([](auto& options) { options.slot = "never_made"; });
  slots_.pop_back();
  const auto missing = loop_.run(other->start());
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().is(errors::slot_missing)) << missing.error().detail;
}

TEST_F(ReplicationTest, an_idle_database_lets_its_log_go) {
  const auto stream = started();
  const auto identity = loop_.run(stream->identify());
  EXPECT_FALSE(identity);  // the stream has begun: nothing else can be asked
  auto fresh = started([](auto& options) { options.slot += "_b"; });
  sql("CREATE TABLE elsewhere ()");  // writes log, but nothing that the publication carries
  const auto before = fresh->confirmed();
  ASSERT_TRUE(loop_.until([&] {
    EXPECT_TRUE(loop_.run(fresh->wait(in(50ms))));
    while (true) {
      auto frame = fresh->try_next();
      EXPECT_TRUE(frame);
      if (!frame || !*frame) break;
    }
    if (fresh->drained()) fresh->confirm(fresh->server_end());
    return fresh->confirmed() > before;
  }));
}

TEST_F(ReplicationTest, large_transactions_stream_before_they_end) {
  sql("ALTER DATABASE \"" + database_ + "\" SET logical_decoding_work_mem = '64kB'");
  const auto stream = started([](auto& options) {
    options.protocol_version = 2;
    options.streaming = true;
  });
  sql("BEGIN; INSERT INTO things SELECT n, 'x', repeat('y', 100) FROM generate_series(1, 5000) n; " +
      emit("end") + "; COMMIT");
  const auto seen = read_until(*stream, "end");
  EXPECT_EQ(seen.front(), "stream first");
  EXPECT_EQ(std::ranges::count_if(seen, [](const auto& one) { return one.starts_with("insert"); }), 5000);
  EXPECT_GT(std::ranges::count(seen, "stream"), 0);
}

/// Without what stands in for many rows: each kind once, in order.
std::vector<std::string> without_rows(std::vector<std::string> seen) {
  std::erase_if(seen, [](const auto& one) {
    return one.starts_with("insert") || one.starts_with("relation") || one == "stream" || one == "stop";
  });
  return seen;
}

TEST_F(ReplicationTest, large_transactions_that_are_rolled_back_are_taken_back) {
  sql("ALTER DATABASE \"" + database_ + "\" SET logical_decoding_work_mem = '64kB'");
  const std::string many =
      "INSERT INTO things SELECT n, 'x', repeat('y', 100) FROM generate_series(1, 5000) n";
  const auto version = std::stoi(server_.execute(database_, "SHOW server_version_num").front());
  for (const int protocol : {2, 4}) {
    if (protocol == 4 && version < 160000) continue;  // does not speak it
    const auto stream = started([&](auto& options) {
      options.slot += "_" + std::to_string(protocol);
      options.protocol_version = protocol;
      options.streaming = true;
    });
    decoder_ = {};
    // Not before the stream has begun with it: what is known to be rolled back by then is not sent at all.
    const auto name = "seen_" + std::to_string(protocol);
    sql("CREATE SEQUENCE " + name);
    auto rolled_back = std::async(std::launch::async, [&] {
      sql("BEGIN; " + many + "; DO $$ BEGIN WHILE NOT (SELECT is_called FROM " + name +
          ") LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; ROLLBACK");
    });
    EXPECT_THAT(read_until(*stream, [](const auto& last) { return last == "stream first"; }),
                ::testing::Contains("stream first"));
    sql("SELECT nextval('" + name + "')");
    rolled_back.get();
    sql("BEGIN; SAVEPOINT part; " + many + "; ROLLBACK TO part; INSERT INTO things VALUES (0); COMMIT");
    sql("DELETE FROM things");
    sql(emit("end"));
    EXPECT_THAT(without_rows(read_until(*stream, "end")),
                ElementsAre("abort", "stream first", "abort of a part", "commit", "begin",
                            "delete (0,null,null)", "commit", "begin", "message end", "commit"))
        << protocol;
  }
}

/// A server that lets transactions be prepared.
struct PreparingServer {
  PreparingServer() {
    server.execute("postgres", "ALTER SYSTEM SET max_prepared_transactions = 5");
    server.restart();
  }
  PostgresServer server{PostgresServer::Fsync::off};
};

class TwoPhaseTest : private PreparingServer, public ReplicationTest {
 protected:
  TwoPhaseTest() : ReplicationTest(PreparingServer::server) {}
};

TEST_F(TwoPhaseTest, prepared_transactions_arrive_before_they_are_committed_or_rolled_back) {
  const auto stream = started([](auto& options) {
    options.protocol_version = 3;
    options.two_phase = true;
  });
  sql("BEGIN; INSERT INTO things VALUES (1, 'kept'); PREPARE TRANSACTION 'one'");
  sql("COMMIT PREPARED 'one'");
  sql("BEGIN; INSERT INTO things VALUES (2, 'never'); PREPARE TRANSACTION 'two'");
  sql("ROLLBACK PREPARED 'two'");
  sql(emit("end"));
  EXPECT_THAT(read_until(*stream, "end"),
              ElementsAre("begin prepare one", "relation things id* name big", "insert (1,kept,null)",
                          "prepare one", "commit prepared one", "begin prepare two", "insert (2,never,null)",
                          "prepare two", "rollback prepared two", "begin", "message end", "commit"));
}

TEST_F(TwoPhaseTest, large_transactions_are_prepared_behind_their_stream) {
  sql("ALTER DATABASE \"" + database_ + "\" SET logical_decoding_work_mem = '64kB'");
  const auto stream = started([](auto& options) {
    options.protocol_version = 3;
    options.streaming = true;
    options.two_phase = true;
  });
  sql("BEGIN; INSERT INTO things SELECT n, 'x', repeat('y', 100) FROM generate_series(1, 5000) n; "
      "PREPARE TRANSACTION 'large'");
  sql("COMMIT PREPARED 'large'");
  sql(emit("end"));
  EXPECT_THAT(without_rows(read_until(*stream, "end")),
              ElementsAre("stream first", "prepare streamed large", "commit prepared large", "begin",
                          "message end", "commit"));
}

TEST_F(ReplicationTest, the_exported_snapshot_shows_what_was_there_before_the_stream) {
  sql("INSERT INTO things VALUES (1)");
  const auto stream = connect();
  const auto slot = loop_.run(stream->create_slot());
  ASSERT_TRUE(slot && *slot);
  sql("INSERT INTO things VALUES (2)");
  const auto pool = loop_.pool(server_.dsn(database_));
  EXPECT_FALSE((*slot)->snapshot.empty());
  EXPECT_NO_THROW(sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '" +
                      (*slot)->snapshot +
                      "'; DO $$ BEGIN ASSERT (SELECT count(*) FROM things) = 1; END $$; COMMIT"));
}

TEST_F(ReplicationTest, a_publication_says_which_columns_are_the_key_of_its_tables) {
  sql("CREATE TABLE pairs (b int, a int, c int, PRIMARY KEY (a, b)); CREATE TABLE loose (a int)");
  const auto stream = connect();
  slots_.clear();
  const auto published = loop_.run(stream->published());
  ASSERT_TRUE(published && *published);
  std::vector<std::string> words;
  for (const auto& table : **published) {
    words.push_back(table.name + ":");
    for (const auto& column : table.key) words.back() += " " + column;
  }
  EXPECT_THAT(words, ElementsAre("public.loose:", "public.pairs: b a", "public.things: id"));
}

TEST(StoppedServer, is_not_waited_for_longer_than_an_answer_may_take) {
  PostgresServer server(PostgresServer::Fsync::off);
  Loop loop;
  ReplicationOptions options;
  options.dsn = server.dsn();
  options.slot = "slot";
  options.publication = "nothing";
  options.answer_time = 300ms;
  const auto connect = [&] {
    return loop.run(ReplicationStream::connect(loop.io.get_executor(), options, in(10s))).value();
  };
  std::vector<std::unique_ptr<ReplicationStream>> streams;
  for (int i = 0; i < 6; ++i) streams.push_back(connect());
  server.pause();
  const auto times_out = [&](auto task) {
    const auto answer = loop.run(std::move(task));
    return !answer && answer.error().is(errors::timeout);
  };
  EXPECT_TRUE(times_out(streams[0]->identify()));
  EXPECT_TRUE(times_out(streams[1]->slot_state()));
  EXPECT_TRUE(times_out(streams[2]->slot_position()));
  EXPECT_TRUE(times_out(streams[3]->published()));
  EXPECT_TRUE(times_out(streams[4]->start()));
  EXPECT_TRUE(times_out(streams[5]->left_timeline_at(1, 2)));
  server.resume();
}

TEST_F(ReplicationTest, a_server_that_dies_ends_the_stream_with_an_error) {
  const auto stream = started();
  sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'slot_%' AND "
      "active_pid IS NOT NULL");
  std::optional<Error> ended;
  ASSERT_TRUE(loop_.until([&] {
    const auto frame = stream->try_next();
    if (!frame) ended = frame.error();
    if (!ended) {
      const auto waited = loop_.run(stream->wait(in(1s)));
      if (!waited) ended = waited.error();
    }
    return ended.has_value();
  }));
  EXPECT_EQ(ended->kind, ErrorKind::unavailable) << ended->code;
}

TEST(LogPositions, are_written_and_read_as_PostgreSQL_does) {
  EXPECT_EQ(Lsn{0x16B374D848}.text(), "16/B374D848");
  EXPECT_EQ(Lsn{0}.text(), "0/0");
  EXPECT_EQ(Lsn::parse("16/B374D848")->value, 0x16B374D848U);
  for (const auto* bad : {"", "/", "1/", "/1", "1", "1/123456789", "g/0", "1/0 ", "-1/0"})
    EXPECT_FALSE(Lsn::parse(bad)) << bad;
}

}  // namespace
}  // namespace intra365::postgres
