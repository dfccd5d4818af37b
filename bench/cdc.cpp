// Change data capture from PostgreSQL to JetStream, durable at both ends, beside pg_recvlogical (which only
// reads the log: the ceiling), the usual Node packages, and Debezium Server with its JetStream sink, on the
// same table and servers, in one run.
//
//   cdc_bench [--json] [--rows N]
//   cdc_bench --rows-in-one-transaction N[,N…]   memory only: one transaction of so many rows, whole?
#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "bench/process.hpp"
#include "bench/report.hpp"
#include "cdc/feed.hpp"
#include "postgres/pool.hpp"
#include "tests/support/servers.hpp"

using namespace intra365;
using namespace std::chrono_literals;
using bench::end_child;
using bench::fork_child;
using intra365::testing::NatsServer;
using intra365::testing::PostgresServer;

namespace {

using Seconds = std::chrono::duration<double>;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

double resident_megabytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

/// The most it ever had.
double peak_megabytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) * 1024 / 1e6;
  }
  return 0;
}

std::uint64_t stored(bench::Client& client, const std::string& stream = "CHANGES") {
  const auto state = client.run(client.jetstream.stream_state(stream));
  return state ? state->messages : 0;
}

class Bench {
 public:
  explicit Bench(std::uint64_t rows) : rows_(rows) {
    sql("CREATE TABLE events_of_bench (id bigint PRIMARY KEY, kind text, amount int, at timestamptz)");
    sql("CREATE PUBLICATION bench FOR TABLE events_of_bench");
  }

