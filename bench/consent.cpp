// Consent: decisions from memory by the number of consents, and on a running platform verification over NATS,
// durable grants, and how long a revocation takes to reach the last enforcement point.
//
//   consent_bench [--json] [--seconds N] [--memory | --platform]      only one half
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "bench/c15t.hpp"
#include "bench/http_load.hpp"
#include "bench/process.hpp"
#include "bench/report.hpp"
#include "cli/target.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "contract/subjects.hpp"
#include "guard/consent_index.hpp"
#include "sdk/cpp/mate.hpp"

using namespace intra365;
using bench::end_child;
using bench::fork_child;
using bench::in;

namespace {

std::size_t allocations = 0;

}  // namespace

// Counts what the measured decisions allocate: nothing.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

double percentile(const std::vector<float>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(double(sorted.size()) * part))];
}

std::string amount(std::size_t count) {
  if (count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + "M";
  return std::to_string(count / 1000) + "k";
}

// --- In memory
// -------------------------------------------------------------------------------------------------

/// One consent a person, for one of 50 Mates; 200 different scopes, 20 purposes, one to four of each.
class People {
 public:
  explicit People(std::size_t count) : count_(count) {
    for (int i = 0; i < 200; ++i)
      scopes_.push_back(Scope::trusted("area" + std::to_string(i % 40) + ".part" + std::to_string(i / 40)));
    for (int i = 0; i < 20; ++i) purposes_.push_back(Purpose::trusted("purpose" + std::to_string(i)));
    for (int i = 0; i < 50; ++i) mates_.push_back("mate-" + std::to_string(i));
  }
  consent::Consent consent(std::size_t number) const {
    consent::Consent one;
    one.consent_id = ConsentId::trusted(uuid(number));
    one.user_id = consent::SubjectId::trusted(user(number));
    one.mate_id = MateId::trusted(mate(number));
    for (std::size_t i = 0; i <= number % 4; ++i) one.scopes.push_back(scope(number, i));
    one.purposes = {purpose(number)};
    one.granted = true;
    one.epoch = one.mate_epoch = number + 1;
    one.expires_at = Timestamp(std::chrono::hours(24 * 365 * 100));
    return one;
  }
  std::string user(std::size_t number) const {
    return "person-" + std::to_string(number * 7919 % 1'000'003) + "-" + std::to_string(number);
  }
  const std::string& mate(std::size_t number) const { return mates_[number % mates_.size()]; }
  const Scope& scope(std::size_t number, std::size_t i) const {
    return scopes_[(number / 4 + i * 17) % scopes_.size()];
  }
  const Purpose& purpose(std::size_t number) const { return purposes_[number % purposes_.size()]; }
  std::size_t count() const { return count_; }

 private:
  static std::string uuid(std::size_t number) {
    char text[64];
    std::snprintf(text, sizeof text, "019a0000-%04x-7000-8000-%012zx", unsigned(number * 40503 % 65536),
                  number);
    return text;
  }
  std::size_t count_;
  std::vector<Scope> scopes_;
  std::vector<Purpose> purposes_;
  std::vector<std::string> mates_;
};

struct Question {
  std::string user;
  const std::string* mate;
  std::array<Scope, 1> scopes;
  const Purpose* purpose;
};

void in_memory(bench::Report& report, std::size_t count) {
  const People people(count);
  guard::ConsentIndex index;
  const auto today = system_clock().now();
  // Made beforehand in pages, as a sync brings them; only what the index does is measured.
  double load_seconds = 0;
  std::vector<consent::Consent> page;
  for (std::size_t first = 0; first < count; first += 5000) {
    page.clear();
    for (auto i = first; i < std::min(count, first + 5000); ++i) page.push_back(people.consent(i));
    const auto begun = now();
    for (const auto& one : page) index.apply(one, today);
    load_seconds += bench::seconds_since(begun);
  }

  constexpr std::size_t kQuestions = 400'000;
  std::mt19937_64 random(1);
  std::vector<Question> questions;
  questions.reserve(kQuestions);
  for (std::size_t i = 0; i < kQuestions; ++i) {
    const auto number = random() % count;
    questions.push_back(
        {people.user(number), &people.mate(number), {people.scope(number, 0)}, &people.purpose(number)});
  }
  std::vector<float> nanoseconds(kQuestions);
  std::size_t allowed = 0;
  char user[64];
  const auto before = allocations;
  for (std::size_t i = 0; i < kQuestions; ++i) {
    // A request that has just been read is in the processor's cache; of the index nothing need be.
    const auto& question = questions[i];
    const auto scopes = question.scopes;
    const auto length = question.user.copy(user, sizeof user);
    const auto begun = now();
    const auto answer =
        index.decide(std::string_view(user, length), *question.mate, scopes, question.purpose->str(), today);
    nanoseconds[i] = std::chrono::duration<float, std::nano>(now() - begun).count();
    allowed += answer.allowed() ? 1 : 0;
  }
  const auto allocated = allocations - before;
  if (allowed != kQuestions) {
    std::fprintf(stderr, "consent_bench: %zu of %zu allowed\n", allowed, kQuestions);
    std::_Exit(1);
  }
  std::ranges::sort(nanoseconds);
  const bool is_aim = count == 1'000'000;
  const auto aim = [&](double value) { return is_aim ? std::optional(value) : std::nullopt; };
  const auto suffix = "." + amount(count);
  report.add({"verify.p50" + suffix, "ns", "lower", percentile(nanoseconds, 0.5), {}, aim(500), {}});
  report.add({"verify.p99" + suffix, "ns", "lower", percentile(nanoseconds, 0.99), {}, {}, {}});
  report.add({"allocations" + suffix, "/verify", "lower", double(allocated) / kQuestions, {}, aim(0), {}});
  report.add({"memory" + suffix,
              "B/consent",
              "lower",
              double(index.size_bytes()) / double(count),
              {},
              aim(200),
              {}});
  report.add({"load" + suffix, "s", "lower", load_seconds, {}, aim(5), {}});
}

// --- On a platform
// ---------------------------------------------------------------------------------------------

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
  std::fprintf(stderr, "consent_bench: %s: %s\n", outcome.error().code.c_str(),
               outcome.error().detail.c_str());
  std::_Exit(1);
}

