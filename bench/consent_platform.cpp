#include "bench/consent_platform.hpp"

#include <cstring>
#include <filesystem>
#include <functional>

#include "bench/process.hpp"
#include "cli/target.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "contract/subjects.hpp"
#include "sdk/cpp/mate.hpp"

namespace intra365::bench {
namespace {

constexpr int kPeople = 16;
const MateId kMate = MateId::trusted("bench-mate");
const Scope kScope = Scope::trusted("bench.read");
const Purpose kPurpose = Purpose::trusted("benchmark");

UserId person(int number) {
  return UserId::trusted("person-" + std::to_string(number));
}

[[noreturn]] void stop(const Error& error) {
  std::fprintf(stderr, "consent_bench: %s: %s\n", error.code.c_str(), error.detail.c_str());
  std::_Exit(1);
}

/// Runs one coroutine to its end on a fresh loop.
template <class T>
T run(const std::function<Task<T>(asio::io_context&)>& body) {
  asio::io_context io(1);
  Result<T> outcome = fail(errors::internal, "did not end");
  asio::co_spawn(io, contain(body(io)), [&](std::exception_ptr, Result<T> result) {
    outcome = std::move(result);
    io.stop();
  });
  io.run();
  if (!outcome) stop(outcome.error());
  if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

struct Keys {
  std::string mate;
  std::vector<std::string> people;
};

Task<Keys> make_identities(asio::io_context& io, sdk::ClientOptions options) {
  sdk::Client admin(io.get_executor(), std::move(options));
  CO_CHECK(co_await admin.connect(in(10)));
  Keys keys;
  auth::MateCreateRequest mate;
  mate.name = kMate;
  CO_TRY(const auto made_mate, co_await admin.call(auth::mate_create, std::move(mate)));
  keys.mate = made_mate.api_key;
  for (int i = 0; i < kPeople; ++i) {
    auth::UserCreateRequest user;
    user.name = person(i);
    CO_TRY(const auto made, co_await admin.call(auth::user_create, std::move(user)));
    keys.people.push_back(made.api_key);
  }
  co_await admin.drain(in(1));
  co_return keys;
}

/// A Mate that answers `guarded.read` with every check, and `bare` with none, until it is killed.
Task<> serve(asio::io_context& io, sdk::ClientOptions options) {
  registry::Mate description;
  description.name = "Benchmark";
  description.type = "service";
  description.version = "1.0.0";
  description.capabilities = {Capability::trusted("guarded")};
  sdk::Mate mate(io.get_executor(), std::move(options), std::move(description));
  mate.on(Capability::trusted("guarded"), "read", {{kScope}, kPurpose},
          [](const sdk::Call& call) -> Result<std::string> { return call.payload; });
  CO_CHECK(co_await mate.start(in(15)));
  auto& connection = mate.client().connection();
  auto bare = connection.subscribe(subjects::mate(kMate, "bare"), [&](const nats::MessageView& message) {
    static_cast<void>(connection.publish(message.reply, message.payload));
  });
  CO_CHECK(co_await connection.flush(in(5)));
  co_await sleep_for(std::chrono::hours(1));
  co_return Result<void>{};
}

/// Keeps requests under way and notes each one's latency in microseconds. A reply without `expected` in it
/// ends the benchmark.
Task<std::vector<float>> load(nats::Connection& connection, std::string subject, nats::HeaderBlock headers,
                              std::string body, std::string expected, int in_flight, double seconds) {
  std::vector<float> latencies;
  latencies.reserve(2'000'000);
  const auto end = in(seconds);
  asio::steady_timer done(connection.executor(), SteadyTime::max());
  int under_way = 0;
  std::function<void()> send = [&] {
    ++under_way;
    const auto sent = std::chrono::steady_clock::now();
    connection.async_request(
        subject, body, headers, sent + std::chrono::seconds(5), [&, sent](Result<nats::MessageView> reply) {
          --under_way;
          if (!reply) stop(reply.error());
          if (reply->payload.find(expected) == std::string_view::npos)
            stop(Error(errors::internal, std::string(reply->payload.substr(0, 300))));
          const auto now = std::chrono::steady_clock::now();
          latencies.push_back(std::chrono::duration<float, std::micro>(now - sent).count());
          if (now < end)
            send();
          else if (under_way == 0)
            done.cancel();
        });
  };
  for (int i = 0; i < in_flight; ++i) send();
  boost::system::error_code ignored;
  co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return latencies;
}

struct Loads {
  std::vector<float> verify_one, verify_many, echo_one, echo_many;
};

Task<Loads> verify_and_echo(asio::io_context& io, sdk::ClientOptions options, double seconds) {
  sdk::Client client(io.get_executor(), std::move(options));
  CO_CHECK(co_await client.connect(in(10)));
  consent::VerifyRequest question;
  question.user_id = person(0);
  question.mate_id = kMate;
  question.scopes = {kScope};
  question.purpose = kPurpose;
  const auto body = json::encode(question);
  const sdk::CallOptions call;
  const auto headers = client.headers(call);
  const std::string verify(consent::verify.spec.subject), echo = subjects::mate(kMate, "bare");
  const std::string yes = "\"allowed\":true";
  auto& connection = client.connection();
  CO_TRY(const auto warm, co_await load(connection, verify, headers, body, yes, 8, 1));
  Loads loads;
  CO_TRY(loads.verify_one, co_await load(connection, verify, headers, body, yes, 1, seconds));
  CO_TRY(loads.echo_one, co_await load(connection, echo, headers, body, "", 1, seconds));
  CO_TRY(loads.verify_many, co_await load(connection, verify, headers, body, yes, 256, seconds));
  CO_TRY(loads.echo_many, co_await load(connection, echo, headers, body, "", 256, seconds));
  co_await client.drain(in(1));
  co_return loads;
}

/// Several people grant at once, each durable with its history before the next one of the same slot.
Task<std::size_t> grants(asio::io_context& io, sdk::ClientOptions options, std::vector<std::string> keys,
                         double seconds) {
  std::vector<std::unique_ptr<sdk::Client>> people;
  for (const auto& key : keys) {
    auto own = options;
    own.api_key = key;
    people.push_back(std::make_unique<sdk::Client>(io.get_executor(), std::move(own)));
    CO_CHECK(co_await people.back()->connect(in(10)));
  }
  constexpr int kSlots = 8;
  const auto end = in(seconds);
  std::size_t granted = 0;
  int under_way = 0;
  asio::steady_timer done(io, SteadyTime::max());
  const sdk::CallOptions call;
  std::function<void(int, int)> send = [&](int who, int slot) {
    ++under_way;
    consent::GrantRequest request;
    request.user_id = person(who);
    request.mate_id = MateId::trusted("mate-" + std::to_string(who) + "-" + std::to_string(slot));
    request.scopes = {kScope};
    request.purposes = {kPurpose};
    auto& client = *people[static_cast<std::size_t>(who)];
    client.connection().async_request(
        consent::grant.spec.subject, json::encode(request), client.headers(call), in(10),
        [&, who, slot](Result<nats::MessageView> reply) {
          --under_way;
          if (!reply) stop(reply.error());
          if (reply->payload.find("\"consentId\"") == std::string_view::npos)
            stop(Error(errors::internal, std::string(reply->payload.substr(0, 300))));
          ++granted;
          if (std::chrono::steady_clock::now() < end)
            send(who, slot);
          else if (under_way == 0)
            done.cancel();
        });
  };
  for (int who = 0; who < kPeople; ++who)
    for (int slot = 0; slot < kSlots; ++slot) send(who, slot);
  boost::system::error_code ignored;
  co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  for (auto& one : people) co_await one->drain(in(1));
  co_return granted;
}

/// From the moment a person revokes to the first call that the Mate's enforcement point refuses.
Task<std::vector<float>> revocations(asio::io_context& io, sdk::ClientOptions options, std::string key,
                                     int rounds) {
  options.api_key = std::move(key);
  sdk::Client user(io.get_executor(), std::move(options));
  CO_CHECK(co_await user.connect(in(10)));
  sdk::CallOptions call;
  call.user_id = person(1);
  const auto headers = user.headers(call);
  const auto subject = subjects::mate(kMate, "guarded.read");
  const auto allowed = [&]() -> Task<bool> {
    CO_TRY(const auto reply, co_await user.connection().request(subject, "x", headers, in(5)));
    co_return reply.payload() == "x";
  };
  std::vector<float> milliseconds;
  for (int round = 0; round < rounds; ++round) {
    consent::GrantRequest grant;
    grant.user_id = person(1);
    grant.mate_id = kMate;
    grant.scopes = {kScope};
    grant.purposes = {kPurpose};
    CO_TRY(const auto given, co_await user.call(consent::grant, std::move(grant)));
    for (bool yes = false; !yes;) {
      CO_TRY(yes, co_await allowed());
    }
    consent::RevokeRequest revoke;
    revoke.consent_id = given.consent_id;
    const auto begun = std::chrono::steady_clock::now();
    const sdk::CallOptions plain;
    CO_CHECK(
        user.connection().publish(consent::revoke.spec.subject, json::encode(revoke), user.headers(plain)));
    for (bool yes = true; yes;) {
      CO_TRY(yes, co_await allowed());
    }
    milliseconds.push_back(
        std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - begun).count());
  }
  co_await user.drain(in(1));
  co_return milliseconds;
}

}  // namespace

void consent_on_platform(double seconds, Report& report) {
  char directory[] = "/tmp/intra365-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) stop(Error(errors::internal, "no directory"));
  const auto platform = fork_child([&] {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
    ::execl(INTRA365_BINARY_DIR "/intra365", "intra365", "--data", directory, "up", "--gateway",
            "127.0.0.1:0", "--nats", "127.0.0.1:0", nullptr);
  });
  cli::Target target;
  target.data_dir = directory;
  for (int waited = 0; !cli::read_endpoints(target.data_dir) && waited < 600; ++waited) ::usleep(100'000);
  const auto admin = cli::client_options(target);
  if (!admin) stop(admin.error());
  const auto as = [&](const std::string& key) {
    auto options = *admin;
    options.api_key = key;
    return options;
  };
  const auto keys = run<Keys>([&](asio::io_context& io) { return make_identities(io, *admin); });
  const auto mate =
      fork_child([&] { run<void>([&](asio::io_context& io) { return serve(io, as(keys.mate)); }); });
  ::sleep(2);

  auto delays = run<std::vector<float>>(
      [&](asio::io_context& io) { return revocations(io, *admin, keys.people[1], 200); });
  run<void>([&](asio::io_context& io) -> Task<> {
    sdk::Client user(io.get_executor(), as(keys.people[0]));
    CO_CHECK(co_await user.connect(in(10)));
    consent::GrantRequest grant;
    grant.user_id = person(0);
    grant.mate_id = kMate;
    grant.scopes = {kScope};
    grant.purposes = {kPurpose};
    CO_CHECK(co_await user.call(consent::grant, std::move(grant)));
    co_await user.drain(in(1));
    co_return Result<void>{};
  });
  auto loads = run<Loads>([&](asio::io_context& io) { return verify_and_echo(io, as(keys.mate), seconds); });
  const auto granted =
      run<std::size_t>([&](asio::io_context& io) { return grants(io, *admin, keys.people, seconds); });
  end_child(mate);
  end_child(platform, SIGTERM);
  std::filesystem::remove_all(directory);

  const auto rate = [&](const std::vector<float>& list) { return double(list.size()) / seconds; };
  const auto verify_p50 = percentile(loads.verify_one, 0.5), echo_p50 = percentile(loads.echo_one, 0.5);
  report.add({"nats.verify",
              "1/s",
              "higher",
              rate(loads.verify_many),
              {{"echo", rate(loads.echo_many)}},
              60'000,
              {}});
  report.add({"nats.verify.p50", "us", "lower", verify_p50, {{"echo", echo_p50}}, echo_p50 + 40, {}});
  report.add({"nats.verify.p99",
              "us",
              "lower",
              percentile(loads.verify_one, 0.99),
              {{"echo", percentile(loads.echo_one, 0.99)}},
              {},
              {}});
  report.add({"grants", "1/s", "higher", double(granted) / seconds, {}, 3'000, {}});
  report.add({"revoke.p50", "ms", "lower", percentile(delays, 0.5), {}, 5, {}});
  report.add({"revoke.p99", "ms", "lower", percentile(delays, 0.99), {}, 50, {}});
}

}  // namespace intra365::bench