  void throughput(bench::Report& report) {
    for (const auto* slot : {"ours", "reader", "node", "debezium"})
      sql("SELECT pg_create_logical_replication_slot('" + std::string(slot) + "', 'pgoutput')");
    std::fprintf(stderr, "writing %lu rows in transactions of 1,000\n", rows_);
    sql("CREATE PROCEDURE fill(first bigint, total bigint) LANGUAGE plpgsql AS $$ BEGIN FOR n IN 0..total / "
        "1000 - 1 "
        "LOOP INSERT INTO events_of_bench SELECT first + n * 1000 + m, 'something happened', m, now() FROM "
        "generate_series(0, 999) m; COMMIT; END LOOP; END $$");
    sql("CALL fill(0, " + std::to_string(rows_) + ")");

    bench::Row rows{"rows", "1/s", "higher", 0, {}, 60'000, {}};
    bench::Row cpu{"cpu.process", "us/row", "lower", 0, {}, {}, {}};
    bench::Row broker{"cpu.nats-server", "us/row", "lower", 0, {}, {}, {}};
    if (const auto reading = recvlogical()) rows.peers["pg_recvlogical (reads only)"] = *reading;
    if (const auto node = node_peer()) rows.peers["pg-logical-replication + jetstream"] = *node;

    if (const auto debezium = debezium_peer()) rows.peers[kDebezium] = *debezium;

    const double broker_before = bench::cpu_us(nats_.pid());
    const auto begun = now();
    const auto feed = start_feed("ours");
    wait_for(rows_);
    const double took = Seconds(now() - begun).count();
    const auto count = static_cast<double>(rows_);
    rows.ours = count / took;
    cpu.ours = bench::cpu_us(feed) / count;
    broker.ours = (bench::cpu_us(nats_.pid()) - broker_before) / count;
    end_child(feed);
    report.add(std::move(rows));
    report.add(std::move(cpu));
    report.add(std::move(broker));
  }

  /// From the return of COMMIT to the delivery by a consumer of the stream, at 500 transactions of 10 rows a
  /// second.
  void latency(bench::Report& report) {
    const auto feed = start_feed("ours");
    std::this_thread::sleep_for(1s);
    const auto ours = latencies_in("CHANGES", "change.row.>", 2500);
    end_child(feed);
    if (ours.empty()) return;
    bench::Row p50{"latency.p50", "ms", "lower", ours[ours.size() / 2], {}, 10, {}};
    bench::Row p99{"latency.p99", "ms", "lower", ours[ours.size() * 99 / 100], {}, 50, {}};
    const auto theirs = debezium_latencies();
    if (!theirs.empty()) {
      p50.peers[kDebezium] = theirs[theirs.size() / 2];
      p99.peers[kDebezium] = theirs[theirs.size() * 99 / 100];
    }
    report.add(std::move(p50));
    report.add(std::move(p99));
  }

  /// Sorted, in milliseconds; empty where not every row came.
  std::vector<double> latencies_in(const std::string& stream, const std::string& rows, int transactions) {
    constexpr int kRows = 10;
    bench::Client client(nats_.url());
    nats::ConsumerConfig consumer;
    consumer.durable_name = "latency";
    consumer.ack_policy = "none";
    consumer.deliver_policy = "new";
    consumer.filter_subjects = {rows};
    if (!client.run(client.jetstream.ensure_consumer(stream, consumer))) return {};

    const auto expected = static_cast<std::size_t>(transactions) * kRows;
    std::vector<std::atomic<std::int64_t>> committed(static_cast<std::size_t>(transactions));
    std::jthread writer([&] { write_steadily(committed, kRows); });
    std::vector<double> latencies;
    for (std::size_t seen = 0; seen < expected;) {
      const auto fetched =
          client.run(client.jetstream.fetch(stream, "latency", 500, 5s, nats::FetchUntil::available));
      if (!fetched || fetched->empty()) break;
      const auto at = now().time_since_epoch().count();
      seen += fetched->size();
      for (const auto& one : *fetched) {
        const auto payload = one.message.payload();
        const auto begin = payload.find("\"amount\":") + 9;
        const auto transaction = std::strtol(payload.data() + begin, nullptr, 10);
        // A row can be here before its COMMIT has returned to the writer: that counts as no time at all.
        const auto then = committed[static_cast<std::size_t>(transaction)].load();
        latencies.push_back(then == 0 ? 0 : std::max(0.0, static_cast<double>(at - then) / 1e6));
      }
    }
    writer.join();
    if (latencies.size() < expected) return {};
    std::ranges::sort(latencies);
    return latencies;
  }

  /// What one transaction of all rows costs in memory.
  void large_transaction(bench::Report& report) {
    report.add(
        {"memory.large-transaction", "MB", "lower", in_one_transaction(rows_).more_megabytes, {}, 32, {}});
  }

  struct OneTransaction {
    double most_megabytes = 0, more_megabytes = 0, seconds = 0;
    bool whole = false;
  };
  /// Carries one transaction of so many rows while the peak of the process's resident memory is watched, then
  /// reads the stream's last cursor: is it the end of that transaction?
  OneTransaction in_one_transaction(std::uint64_t rows) {
    sql("TRUNCATE events_of_bench");
    const auto feed = start_feed("ours");
    std::this_thread::sleep_for(1s);
    OneTransaction result;
    const double before = resident_megabytes(feed);
    const auto already = stored(watcher_);
    const auto begun = now();
    std::jthread writer([&] {
      sql("INSERT INTO events_of_bench SELECT n, 'something happened', 1, now() FROM generate_series(1, " +
          std::to_string(rows) + ") n");
    });
    const auto enough = already + rows + rows / 1000;
    while (stored(watcher_) < enough || !complete()) std::this_thread::sleep_for(100ms);
    result.seconds = Seconds(now() - begun).count();
    writer.join();
    result.most_megabytes = peak_megabytes(feed);
    result.more_megabytes = result.most_megabytes - before;
    result.whole = rows_with_cursor() == rows;
    end_child(feed);
    return result;
  }

 private:
  void sql(const std::string& text) { postgres_.execute(database_, text); }

  pid_t start_feed(const std::string& slot) {
    return fork_child([&] {
      bench::Client client(nats_.url());
      cdc::FeedOptions options;
      options.replication.dsn = postgres_.dsn(database_);
      options.replication.slot = slot;
      options.replication.publication = "bench";
      options.snapshots = cdc::Snapshots::never;  // what is there already is read from the slot
      cdc::Feed feed(client.jetstream, options, [](std::string_view event, std::string_view detail) {
        if (event != "streaming")
          std::fprintf(stderr, "feed: %.*s\n", static_cast<int>(detail.size()), detail.data());
      });
      static_cast<void>(client.run(feed.run()));
    });
  }

  /// Until that many changes are stored; each batch has a cursor beside them.
  void wait_for(std::uint64_t changes) {
    const auto batches = [&](std::uint64_t rows) { return rows / 999; };
    while (stored(watcher_) < changes + batches(changes)) std::this_thread::sleep_for(5ms);
  }

  std::optional<cdc::Cursor> cursor() {
    const auto last = watcher_.run(watcher_.jetstream.last_stored("CHANGES", "change.cursor.ours"));
    if (!last) return std::nullopt;
    const auto read = cdc::Cursor::parse(last->message.payload());
    return read ? std::optional(*read) : std::nullopt;
  }
  bool complete() {
    const auto last = cursor();
    return last && last->complete;
  }
  /// How many changes the stream's last transaction has, as the cursor behind it counts them.
  std::uint64_t rows_with_cursor() {
    const auto last = cursor();
    return last ? last->position.index : 0;
  }

  std::optional<double> recvlogical() {
    const auto programs = {
        "/usr/lib/postgresql/18/bin/pg_recvlogical", "/usr/lib/postgresql/17/bin/pg_recvlogical",
        "/usr/lib/postgresql/16/bin/pg_recvlogical", "/usr/lib/postgresql/15/bin/pg_recvlogical"};
    const auto program =
        std::ranges::find_if(programs, [](const char* path) { return ::access(path, X_OK) == 0; });
    if (program == programs.end()) {
      std::fprintf(stderr, "pg_recvlogical is not installed: its column is left out\n");
      return std::nullopt;
    }
    const auto end = postgres_.execute(database_, "SELECT pg_current_wal_lsn()").at(0);
    const auto command = std::string(*program) + " -d '" + postgres_.dsn(database_) +
                         "' --slot=reader --start -f /dev/null -o proto_version=1 -o publication_names=bench "
                         "--no-loop --endpos=" +
                         end + " 2>/dev/null";
    const auto begun = now();
    if (std::system(command.c_str()) != 0) return std::nullopt;
    return static_cast<double>(rows_) / Seconds(now() - begun).count();
  }

  std::optional<double> node_peer() {
    const std::string folder = INTRA365_SOURCE_DIR "/bench/peers/cdc";
    const auto install =
        "cd '" + folder + "' && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } >&2";
    if (std::system(install.c_str()) != 0) {
      std::fprintf(stderr, "the Node packages cannot be installed: their column is left out\n");
      return std::nullopt;
    }
    // A tenth of the rows: it is slow, and its rate does not depend on how long it runs.
    const auto wanted = std::max<std::uint64_t>(rows_ / 10, 1000);
    const auto command = "cd '" + folder + "' && node index.js '" + nats_.url() + "' '" +
                         postgres_.dsn(database_) + "' node bench " + std::to_string(wanted);
    const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), ::pclose);
    double rate = 0;
    if (!output || std::fscanf(output.get(), "%lf", &rate) != 1) return std::nullopt;
    return rate;
  }

  static constexpr const char* kDebezium = "Debezium Server + jetstream";

  std::string debezium_script() const { return "'" INTRA365_SOURCE_DIR "/bench/peers/cdc/debezium.sh' "; }

  /// The process, once it is installed; 0 otherwise.
  pid_t start_debezium() {
    static const bool installed = std::system((debezium_script() + "install").c_str()) == 0;
    if (!installed) {
      std::fprintf(stderr, "Debezium Server cannot be installed: its column is left out\n");
      return 0;
    }
    bench::Client client(nats_.url());
    nats::StreamConfig stream;
    stream.name = "DEBEZIUM";
    stream.subjects = {"debezium.>"};
    if (!client.run(client.jetstream.ensure_stream(stream))) return 0;
    const auto folder = std::filesystem::temp_directory_path() / ("debezium-" + std::to_string(::getpid()));
    const auto command = "exec " + debezium_script() + "run '" + nats_.url() + "' '" +
                         postgres_.dsn(database_) + "' debezium bench '" + folder.string() + "' >&2";
    return fork_child([&] { ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr); });
  }

  void end_debezium(pid_t debezium) {
    end_child(debezium, SIGTERM);
    std::filesystem::remove_all(std::filesystem::temp_directory_path() /
                                ("debezium-" + std::to_string(::getpid())));
  }

  /// Until so many rows of Debezium are stored; false where none comes for a minute.
  bool wait_for_debezium(bench::Client& client, std::uint64_t rows) {
    std::uint64_t seen = 0;
    for (auto last = now(); seen < rows; std::this_thread::sleep_for(5ms)) {
      const auto state = client.run(client.jetstream.stream_state("DEBEZIUM"));
      if (state && state->messages > seen) {
        seen = state->messages;
        last = now();
      }
      if (now() - last > 60s) return false;
    }
    return true;
  }

  std::optional<double> debezium_peer() {
    const auto debezium = start_debezium();
    if (debezium == 0) return std::nullopt;
    bench::Client client(nats_.url());
    // From the thousandth row on: the start of its virtual machine is not what is measured. Not all rows, as
    // with the Node packages.
    const auto wanted = std::max<std::uint64_t>(rows_ / 50, 3000);
    std::optional<double> rate;
    if (wait_for_debezium(client, 1000)) {
      const auto begun = now();
      if (wait_for_debezium(client, wanted))
        rate = static_cast<double>(wanted - 1000) / Seconds(now() - begun).count();
    }
    if (!rate) std::fprintf(stderr, "Debezium Server publishes nothing: its column is left out\n");
    end_debezium(debezium);
    return rate;
  }

  /// From a slot of its own that begins now, so that it has nothing to catch up with.
  std::vector<double> debezium_latencies() {
    sql("SELECT pg_drop_replication_slot('debezium') FROM pg_replication_slots WHERE slot_name = 'debezium'");
    sql("TRUNCATE events_of_bench");
    sql("SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')");
    const auto debezium = start_debezium();
    if (debezium == 0) return {};
    bench::Client client(nats_.url());
    const auto before = stored(client, "DEBEZIUM");
    sql("INSERT INTO events_of_bench VALUES (-1, 'wakes it', 0, now())");
    std::vector<double> latencies;
    if (wait_for_debezium(client, before + 1)) latencies = latencies_in("DEBEZIUM", "debezium.>", 2500);
    end_debezium(debezium);
    return latencies;
  }

  void write_steadily(std::vector<std::atomic<std::int64_t>>& committed, int rows) {
    asio::io_context io(1);
    postgres::PoolOptions options;
    options.dsn = postgres_.dsn(database_);
    options.max_connections = 1;
    postgres::Pool pool(io.get_executor(), options);
    asio::co_spawn(io, steady_writer(pool, committed, rows), asio::detached);
    io.run();
  }

  static asio::awaitable<void> steady_writer(postgres::Pool& pool,
                                             std::vector<std::atomic<std::int64_t>>& committed, int rows) {
    static constexpr postgres::Query insert{"bench_insert",
                                            "insert into events_of_bench select 1000000000 + $1::bigint * "
                                            "1000 + n, 'something happened', $1::int, now() "
                                            "from generate_series(1, $2::int) n"};
    const auto begun = now();
    for (std::size_t i = 0; i < committed.size(); ++i) {
      co_await sleep_for(
          std::max(0ms, std::chrono::duration_cast<std::chrono::milliseconds>(begun + i * 2ms - now())));
      postgres::Scope nobody;
      auto parameters = postgres::bind(static_cast<std::int64_t>(i), rows);
      const auto done = co_await pool.query(nobody, insert, std::move(parameters), now() + 5s);
      if (done) committed[i] = now().time_since_epoch().count();
    }
    pool.close();
  }

  std::uint64_t rows_;
  PostgresServer postgres_;
  NatsServer nats_{"jetstream { store_dir: $STORE_DIR, sync_interval: always }\n"};
  std::string database_ = postgres_.create_database();
  bench::Client watcher_{nats_.url()};
};

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false;
  std::uint64_t rows = 500'000;
  std::vector<std::uint64_t> single;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--rows") == 0 && i + 1 < count)
      rows = std::strtoull(arguments[++i], nullptr, 10);
    if (std::strcmp(arguments[i], "--rows-in-one-transaction") == 0 && i + 1 < count) {
      for (char* at = arguments[++i]; *at != '\0'; at += *at == ',')
        if (single.emplace_back(std::strtoull(at, &at, 10)) == 0) return 2;
    }
  }
  if (!single.empty()) {
    Bench bench(1000);
    for (const auto many : single) {
      const auto seen = bench.in_one_transaction(many);
      std::printf(
          "one transaction of %lu rows: %s in %.1f s (%.0f rows/s), memory at most %.1f MB, %.1f MB more "
          "than at rest\n",
          many, seen.whole ? "whole" : "NOT WHOLE", seen.seconds, static_cast<double>(many) / seen.seconds,
          seen.most_megabytes, seen.more_megabytes);
      std::fflush(stdout);
      if (!seen.whole) return 1;
    }
    return 0;
  }
  bench::Report report{"cdc", bench::machine(), {}};
  Bench bench(std::max<std::uint64_t>(rows / 1000, 1) * 1000);
  bench.throughput(report);
  bench.latency(report);
  bench.large_transaction(report);
  report.print(as_json);
  return 0;
}