constexpr int kPeople = 32;

struct Keys {
  std::string asker, receiver;
  std::vector<std::string> people;
};

Task<Keys> make_identities(asio::io_context& io, sdk::ClientOptions options) {
  sdk::Client admin(io.get_executor(), std::move(options));
  CO_CHECK(co_await admin.connect(in(10)));
  Keys keys;
  for (auto [name, key] : {std::pair("asker", &keys.asker), std::pair("receiver", &keys.receiver)}) {
    auth::MateCreateRequest mate;
    mate.name = MateId::trusted(name);
    CO_TRY(auto made, co_await admin.call(auth::mate_create, std::move(mate)));
    *key = std::move(made.api_key);
  }
  for (int i = 0; i < kPeople; ++i) {
    auth::UserCreateRequest user;
    user.name = UserId::trusted("person-" + std::to_string(i));
    CO_TRY(auto made, co_await admin.call(auth::user_create, std::move(user)));
    keys.people.push_back(std::move(made.api_key));
  }
  co_await admin.drain(in(1));
  co_return keys;
}

/// Answers on `echo.echo` with every check, and on `bare` without any, until it is killed.
Task<> respond(asio::io_context& io, sdk::ClientOptions options) {
  registry::Mate description;
  description.name = "Receiver";
  description.type = "service";
  description.version = "1.0.0";
  description.capabilities = {Capability::trusted("echo")};
  sdk::Mate mate(io.get_executor(), std::move(options), std::move(description));
  mate.on(Capability::trusted("echo"), "echo",
          {{Scope::trusted("bench.echo")}, Purpose::trusted("benchmark")},
          [](const sdk::Call& call) -> Result<std::string> { return call.payload; });
  CO_CHECK(co_await mate.start(in(15)));
  co_await sleep_for(std::chrono::hours(1));
  co_return Result<void>{};
}

consent::GrantRequest wish(std::size_t person, std::string mate) {
  consent::GrantRequest request;
  request.user_id = UserId::trusted("person-" + std::to_string(person));
  request.mate_id = MateId::trusted(std::move(mate));
  request.scopes = {Scope::trusted("bench.echo")};
  request.purposes = {Purpose::trusted("benchmark")};
  return request;
}

/// What is under way at once, over all clients.
struct Load {
  std::vector<float> latencies;  ///< microseconds
  std::optional<Error> error;
  int sent = 0, under_way = 0;
};

