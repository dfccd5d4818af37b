// Our NATS client beside nats.c, nats.go (the `nats bench` tool) and the Node client, on the same work and
// the same server, in one run.
//
//   nats_bench [--json] [--seconds N] [--only request|publish|one-to-one|consume|durable|kv]
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <thread>

#include "bench/mesh_natsc.hpp"
#include "bench/nats_natsc.hpp"
#include "bench/process.hpp"
#include "bench/report.hpp"
#include "json/json.hpp"
#include "nats/key_value.hpp"
#include "tests/support/servers.hpp"

using namespace intra365;
using namespace intra365::bench;
using intra365::testing::NatsServer;

namespace {

constexpr std::size_t kSize = 128, kStoredSize = 256;
constexpr std::string_view kOurs = "", kNatsc = "nats.c", kGo = "nats.go", kNode = "node";

/// What one client did on one piece of work.
struct Figures {
  double rate = 0, p50 = 0, p99 = 0;
  double client_cpu = 0,
         server_cpu = 0;  ///< microseconds a message; of the client only where it is ours to see
};
BOOST_DESCRIBE_STRUCT(Figures, (), (rate, p50, p99))

/// Runs a command to its end and returns what it printed.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  std::string text;
  char part[4096];
  while (pipe && std::fgets(part, sizeof part, pipe.get()) != nullptr) text += part;
  return text;
}

/// Keeps requests under way for some seconds and notes each one's latency.
class Load {
 public:
  Load(nats::Connection& connection, std::string subject, int in_flight, double seconds)
      : connection_(connection),
        subject_(std::move(subject)),
        in_flight_(in_flight),
        end_(in(seconds)),
        done_(connection.executor(), SteadyTime::max()) {
    latencies_.reserve(4'000'000);
  }
  Task<std::vector<float>> run() {
    for (int i = 0; i < in_flight_; ++i) send();
    boost::system::error_code ignored;
    co_await done_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (failed_) co_return fail(errors::internal, "a reply was missing or wrong");
    co_return std::move(latencies_);
  }

 private:
  void send() {
    ++under_way_;
    const auto sent = std::chrono::steady_clock::now();
    connection_.async_request(
        subject_, payload_, {}, sent + std::chrono::seconds(5),
        [this, sent](Result<nats::MessageView> reply) {
          --under_way_;
          const auto now = std::chrono::steady_clock::now();
          failed_ = failed_ || !reply || reply->payload != payload_;
          latencies_.push_back(std::chrono::duration<float, std::micro>(now - sent).count());
          if (now < end_ && !failed_)
            send();
          else if (under_way_ == 0)
            done_.cancel();
        });
  }
  nats::Connection& connection_;
  std::string subject_, payload_ = std::string(kSize, 'x');
  int in_flight_, under_way_ = 0;
  SteadyTime end_;
  asio::steady_timer done_;
  std::vector<float> latencies_;
  bool failed_ = false;
};

Task<> publish_all(nats::Connection& connection, std::string subject, std::uint64_t count) {
  const std::string payload(kSize, 'x');
  for (std::uint64_t i = 0; i < count;) {
    const auto sent = connection.publish(subject, payload);
    if (sent) {
      ++i;
      continue;
    }
    if (!sent.error().is(nats::errors::buffer_full)) co_return fail(sent.error());
    CO_CHECK(co_await connection.writable(in(10)));
  }
  co_return co_await connection.flush(in(60));
}

Task<> receive_all(nats::Connection& connection, std::string subject, std::uint64_t count, int ready_fd) {
  std::uint64_t received = 0;
  asio::steady_timer done(connection.executor(), SteadyTime::max());
  CO_TRY(const auto subscription, connection.subscribe(subject, [&](const nats::MessageView&) {
    if (++received == count) done.cancel();
  }));
  CO_CHECK(co_await connection.flush(in(5)));
  if (::write(ready_fd, "r", 1) != 1) co_return fail(errors::internal, "the pipe is gone");
  boost::system::error_code ignored;
  co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return Result<void>{};
}

Task<> consume_all(nats::JetStream& jetstream, std::string stream, std::string consumer,
                   std::uint64_t count) {
  for (std::uint64_t received = 0; received < count;) {
    CO_TRY(const auto messages, co_await jetstream.fetch(stream, consumer, 1000, std::chrono::seconds(5)));
    if (messages.empty()) co_return fail(errors::internal, "the stream ended early");
    received += messages.size();
  }
  co_return Result<void>{};
}

