// Mate-to-Mate request/reply with every check on (token, policy, consent, audit), beside the same client
// without checks and beside nats.c, on one machine in one run.
//
//   mesh_bench [--json] [--seconds N]
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "bench/mesh_natsc.hpp"
#include "bench/report.hpp"
#include "cli/target.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "contract/subjects.hpp"
#include "sdk/cpp/mate.hpp"

using namespace intra365;
using bench::NatscLogin;

namespace {

constexpr std::string_view kCapability = "echo", kAction = "echo";
const std::string kPayload(128, 'x');

SteadyTime in(double seconds) {
  return std::chrono::steady_clock::now() + std::chrono::microseconds(std::int64_t(seconds * 1e6));
}

/// Runs one coroutine to its end on a fresh loop.
template <class T>
T run(std::function<Task<T>(asio::io_context&)> body) {
  asio::io_context io(1);
  Result<T> outcome = fail(errors::internal, "did not end");
  asio::co_spawn(io, contain(body(io)), [&](std::exception_ptr, Result<T> result) {
    outcome = std::move(result);
    io.stop();
  });
  io.run();
  if (outcome) {
    if constexpr (!std::is_void_v<T>)
      return *std::move(outcome);
    else
      return;
  }
  std::fprintf(stderr, "mesh_bench: %s: %s\n", outcome.error().code.c_str(), outcome.error().detail.c_str());
  std::_Exit(1);
}

/// A forked child that ends with us.
template <class Body>
pid_t fork_child(Body body) {
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) std::_Exit(1);
  body();
  std::_Exit(0);
}

void end_child(pid_t pid, int signal) {
  ::kill(pid, signal);
  ::waitpid(pid, nullptr, 0);
}

struct Keys {
  std::string caller, responder, user;
};

Task<Keys> make_identities(asio::io_context& io, sdk::ClientOptions options) {
  sdk::Client admin(io.get_executor(), std::move(options));
  CO_CHECK(co_await admin.connect(in(10)));
  Keys keys;
  auth::MateCreateRequest caller;
  caller.name = MateId::trusted("bench-caller");
  CO_TRY(const auto made_caller, co_await admin.call(auth::mate_create, std::move(caller)));
  auth::MateCreateRequest responder;
  responder.name = MateId::trusted("bench-responder");
  CO_TRY(const auto made_responder, co_await admin.call(auth::mate_create, std::move(responder)));
  auth::UserCreateRequest user;
  user.name = UserId::trusted("bench-user");
  CO_TRY(const auto made_user, co_await admin.call(auth::user_create, std::move(user)));
  keys = {made_caller.api_key, made_responder.api_key, made_user.api_key};
  co_await admin.drain(in(1));
  co_return keys;
}

Task<ConsentId> grant(asio::io_context& io, sdk::ClientOptions options) {
  sdk::Client user(io.get_executor(), std::move(options));
  CO_CHECK(co_await user.connect(in(10)));
  consent::GrantRequest request;
  request.user_id = UserId::trusted("bench-user");
  request.mate_id = MateId::trusted("bench-responder");
  request.scopes = {Scope::trusted("bench.echo")};
  request.purposes = {Purpose::trusted("benchmark")};
  CO_TRY(const auto record, co_await user.call(consent::grant, std::move(request)));
  co_await user.drain(in(1));
  co_return record.consent_id;
}

Result<std::string> echo(const sdk::Call& call) {
  return call.payload;
}

/// Answers with every check on `echo.echo`, and without any on `bare`, until it is killed.
Task<> respond(asio::io_context& io, sdk::ClientOptions options) {
  registry::Mate description;
  description.name = "Benchmark";
  description.type = "service";
  description.version = "1.0.0";
  description.capabilities = {Capability::trusted(std::string(kCapability))};
  sdk::Mate mate(io.get_executor(), std::move(options), std::move(description));
  mate.on(Capability::trusted(std::string(kCapability)), std::string(kAction),
          {{Scope::trusted("bench.echo")}, Purpose::trusted("benchmark")}, echo);
  CO_CHECK(co_await mate.start(in(15)));
  auto& connection = mate.client().connection();
  const auto bare = subjects::mate(MateId::trusted("bench-responder"), "bare");
  auto subscription = connection.subscribe(bare, [&](const nats::MessageView& message) {
    static_cast<void>(connection.publish(message.reply, message.payload));
  });
  CO_CHECK(co_await connection.flush(in(5)));
  co_await sleep_for(std::chrono::hours(1));
  co_return Result<void>{};
}