template <class Operation>
using Make = std::function<typename Operation::Request(std::size_t client, int number)>;

template <class Operation>
asio::awaitable<void> keep_calling(std::shared_ptr<sdk::Client> client, std::size_t which,
                                   const Operation& operation, Make<Operation> make,
                                   std::shared_ptr<Load> load, SteadyTime end) {
  while (now() < end && !load->error) {
    auto request = make(which, load->sent++);
    const auto begun = now();
    const auto reply = co_await client->call(operation, std::move(request));
    if (!reply)
      load->error = reply.error();
    else
      load->latencies.push_back(std::chrono::duration<float, std::micro>(now() - begun).count());
  }
  --load->under_way;
}

struct Measured {
  std::vector<float> one, many;
};

/// One request at a time by the first client, then 256 by all of them.
template <class Operation>
Measured measure(const std::vector<sdk::ClientOptions>& options, const Operation& operation,
                 Make<Operation> make, double seconds) {
  const auto run_load = [&](std::size_t clients, std::size_t in_flight) {
    return run<std::vector<float>>([&, clients, in_flight](asio::io_context& io) -> Task<std::vector<float>> {
      std::vector<std::shared_ptr<sdk::Client>> all;
      for (std::size_t i = 0; i < clients; ++i) {
        all.push_back(std::make_shared<sdk::Client>(io.get_executor(), options[i]));
        CO_CHECK(co_await all.back()->connect(in(10)));
      }
      const auto load = std::make_shared<Load>();
      const auto end = in(seconds);
      for (std::size_t i = 0; i < in_flight; ++i) {
        ++load->under_way;
        asio::co_spawn(io, keep_calling(all[i % clients], i % clients, operation, make, load, end),
                       asio::detached);
      }
      while (load->under_way > 0) co_await sleep_for(std::chrono::milliseconds(2));
      for (auto& client : all) co_await client->drain(in(1));
      if (load->error) co_return fail(*load->error);
      std::ranges::sort(load->latencies);
      co_return std::move(load->latencies);
    });
  };
  Measured measured;
  measured.one = run_load(1, 1);
  measured.many = run_load(options.size(), 256);
  return measured;
}

struct Revoked {
  std::vector<float> denied, replied;  ///< milliseconds
};

/// From the revocation's sending to the receiver's first refusal; the receiver is asked every millisecond all
/// the while.
Task<Revoked> revocations(asio::io_context& io, sdk::ClientOptions person, sdk::ClientOptions asker,
                          int rounds) {
  sdk::Client alice(io.get_executor(), std::move(person)), mate(io.get_executor(), std::move(asker));
  CO_CHECK(co_await alice.connect(in(10)));
  CO_CHECK(co_await mate.connect(in(10)));
  sdk::CallOptions options;
  options.user_id = UserId::trusted("person-0");
  const auto receiver = MateId::trusted("receiver");
  const std::string echo = "echo";
  std::vector<float> milliseconds, replies;
  for (int round = 0; round < rounds; ++round) {
    auto request = wish(0, "receiver");
    CO_TRY(const auto granted, co_await alice.call(consent::grant, std::move(request)));
    while (!co_await mate.call_mate(receiver, echo, "echo", "x", options)) {
    }
    auto denied_at = std::make_shared<std::optional<SteadyTime>>();
    const auto begun = now();
    const auto ask = [](sdk::Client& mate, MateId receiver, std::string echo, sdk::CallOptions options,
                        std::shared_ptr<std::optional<SteadyTime>> denied_at) -> asio::awaitable<void> {
      while (co_await mate.call_mate(receiver, echo, "echo", "x", options))
        co_await sleep_for(std::chrono::milliseconds(1));
      *denied_at = now();
    };
    asio::co_spawn(io, ask(mate, receiver, echo, options, denied_at), asio::detached);
    consent::RevokeRequest revocation;
    revocation.consent_id = granted.consent_id;
    CO_CHECK(co_await alice.call(consent::revoke, std::move(revocation)));
    replies.push_back(std::chrono::duration<float, std::milli>(now() - begun).count());
    while (!*denied_at) co_await sleep_for(std::chrono::milliseconds(1));
    milliseconds.push_back(std::chrono::duration<float, std::milli>(**denied_at - begun).count());
  }
  co_await alice.drain(in(1));
  co_await mate.drain(in(1));
  std::ranges::sort(milliseconds);
  std::ranges::sort(replies);
  Revoked revoked;
  revoked.denied = std::move(milliseconds);
  revoked.replied = std::move(replies);
  co_return revoked;
}