class Bench {
 public:
  explicit Bench(double seconds) : seconds_(seconds) {
    peers_ = {kOurs};
    if (has_natsc())
      peers_.push_back(kNatsc);
    else
      std::fprintf(stderr, "nats.c is not installed: its column is left out\n");
    if (find_go())
      peers_.push_back(kGo);
    else
      std::fprintf(stderr,
                   "the nats tool is missing and cannot be built (Go): nats.go's column is left out\n");
    const std::string install =
        "cd '" + node_ + "' && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } >&2";
    if (std::system(install.c_str()) == 0)
      peers_.push_back(kNode);
    else
      std::fprintf(stderr, "the Node packages cannot be installed: their column is left out\n");
  }

  void request_reply(Report& report) {
    for (const int in_flight : {64, 1}) {
      const auto figures = all([&](std::string_view peer) { return request(peer, in_flight); });
      const auto suffix = "." + std::to_string(in_flight);
      const auto natsc = figures.contains(kNatsc) ? figures.find(kNatsc)->second : Figures{};
      if (in_flight > 1) {
        double best = natsc.rate * 3;
        for (const auto& [peer, one] : figures)
          if (peer != kOurs) best = std::max(best, one.rate);
        add(report, "request" + suffix, "1/s", "higher", &Figures::rate, figures, best);
      } else {
        add(report, "request" + suffix, "1/s", "higher", &Figures::rate, figures);
      }
      add(report, "request.p50" + suffix, "us", "lower", &Figures::p50, figures,
          in_flight == 1 && natsc.p50 > 0 ? std::optional(natsc.p50) : std::nullopt);
      add(report, "request.p99" + suffix, "us", "lower", &Figures::p99, figures,
          in_flight == 1 && natsc.p99 > 0 ? std::optional(natsc.p99) : std::nullopt);
      cpu(report, "request" + suffix, figures);
    }
  }

  void publish(Report& report) {
    const auto figures = all([&](std::string_view peer) { return publish(peer); });
    add(report, "publish", "1/s", "higher", &Figures::rate, figures, best_peer(figures) * 1.2);
    cpu(report, "publish", figures);
  }

  void one_to_one(Report& report) {
    const auto both = all([&](std::string_view peer) { return through(peer); });
    add(report, "one-to-one", "1/s", "higher", &Figures::rate, both, best_peer(both) * 1.2);
    cpu(report, "one-to-one", both);
  }

  void consume(Report& report) {
    constexpr std::uint64_t kStored = 300'000;
    Client client(server_.url());
    nats::StreamConfig stream;
    stream.name = "BENCH";
    stream.subjects = {"stored.>"};
    stream.allow_atomic = true;
    client.must(client.jetstream.ensure_stream(stream));
    std::vector<nats::Outgoing> batch(1000, {"stored.a", std::string(kStoredSize, 'x'), {}});
    for (std::uint64_t stored = 0; stored < kStored; stored += batch.size())
      client.must(client.jetstream.publish_batch(batch));
    const auto figures = all([&](std::string_view peer) { return consume(peer, client, kStored); });
    add(report, "consume", "1/s", "higher", &Figures::rate, figures, best_peer(figures));
    cpu(report, "consume", figures);
  }