/// Keeps a number of requests under way and notes each one's latency.
class Load {
 public:
  Load(nats::Connection& connection, std::string subject, nats::HeaderBlock headers, int in_flight,
       double seconds)
      : connection_(connection),
        subject_(std::move(subject)),
        headers_(std::move(headers)),
        in_flight_(in_flight),
        end_(in(seconds)),
        done_(connection.executor(), SteadyTime::max()) {
    latencies_.reserve(4'000'000);
  }
  Task<std::vector<float>> run() {
    for (int i = 0; i < in_flight_; ++i) send();
    boost::system::error_code ignored;
    co_await done_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (error_) co_return fail(*error_);
    co_return std::move(latencies_);
  }

 private:
  void send() {
    ++under_way_;
    const auto sent = std::chrono::steady_clock::now();
    connection_.async_request(
        subject_, kPayload, headers_, sent + std::chrono::seconds(5),
        [this, sent](Result<nats::MessageView> reply) {
          --under_way_;
          const auto now = std::chrono::steady_clock::now();
          if (!reply)
            error_ = reply.error();
          else if (reply->payload != kPayload)
            error_ =
                Error(ErrorKind::internal, "bench.wrong_reply", std::string(reply->payload.substr(0, 200)));
          else
            latencies_.push_back(std::chrono::duration<float, std::micro>(now - sent).count());
          if (now < end_ && !error_)
            send();
          else if (under_way_ == 0)
            done_.cancel();
        });
  }
  nats::Connection& connection_;
  std::string subject_;
  nats::HeaderBlock headers_;
  int in_flight_, under_way_ = 0;
  SteadyTime end_;
  asio::steady_timer done_;
  std::vector<float> latencies_;
  std::optional<Error> error_;
};

struct Measured {
  double p50 = 0, p99 = 0, per_second = 0, caller_cpu = 0, responder_cpu = 0, server_cpu = 0;
};

struct Processes {
  int responder = 0, server = 0;
};

Measured measure(const Processes& processes, double seconds,
                 const std::function<std::vector<float>()>& work) {
  const double caller = bench::cpu_us(::getpid()), responder = bench::cpu_us(processes.responder),
               server = bench::cpu_us(processes.server);
  auto latencies = work();
  std::ranges::sort(latencies);
  const auto count = double(std::max<std::size_t>(latencies.size(), 1));
  Measured measured;
  if (!latencies.empty()) {
    measured.p50 = latencies[latencies.size() / 2];
    measured.p99 = latencies[std::size_t(double(latencies.size()) * 0.99)];
  }
  measured.per_second = double(latencies.size()) / seconds;
  measured.caller_cpu = (bench::cpu_us(::getpid()) - caller) / count;
  measured.responder_cpu = (bench::cpu_us(processes.responder) - responder) / count;
  measured.server_cpu = (bench::cpu_us(processes.server) - server) / count;
  return measured;
}

std::vector<float> our_load(const sdk::ClientOptions& options, bool checked, ConsentId consent, int in_flight,
                            double seconds) {
  return run<std::vector<float>>([&](asio::io_context& io) -> Task<std::vector<float>> {
    sdk::Client client(io.get_executor(), options);
    CO_CHECK(co_await client.connect(in(10)));
    sdk::CallOptions call;
    call.user_id = UserId::trusted("bench-user");
    call.consent_id = consent;
    const auto subject = subjects::mate(MateId::trusted("bench-responder"), checked ? "echo.echo" : "bare");
    Load load(client.connection(), subject, checked ? client.headers(call) : nats::HeaderBlock(), in_flight,
              seconds);
    auto latencies = co_await load.run();
    co_await client.drain(in(1));
    co_return latencies;
  });
}