/// What c15t has too, over HTTP on one server each: is there a consent, and a new one, durable.
void over_http(bench::Report& report, const cli::Target& target, const Keys& keys, double seconds) {
  const auto endpoints = cli::read_endpoints(target.data_dir);
  const auto port =
      static_cast<unsigned short>(std::stoi(endpoints->gateway.substr(endpoints->gateway.rfind(':') + 1)));
  std::vector<bench::HttpRequest> checks, grants, first;
  for (std::size_t person = 0; person < keys.people.size(); ++person) {
    const auto bearer = "Authorization: Bearer " + bench::token_for(port, keys.people[person]) + "\r\n";
    const auto name = "person-" + std::to_string(person);
    first.push_back(bench::json_post("/v1/consents", bearer, json::encode(wish(person, "over-http")),
                                     "\"granted\":true"));
    grants.push_back(
        bench::json_post("/v1/consents", bearer, json::encode(wish(person, "archive")), "\"granted\":true"));
    checks.push_back(bench::json_post(
        "/v1/consents/verify", bearer,
        R"({"userId":")" + name + R"(","mateId":"over-http","scopes":["bench.echo"],"purpose":"benchmark"})",
        "\"allowed\":true"));
  }
  constexpr int kConnections = 16;
  constexpr std::size_t kPeopleOfPeer = 20'000;
  bench::http_load(port, first, kConnections, 0.5);
  const auto ours_grant = bench::http_load(port, grants, kConnections, seconds);
  const auto ours_check = bench::http_load(port, checks, kConnections, seconds);

  std::optional<bench::HttpLoad> their_grant, their_check;
  if (const bench::C15t peer(endpoints->postgres.value_or("")); peer.port() != 0) {
    grants.clear();
    checks.clear();
    for (std::size_t person = 0; person < kPeopleOfPeer; ++person) {
      const auto name = std::to_string(100'000 + person);
      auto id = name;  // theirs are in base 58: there is no 0
      std::ranges::replace(id, '0', 'z');
      grants.push_back(bench::json_post(
          "/subjects", "",
          R"({"type":"other","subjectId":"sub_bench)" + id + R"(","externalSubjectId":"person-)" + name +
              R"(","identityProvider":"bench","domain":"example.com","preferences":{"benchmark":true},"givenAt":1763900000000})",
          "consentId"));
    }
    // One at a time first: it makes the domain and the policy, and fails where two do that at once.
    bench::http_load(peer.port(), {grants.back()}, 1, 0.02);
    their_grant = bench::http_load(peer.port(), grants, kConnections, seconds);
    // Of those that each connection has made first.
    for (std::size_t connection = 0; connection < kConnections; ++connection)
      checks.push_back(
          bench::json_get("/consents/check?type=other&externalId=person-" +
                              std::to_string(100'000 + connection * kPeopleOfPeer / kConnections),
                          "", "\"hasConsent\":true"));
    their_check = bench::http_load(peer.port(), checks, kConnections, seconds);
  } else {
    std::fprintf(stderr, "skipped: c15t cannot be had here\n");
  }
  const auto add = [&](const char* id, const char* unit, const char* better, double bench::HttpLoad::*field,
                       const bench::HttpLoad& ours, const std::optional<bench::HttpLoad>& theirs) {
    bench::Row row{id, unit, better, ours.*field, {}, {}, {}};
    if (theirs) row.peers["c15t"] = *theirs.*field;
    report.add(std::move(row));
  };
  add("http.verify", "1/s", "higher", &bench::HttpLoad::per_second, ours_check, their_check);
  add("http.verify.p50", "us", "lower", &bench::HttpLoad::p50_us, ours_check, their_check);
  add("http.grants", "1/s", "higher", &bench::HttpLoad::per_second, ours_grant, their_grant);
  add("http.grants.p50", "us", "lower", &bench::HttpLoad::p50_us, ours_grant, their_grant);
}