  /// With `sync_interval: always`, what an acknowledged message costs by the size of the batch it comes in.
  void durable(Report& report) {
    NatsServer server("jetstream { store_dir: $STORE_DIR, sync_interval: always }\n");
    Client client(server.url());
    nats::StreamConfig stream;
    stream.name = "DURABLE";
    stream.subjects = {"durable.>"};
    stream.allow_atomic = true;
    client.must(client.jetstream.ensure_stream(stream));
    for (const std::size_t size : {1, 10, 100, 1000}) {
      const double rate = client.must(durable_rate(client.jetstream, size, seconds_)).value();
      add(report, "durable.batch-of-" + std::to_string(size), "1/s", "higher", &Figures::rate,
          {{std::string(kOurs), {rate}}}, size == 1000 ? std::optional(80'000.0) : std::nullopt);
    }
  }

  void watched_cache(Report& report) {
    Client client(server_.url());
    nats::BucketConfig bucket;
    bucket.name = "cache";
    bucket.storage = "memory";
    client.must(nats::KeyValue::ensure(client.jetstream, bucket));
    nats::KeyValue values(client.jetstream, "cache");
    constexpr int kKeys = 2000;
    std::vector<std::string> keys;
    for (int i = 0; i < kKeys; ++i) {
      keys.push_back("user." + std::to_string(i * 7919 % 100'000) + ".consent");
      client.must(values.put(keys.back(), "granted"));
    }
    nats::WatchedBucket watched(client.jetstream, "cache");
    client.must(watched.start(in(10)));
    constexpr int kRounds = 500;
    std::size_t found = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < kRounds; ++round) {
      for (const auto& key : keys) found += watched.find(key)->value.size();
    }
    const double nanoseconds = seconds_since(begin) * 1e9 / (double{kRounds} * kKeys);
    if (found != std::size_t{kRounds} * kKeys * 7) std::_Exit(1);
    report.add({"kv.cached-read", "ns", "lower", nanoseconds, {}, 100, {}});
  }

 private:
  using All = std::map<std::string, Figures, std::less<>>;

  /// `work` by every client, with the server's processor time a message beside it.
  All all(const std::function<Figures(std::string_view)>& work) {
    All figures;
    for (const auto peer : peers_) {
      const auto what = peer == kOurs ? "ours" : std::string(peer);
      std::fprintf(stderr, "  %s …\n", what.c_str());
      figures[std::string(peer)] = work(peer);
    }
    return figures;
  }

  /// Measures processor time around `work`, which says how many messages it moved.
  Figures measured(const std::function<Figures()>& work,
                   const std::function<double(const Figures&)>& messages, bool in_this_process) {
    const double client = cpu_us(::getpid()), server = cpu_us(server_.pid());
    auto figures = work();
    const double count = std::max(messages(figures), 1.0);
    if (in_this_process) figures.client_cpu = (cpu_us(::getpid()) - client) / count;
    figures.server_cpu = (cpu_us(server_.pid()) - server) / count;
    return figures;
  }

  static double best_peer(const All& figures) {
    double best = 0;
    for (const auto& [peer, one] : figures)
      if (peer != kOurs) best = std::max(best, one.rate);
    return best;
  }

  static void add(Report& report, std::string id, std::string unit, std::string better,
                  double Figures::*field, const All& figures, std::optional<double> aim = {}) {
    Row row{std::move(id),
            std::move(unit),
            std::move(better),
            figures.at(std::string(kOurs)).*field,
            {},
            aim,
            {}};
    for (const auto& [peer, one] : figures)
      if (peer != kOurs && one.*field > 0) row.peers[peer] = one.*field;
    report.add(std::move(row));
  }
  static void cpu(Report& report, const std::string& id, const All& figures) {
    add(report, id + ".cpu.client", "us/msg", "lower", &Figures::client_cpu, figures);
    add(report, id + ".cpu.server", "us/msg", "lower", &Figures::server_cpu, figures);
  }

  Figures request(std::string_view peer, int in_flight) {
    const auto responder = start_responder(peer);
    const auto by_time = [&](const Figures& figures) { return figures.rate * seconds_; };
    const auto of = [&](std::vector<float> latencies) {
      const auto count = static_cast<double>(latencies.size());
      return Figures{count / seconds_, percentile(latencies, 0.5), percentile(latencies, 0.99)};
    };
    Figures figures;
    if (peer == kOurs) {
      Client client(server_.url());
      Load(client.connection, "echo", in_flight, 0.2);
      figures = measured(
          [&] {
            Load load(client.connection, "echo", in_flight, seconds_);
            return of(*client.must(load.run()));
          },
          by_time, true);
    } else if (peer == kNatsc) {
      figures = measured(
          [&] {
            return of(natsc_request({server_.url(), "", "", "_INBOX_natsc"}, "echo", in_flight, seconds_,
                                    std::string(kSize, 'x')));
          },
          by_time, true);
    } else if (peer == kGo) {
      // It counts messages, not time: as many as it does in about that time.
      const auto messages = static_cast<int>(seconds_ * (in_flight > 1 ? 30'000 : 5'000));
      figures = measured(
          [&] {
            return read_go(go("service request echo --size 128 --clients " + std::to_string(in_flight) +
                              " --msgs " + std::to_string(messages)));
          },
          [&](const Figures&) { return messages; }, false);
    } else {
      figures = measured(
          [&] {
            return node("request echo " + std::to_string(in_flight) + " " + std::to_string(seconds_) +
                        " 128");
          },
          by_time, false);
    }
    end_child(responder);
    return figures;
  }

  pid_t start_responder(std::string_view peer) {
    const auto pid = fork_child([&] {
      if (peer == kOurs) {
        Client client(server_.url());
        auto& connection = client.connection;
        const auto subscription = connection.subscribe("echo", [&](const nats::MessageView& message) {
          static_cast<void>(connection.publish(message.reply, message.payload));
        });
        client.io.run();
      } else if (peer == kNatsc) {
        natsc_respond({server_.url(), "", "", "_INBOX"}, "echo");
      } else if (peer == kGo) {
        silence();
        ::execl(go_.c_str(), "nats", "-s", server_.url().c_str(), "bench", "service", "serve", "echo",
                "--size", "128", "--no-progress", nullptr);
      } else {
        silence();
        ::execlp("node", "node", (node_ + "/index.js").c_str(), server_.url().c_str(), "respond", "echo",
                 nullptr);
      }
    });
    Client probe(server_.url());
    const nats::HeaderBlock none;
    while (!probe.run(probe.connection.request("echo", "?", none, in(1)))) ::usleep(20'000);
    return pid;
  }
  static void silence() {
    if (std::freopen("/dev/null", "w", stdout) == nullptr ||
        std::freopen("/dev/null", "w", stderr) == nullptr)
      std::_Exit(1);
  }

  Figures publish(std::string_view peer) {
    const std::uint64_t count = peer == kNode ? 1'000'000 : 4'000'000;
    const auto exactly = [&](const Figures&) { return static_cast<double>(count); };
    const auto timed = [&](const std::function<void()>& work) {
      return measured(
          [&] {
            const auto begin = std::chrono::steady_clock::now();
            work();
            return Figures{static_cast<double>(count) / seconds_since(begin)};
          },
          exactly, true);
    };
    if (peer == kOurs) {
      Client client(server_.url());
      return timed([&] { client.must(publish_all(client.connection, "void", count)); });
    }
    if (peer == kNatsc) return timed([&] { natsc_publish(server_.url(), "void", count, kSize); });
    if (peer == kGo)
      return measured([&] { return read_go(go("pub void --size 128 --msgs " + std::to_string(count))); },
                      exactly, false);
    return measured([&] { return node("publish void " + std::to_string(count) + " 128"); }, exactly, false);
  }

  /// One process publishes, another receives; the time until the last message has arrived.
  Figures through(std::string_view peer) {
    const std::uint64_t count = peer == kNode ? 500'000 : 2'000'000;
    int ready[2];
    if (::pipe(ready) != 0) std::_Exit(1);
    const auto receiver = fork_child([&] {
      if (peer == kOurs) {
        Client client(server_.url());
        client.must(receive_all(client.connection, "one", count, ready[1]));
      } else if (peer == kNatsc) {
        natsc_receive(server_.url(), "one", count, ready[1]);
      } else {
        // Both say on their output that they listen.
        ::dup2(ready[1], 1);
        ::dup2(ready[1], 2);
        const auto total = std::to_string(count);
        if (peer == kGo)
          ::execl(go_.c_str(), "nats", "-s", server_.url().c_str(), "bench", "sub", "one", "--size", "128",
                  "--msgs", total.c_str(), "--no-progress", nullptr);
        ::execlp("node", "node", (node_ + "/index.js").c_str(), server_.url().c_str(), "receive", "one",
                 total.c_str(), nullptr);
      }
    });
    char byte = 0;
    if (::read(ready[0], &byte, 1) != 1) std::_Exit(1);
    if (peer == kGo) ::usleep(300'000);  // its line comes just before it subscribes
    const auto figures = measured(
        [&] {
          const auto begin = std::chrono::steady_clock::now();
          if (peer == kOurs) {
            Client client(server_.url());
            client.must(publish_all(client.connection, "one", count));
          } else if (peer == kNatsc) {
            natsc_publish(server_.url(), "one", count, kSize);
          } else if (peer == kGo) {
            go("pub one --size 128 --msgs " + std::to_string(count));
          } else {
            node("publish one " + std::to_string(count) + " 128");
          }
          ::waitpid(receiver, nullptr, 0);
          return Figures{static_cast<double>(count) / seconds_since(begin)};
        },
        [&](const Figures&) { return static_cast<double>(count); }, peer == kOurs || peer == kNatsc);
    ::close(ready[0]);
    ::close(ready[1]);
    return figures;
  }

  Figures consume(std::string_view peer, Client& client, std::uint64_t count) {
    nats::ConsumerConfig consumer;
    consumer.durable_name = "c" + std::to_string(++consumers_);
    consumer.ack_policy = "none";
    client.must(client.jetstream.ensure_consumer("BENCH", consumer));
    const auto exactly = [&](const Figures&) { return static_cast<double>(count); };
    const auto timed = [&](const std::function<void()>& work) {
      return measured(
          [&] {
            const auto begin = std::chrono::steady_clock::now();
            work();
            return Figures{static_cast<double>(count) / seconds_since(begin)};
          },
          exactly, true);
    };
    if (peer == kOurs)
      return timed(
          [&] { client.must(consume_all(client.jetstream, "BENCH", consumer.durable_name, count)); });
    if (peer == kNatsc)
      return timed([&] { natsc_consume(server_.url(), "BENCH", consumer.durable_name, count); });
    if (peer == kGo)
      return measured(
          [&] {
            return read_go(go("js consume --stream BENCH --consumer " + consumer.durable_name +
                              " --acks none --batch 1000 --size 256 --msgs " + std::to_string(count)));
          },
          exactly, false);
    return measured(
        [&] { return node("consume BENCH " + consumer.durable_name + " " + std::to_string(count)); }, exactly,
        false);
  }

  /// Two batches under way, so that the disk never waits for us.
  static Task<double> durable_rate(nats::JetStream& jetstream, std::size_t size, double seconds) {
    using namespace asio::experimental::awaitable_operators;
    const auto begin = std::chrono::steady_clock::now();
    const auto end = in(seconds);
    auto [first, second] = co_await (contain(store_batches(jetstream, size, end)) &&
                                     contain(store_batches(jetstream, size, end)));
    if (!first) co_return fail(first.error());
    if (!second) co_return fail(second.error());
    co_return static_cast<double>(*first + *second) / seconds_since(begin);
  }
  static Task<std::uint64_t> store_batches(nats::JetStream& jetstream, std::size_t size, SteadyTime end) {
    std::vector<nats::Outgoing> batch(size, {"durable.a", std::string(kStoredSize, 'x'), {}});
    std::uint64_t stored = 0;
    while (std::chrono::steady_clock::now() < end) {
      CO_CHECK(co_await jetstream.publish_batch(batch));
      stored += size;
    }
    co_return stored;
  }

  /// The tool from PATH, or built once into .deps where there is Go.
  bool find_go() {
    const std::string built = INTRA365_SOURCE_DIR "/.deps/bin/nats";
    const auto found = output_of("command -v nats 2>/dev/null");
    go_ = found.empty() ? built : found.substr(0, found.find('\n'));
    if (::access(go_.c_str(), X_OK) == 0) return true;
    std::fprintf(stderr, "building the nats tool for comparison …\n");
    const auto build = "GOBIN='" INTRA365_SOURCE_DIR
                       "/.deps/bin' go install github.com/nats-io/natscli/nats@v0.5.1 >/dev/null 2>&1";
    return std::system(build) == 0 && ::access(go_.c_str(), X_OK) == 0;
  }
  std::string go(const std::string& work) {
    return output_of("NO_COLOR=1 '" + go_ + "' -s " + server_.url() + " bench " + work +
                     " --no-progress 2>&1");
  }
  /// The last line of statistics: `… 31,963 msgs/sec …`, and latencies where it has them.
  static Figures read_go(const std::string& text) {
    Figures figures;
    const auto last = [&](const char* pattern) {
      const std::regex expression(pattern);
      double value = 0;
      for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match) {
        auto digits = (*match)[1].str();
        std::erase(digits, ',');
        value = std::strtod(digits.c_str(), nullptr);
      }
      return value;
    };
    figures.rate = last("stats: ([0-9,]+) msgs/sec");
    figures.p50 = last("P50:? ([0-9.,]+)us");
    figures.p99 = last("P99:? ([0-9.,]+)us");
    return figures;
  }
  Figures node(const std::string& work) {
    const auto text = output_of("node '" + node_ + "/index.js' " + server_.url() + " " + work);
    const auto figures = json::decode<Figures>(text.substr(0, text.find('\n')));
    return figures ? *figures : Figures{};
  }

  double seconds_;
  NatsServer server_{"jetstream { store_dir: $STORE_DIR }\n"};
  std::string go_, node_ = INTRA365_SOURCE_DIR "/bench/peers/nats";
  std::vector<std::string_view> peers_;
  int consumers_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false;
  double seconds = 3;
  std::string_view only;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--seconds") == 0 && i + 1 < count) seconds = std::atof(arguments[++i]);
    if (std::strcmp(arguments[i], "--only") == 0 && i + 1 < count) only = arguments[++i];
  }
  Report report{"nats", machine(), {}};
  Bench bench(seconds);
  const std::pair<std::string_view, void (Bench::*)(Report&)> parts[] = {
      {"request", &Bench::request_reply}, {"publish", &Bench::publish}, {"one-to-one", &Bench::one_to_one},
      {"consume", &Bench::consume},       {"durable", &Bench::durable}, {"kv", &Bench::watched_cache}};
  for (const auto& [name, part] : parts) {
    if (!only.empty() && only != name) continue;
    std::fprintf(stderr, "%.*s\n", int(name.size()), name.data());
    (bench.*part)(report);
  }
  report.print(as_json);
  return 0;
}