void report(bench::Report& report, int in_flight, const Measured& checked, const Measured& bare,
            const std::optional<Measured>& natsc) {
  const auto row = [&](std::string id, std::string unit, std::string better, double Measured::*field,
                       std::optional<double> aim = {}) {
    bench::Row line{std::move(id) + "." + std::to_string(in_flight),
                    std::move(unit),
                    std::move(better),
                    checked.*field,
                    {{"bare", bare.*field}},
                    aim,
                    {}};
    if (natsc) line.peers["nats.c"] = (*natsc).*field;
    report.add(std::move(line));
  };
  row("p50", "us", "lower", &Measured::p50, bare.p50 + 60);
  row("p99", "us", "lower", &Measured::p99);
  row("calls", "1/s", "higher", &Measured::per_second, bare.per_second * 0.6);
  row("cpu.caller", "us/call", "lower", &Measured::caller_cpu);
  row("cpu.responder", "us/call", "lower", &Measured::responder_cpu);
  row("cpu.nats-server", "us/call", "lower", &Measured::server_cpu);
}

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false;
  double seconds = 3;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--seconds") == 0 && i + 1 < count) seconds = std::atof(arguments[++i]);
  }

  char directory[] = "/tmp/intra365-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) return 1;
  const auto platform = fork_child([&] {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
    ::execl(INTRA365_BINARY_DIR "/intra365", "intra365", "--data", directory, "up", "--gateway",
            "127.0.0.1:0", "--nats", "127.0.0.1:0", nullptr);
  });
  cli::Target target;
  target.data_dir = directory;
  for (int waited = 0; !cli::read_endpoints(target.data_dir) && waited < 600; ++waited) ::usleep(100'000);
  auto admin = cli::client_options(target);
  if (!admin) return cli::report(admin.error());
  const auto as = [&](const std::string& key) {
    auto options = *admin;
    options.api_key = key;
    return options;
  };
  const auto keys = run<Keys>([&](asio::io_context& io) { return make_identities(io, *admin); });
  const auto consent = run<ConsentId>([&](asio::io_context& io) { return grant(io, as(keys.user)); });
  const auto responder =
      fork_child([&] { run<void>([&](asio::io_context& io) { return respond(io, as(keys.responder)); }); });
  const NatscLogin natsc_responder{admin->nats_url, "api-key", keys.responder, "_INBOX_bench-responder"};
  const NatscLogin natsc_caller{admin->nats_url, "api-key", keys.caller, "_INBOX_bench-caller"};
  const std::string natsc_subject = subjects::mate(MateId::trusted("bench-responder"), "natsc");
  const auto peer =
      bench::has_natsc() ? fork_child([&] { bench::natsc_respond(natsc_responder, natsc_subject); }) : 0;
  ::sleep(2);

  const auto server = bench::children(platform)["nats-server"];
  bench::Report result{"mesh", bench::machine(), {}};
  for (const int in_flight : {1, 64, 512}) {
    const Processes ours{responder, server};
    our_load(as(keys.caller), true, consent, in_flight, 0.5);  // warm-up
    const auto bare =
        measure(ours, seconds, [&] { return our_load(as(keys.caller), false, consent, in_flight, seconds); });
    const auto checked =
        measure(ours, seconds, [&] { return our_load(as(keys.caller), true, consent, in_flight, seconds); });
    std::optional<Measured> natsc;
    if (peer != 0)
      natsc = measure({peer, server}, seconds, [&] {
        return bench::natsc_request(natsc_caller, natsc_subject, in_flight, seconds, kPayload);
      });
    report(result, in_flight, checked, bare, natsc);
  }
  if (peer != 0)
    end_child(peer, SIGKILL);
  else
    std::fprintf(stderr, "nats.c is not installed: its column is left out\n");
  end_child(responder, SIGKILL);
  end_child(platform, SIGTERM);
  std::filesystem::remove_all(directory);
  result.print(as_json);
  return 0;
}
