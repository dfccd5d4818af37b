// PostgreSQL as we use it: point reads through the pool beside `pgbench -S -M prepared` on the same tables at
// equal connections, and the audit trail's way into the database beside a bare COPY of the same rows.
//
//   postgres_bench [--json] [--seconds N] [--entries N]
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "bench/process.hpp"
#include "bench/report.hpp"
#include "crypto/nats_jwt.hpp"
#include "postgres/pool.hpp"
#include "services/audit/ingest.hpp"
#include "tests/support/servers.hpp"

using namespace intra365;
using namespace std::chrono_literals;
using intra365::testing::PostgresServer;
namespace fs = std::filesystem;

namespace {

constexpr int kAccounts = 100'000;
constexpr postgres::Query kRead{"account_read", "select abalance from pgbench_accounts where aid = $1"};
constexpr std::size_t kPerMessage = 500, kMessagesPerAppend = 20;

std::string output_of(const std::string& command) {
  std::string text;
  if (auto* pipe = ::popen(command.c_str(), "r")) {
    char buffer[4096];
    while (const auto size = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
    if (::pclose(pipe) != 0) text.clear();
  }
  return text;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "benchmark: %s: %s\n", result.error().code.c_str(), result.error().detail.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// Runs one coroutine on a loop of its own.
template <class T>
Result<T> run(asio::io_context& io, Task<T> task) {
  std::optional<Result<T>> outcome;
  asio::co_spawn(io, contain(std::move(task)),
                 [&](std::exception_ptr, Result<T> result) { outcome = std::move(result); });
  io.restart();
  while (!outcome) io.run_one();
  return *std::move(outcome);
}

struct Reads {
  std::uint64_t done = 0, failed = 0;
  SteadyTime until;
  std::minstd_rand random{42};
};

Task<> read_accounts(postgres::Pool& pool, Reads& reads) {
  while (std::chrono::steady_clock::now() < reads.until) {
    auto id = postgres::bind(static_cast<int>(reads.random() % kAccounts) + 1);
    postgres::Scope scope("bench");
    const auto rows = co_await pool.query(std::move(scope), kRead, std::move(id), bench::in(10));
    ++reads.done;
    if (!rows || rows->size() != 1) ++reads.failed;
  }
  co_return Result<void>{};
}

/// Reads a second through one pool on one thread, as many callers as connections.
double our_reads(const std::string& dsn, int connections, double seconds) {
  asio::io_context io(1);
  postgres::PoolOptions options;
  options.dsn = dsn;
  options.max_connections = static_cast<std::size_t>(connections);
  options.direct = true;  // as the embedded platform does it
  postgres::Pool pool(io.get_executor(), options);
  must(run(io, pool.ping(bench::in(10))));
  Reads reads;
  const auto begun = std::chrono::steady_clock::now();
  reads.until = bench::in(seconds);
  for (int i = 0; i < connections; ++i)
    asio::co_spawn(io, contain(read_accounts(pool, reads)), asio::detached);
  io.restart();
  while (std::chrono::steady_clock::now() < reads.until) io.run_one_for(10ms);
  const double took = bench::seconds_since(begun);
  const double rate = static_cast<double>(reads.done) / took;
  io.run_for(200ms);
  pool.close();
  io.restart();
  io.run_for(50ms);
  if (reads.failed > 0) std::fprintf(stderr, "benchmark: %lu reads failed\n", reads.failed);
  return reads.failed > 0 ? 0 : rate;
}

double pgbench_reads(const std::string& dsn, int connections, double seconds) {
  const auto text = output_of("pgbench -n -S -M prepared -j 1 -c " + std::to_string(connections) + " -T " +
                              std::to_string(static_cast<int>(seconds)) + " '" + dsn + "' 2>/dev/null");
  const auto at = text.find("tps = ");
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + 6, nullptr);
}

void point_reads(bench::Report& report, double seconds) {
  if (output_of("pgbench --version").empty()) {
    std::fprintf(stderr, "point reads skipped: there is no pgbench\n");
    return;
  }
  PostgresServer server;
  const auto dsn = server.dsn(server.create_database());
  output_of("pgbench -i -q -s 1 '" + dsn + "' 2>&1");
  for (const int connections : {1, 4, 16}) {
    std::vector<double> ours, theirs;
    for (int round = 0; round < 3; ++round) {
      theirs.push_back(pgbench_reads(dsn, connections, seconds));
      ours.push_back(our_reads(dsn, connections, seconds));
    }
    bench::Row row{"point_reads." + std::to_string(connections), "1/s", "higher", median(ours), {}, {}, {}};
    row.peers["pgbench -S -M prepared"] = median(theirs);
    row.aim = median(theirs) * 0.85;
    row.meets = row.ours >= *row.aim;
    report.add(std::move(row));
  }
}

/// `intra365 up` in a directory of its own, as people run it.
class Platform {
 public:
  Platform() {
    const auto program = std::string(INTRA365_BINARY_DIR) + "/intra365";
    pid_ = bench::fork_child([&] {
      std::freopen((dir_.path() / "output.log").c_str(), "w", stdout);
      std::freopen((dir_.path() / "output.log").c_str(), "a", stderr);
      ::execl(program.c_str(), program.c_str(), "--data", data().c_str(), "up", "--gateway", "127.0.0.1:0",
              "--nats", "127.0.0.1:0", nullptr);
    });
    for (int i = 0; i < 600 && !fs::exists(data() / "endpoints.json"); ++i)
      std::this_thread::sleep_for(100ms);
    std::ifstream file(data() / "endpoints.json");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto endpoints = must(json::parse(text)).as_object();
    dsn = endpoints.at("postgres").as_string();
    nats = endpoints.at("nats").as_string();
  }
  ~Platform() { bench::end_child(pid_, SIGTERM); }
  fs::path data() const { return dir_.path() / "data"; }
  std::string dsn, nats;

 private:
  testing::TempDir dir_;
  pid_t pid_ = 0;
};

/// Messages of the AUDIT stream as services and Mates write them.
std::vector<std::string> make_messages(std::size_t entries) {
  std::minstd_rand random{7};
  std::vector<std::string> messages;
  for (std::size_t made = 0; made < entries; made += kPerMessage) {
    std::vector<platform::AuditRecord> records;
    std::string message = "[";
    for (std::size_t i = 0; i < kPerMessage; ++i) {
      platform::AuditRecord record{TenantId::trusted("default"), {}};
      auto& entry = record.entry;
      entry.entry_id = new_uuid();
      entry.at = system_clock().now();
      entry.source = "mate:mate" + std::to_string(random() % 50);
      entry.actor = entry.source;
      entry.action = "data.access";
      entry.user_id = UserId::trusted("user" + std::to_string(random() % 5000));
      entry.resource = "user:" + entry.user_id->str();
      entry.outcome = "allowed";
      entry.purpose = Purpose::trusted("analytics");
      entry.scopes = {Scope::trusted("profile.read"), Scope::trusted("mail.read")};
      entry.trace_id = random_token(32);
      entry.duration_us = random() % 5000;
      if (message.size() > 1) message += ',';
      json::append(message, record);
    }
    messages.push_back(message + "]");
  }
  return messages;
}

Result<void> read_into(std::vector<platform::AuditRecord>& records, std::string_view message) {
  auto read = services::audit::read_message(message);
  if (!read.unreadable.empty()) return fail(std::move(read.unreadable.front().reason));
  std::ranges::move(read.records, std::back_inserter(records));
  return {};
}

std::vector<platform::AuditRecord> read_all(const std::vector<std::string>& messages) {
  std::vector<platform::AuditRecord> records;
  for (const auto& message : messages) must(read_into(records, message));
  return records;
}

/// COPY of the same rows into the same partitions and indexes, without chain and duplicates' check: what
/// PostgreSQL takes at best over one connection.
double copied(const Platform& platform, const std::vector<std::string>& messages) {
  testing::TempDir dir;
  const auto file = dir.path() / "rows";
  std::ofstream rows(file);
  std::size_t count = 0;
  for (const auto& record : read_all(messages)) {
    const auto& entry = record.entry;
    rows << record.tenant.str() << '\t' << entry.entry_id << '\t' << format_rfc3339(entry.at) << '\t'
         << entry.source << '\t' << entry.actor << '\t' << entry.action << '\t' << entry.resource << '\t'
         << entry.outcome << '\t' << entry.user_id->str() << '\t' << entry.purpose->str()
         << "\t{profile.read,mail.read}\t" << *entry.trace_id << '\t' << *entry.duration_us << "\t0\n";
    ++count;
  }
  rows.close();
  const auto begun = std::chrono::steady_clock::now();
  const auto done =
      output_of("psql '" + platform.dsn +
                "' -qX -v ON_ERROR_STOP=1 -c \"\\copy intra365.audit_logs (tenant_id, entry_id, "
                "at, source, actor, action, resource, outcome, user_id, purpose, scopes, "
                "trace_id, duration_us, batch) from '" +
                file.string() + "'\" && echo done");
  return done == "done\n" ? static_cast<double>(count) / bench::seconds_since(begun) : 0;
}

struct Work {
  const std::vector<std::string>& messages;
  std::size_t next = 0;
};

Task<> append_messages(services::audit::Store& store, Work& work) {
  while (work.next < work.messages.size()) {
    std::vector<platform::AuditRecord> records;
    for (std::size_t i = 0; i < kMessagesPerAppend && work.next < work.messages.size(); ++i)
      CO_CHECK(read_into(records, work.messages[work.next++]));
    CO_CHECK(co_await store.append(records, bench::in(60)));
  }
  co_return Result<void>{};
}

/// From the messages' bytes to committed rows in the chain, by the service's own code in two lanes.
double appended(const Platform& platform, const std::vector<std::string>& messages) {
  asio::io_context io(1);
  postgres::PoolOptions options;
  options.dsn = platform.dsn;
  options.max_connections = 2;
  postgres::Pool pool(io.get_executor(), options);
  services::audit::Store store(pool);
  Work work{messages};
  const auto begun = std::chrono::steady_clock::now();
  using namespace asio::experimental::awaitable_operators;
  const auto both = [&]() -> Task<> {
    auto [first, second] =
        co_await (contain(append_messages(store, work)) && contain(append_messages(store, work)));
    CO_CHECK(first);
    co_return second;
  };
  must(run(io, both()));
  const double rate = static_cast<double>(messages.size() * kPerMessage) / bench::seconds_since(begun);
  pool.close();
  io.restart();
  io.run_for(50ms);
  return rate;
}

/// Through the running platform: durable in the stream, then carried into PostgreSQL by the audit service.
double streamed(const Platform& platform, const std::vector<std::string>& messages) {
  asio::io_context io(1);
  std::ifstream file(platform.data() / "keys" / "platform.creds");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto creds = must(crypto::parse_creds_file(text));
  nats::Options options;
  options.urls = {platform.nats};
  options.credentials = [creds]() -> Task<nats::Credentials> {
    nats::Credentials credentials;
    credentials.jwt = creds.jwt;
    credentials.nkey_seed = creds.seed;
    co_return credentials;
  };
  nats::Connection connection(io.get_executor(), std::move(options));
  must(run(io, connection.connect(bench::in(10))));
  nats::JetStream jetstream(connection);
  postgres::PoolOptions pool_options;
  pool_options.dsn = platform.dsn;
  postgres::Pool pool(io.get_executor(), pool_options);
  constexpr postgres::Query kStored{"stored", "select coalesce(sum(entries), 0) from intra365.audit_blocks"};
  const auto stored = [&] {
    postgres::Scope none;
    const auto rows = must(run(io, pool.query(none, kStored, {}, bench::in(10))));
    return std::stoull(std::string(rows.value(0, 0).value_or("0")));
  };
  const auto target = stored() + messages.size() * kPerMessage;
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& message : messages) must(run(io, jetstream.publish(platform::audit_subject, message)));
  while (stored() < target && bench::seconds_since(begun) < 120) std::this_thread::sleep_for(20ms);
  const double rate = static_cast<double>(messages.size() * kPerMessage) / bench::seconds_since(begun);
  pool.close();
  connection.close();
  io.restart();
  io.run_for(100ms);
  return rate;
}

void audit_ingest(bench::Report& report, std::size_t entries) {
  Platform platform;
  std::vector<double> append, copy;
  for (int round = 0; round < 3; ++round) {
    copy.push_back(copied(platform, make_messages(entries)));
    append.push_back(appended(platform, make_messages(entries)));
  }
  bench::Row row{"audit.append", "entries/s", "higher", median(append), {}, 50'000, {}};
  row.peers["COPY, one connection, no chain"] = median(copy);
  row.meets = row.ours >= *row.aim;
  report.add(std::move(row));
  bench::Row whole{
      "audit.stream", "entries/s", "higher", streamed(platform, make_messages(entries)), {}, {}, {}};
  report.add(std::move(whole));
}

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false;
  double seconds = 4;
  std::size_t entries = 200'000;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--seconds") == 0 && i + 1 < count)
      seconds = std::strtod(arguments[++i], nullptr);
    if (std::strcmp(arguments[i], "--entries") == 0 && i + 1 < count)
      entries = std::strtoull(arguments[++i], nullptr, 10);
  }
  bench::Report report{"postgres", bench::machine(), {}};
  point_reads(report, std::max(seconds, 1.0));
  audit_ingest(report, std::max<std::size_t>(entries, kPerMessage));
  report.print(as_json);
  return 0;
}