void on_platform(bench::Report& report, double seconds) {
  char directory[] = "/tmp/intra365-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) std::_Exit(1);
  const auto platform = fork_child([&] {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
    ::execl(INTRA365_BINARY_DIR "/intra365", "intra365", "--data", directory, "up", "--gateway",
            "127.0.0.1:0", "--nats", "127.0.0.1:0", nullptr);
  });
  cli::Target target;
  target.data_dir = directory;
  for (int waited = 0; !cli::read_endpoints(target.data_dir) && waited < 600; ++waited) ::usleep(100'000);
  const auto admin = cli::client_options(target);
  if (!admin) std::_Exit(cli::report(admin.error()));
  const auto as = [&](const std::string& key) {
    auto options = *admin;
    options.api_key = key;
    return options;
  };
  const auto keys = run<Keys>([&](asio::io_context& io) { return make_identities(io, *admin); });
  const auto receiver =
      fork_child([&] { run<void>([&](asio::io_context& io) { return respond(io, as(keys.receiver)); }); });
  ::sleep(2);

  std::fprintf(stderr, "revocations\n");
  const auto revoked = run<Revoked>(
      [&](asio::io_context& io) { return revocations(io, as(keys.people[0]), as(keys.asker), 200); });
  report.add({"revoke.p50", "ms", "lower", percentile(revoked.denied, 0.5), {}, 5, {}});
  report.add({"revoke.p99", "ms", "lower", percentile(revoked.denied, 0.99), {}, 50, {}});

  report.add({"revoke.reply.p50", "ms", "lower", percentile(revoked.replied, 0.5), {}, {}, {}});

  std::fprintf(stderr, "grants\n");
  std::vector<sdk::ClientOptions> people;
  for (const auto& key : keys.people) people.push_back(as(key));
  const auto grants = measure(
      people, consent::grant,
      [](std::size_t person, int number) { return wish(person, "archive-" + std::to_string(number % 64)); },
      seconds);
  report.add({"grants", "1/s", "higher", double(grants.many.size()) / seconds, {}, 3000, {}});
  report.add({"grant.p50", "us", "lower", percentile(grants.one, 0.5), {}, {}, {}});

  std::fprintf(stderr, "verify\n");
  run<void>([&](asio::io_context& io) -> Task<> {
    sdk::Client alice(io.get_executor(), as(keys.people[0]));
    CO_CHECK(co_await alice.connect(in(10)));
    auto request = wish(0, "quiet");
    CO_CHECK(co_await alice.call(consent::grant, std::move(request)));
    co_await alice.drain(in(1));
    co_return Result<void>{};
  });
  // The same way through import, pipeline and audit, with nothing to look up behind it.
  const auto echo = measure(
      {as(keys.asker)}, consent::catalogue, [](std::size_t, int) { return Empty(); }, seconds);
  const auto verify = measure(
      {as(keys.asker)}, consent::verify,
      [](std::size_t, int) {
        consent::VerifyRequest question;
        question.user_id = UserId::trusted("person-0");
        question.mate_id = MateId::trusted("quiet");
        question.scopes = {Scope::trusted("bench.echo")};
        question.purpose = Purpose::trusted("benchmark");
        return question;
      },
      seconds);
  report.add({"nats.verify",
              "1/s",
              "higher",
              double(verify.many.size()) / seconds,
              {{"catalogue", double(echo.many.size()) / seconds}},
              60'000,
              {}});
  report.add({"nats.verify.p50",
              "us",
              "lower",
              percentile(verify.one, 0.5),
              {{"catalogue", percentile(echo.one, 0.5)}},
              percentile(echo.one, 0.5) + 40,
              {}});
  std::fprintf(stderr, "HTTP\n");
  over_http(report, target, keys, seconds);
  end_child(receiver);
  end_child(platform, SIGTERM);
  std::filesystem::remove_all(directory);
}

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false, memory = true, platform = true;
  double seconds = 3;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--memory") == 0) platform = false;
    if (std::strcmp(arguments[i], "--platform") == 0) memory = false;
    if (std::strcmp(arguments[i], "--seconds") == 0 && i + 1 < count) seconds = std::atof(arguments[++i]);
  }
  bench::Report report{"consent", bench::machine(), {}};
  for (const std::size_t size : memory ? std::vector<std::size_t>{10'000, 100'000, 1'000'000, 10'000'000}
                                       : std::vector<std::size_t>()) {
    std::fprintf(stderr, "%s consents in memory\n", amount(size).c_str());
    in_memory(report, size);
  }
  if (platform) on_platform(report, seconds);
  report.print(as_json);
  return 0;
}
