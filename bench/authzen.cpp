// AuthZEN evaluations over HTTP: our gateway, which also checks the caller's token and records every
// decision, beside the Cerbos server on the same policies, the same payloads and the same cores, one after
// the other.
//
//   authzen_bench [--json] [--seconds N]
#include <boost/asio.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "bench/http_load.hpp"
#include "bench/process.hpp"
#include "bench/report.hpp"
#include "cli/target.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/policy.hpp"

namespace {

using namespace intra365;
using bench::fork_child;
using bench::in;
namespace bj = boost::json;
namespace fs = std::filesystem;

constexpr std::size_t kPolicies = 100;
constexpr const char* kDevices[] = {"managed", "private", "kiosk"};
constexpr const char* kDepartments[] = {"sales", "care", "legal", "finance", "research"};

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "authzen_bench: %s\n", why.c_str());
  std::_Exit(1);
}

struct Rule {
  std::string subject, type, device, department;
};
/// Rule `n`: one Mate reads one type of document, on one class of device, from one department.
Rule rule(std::size_t n) {
  return {"m" + std::to_string(n), "doc" + std::to_string(n), kDevices[n % 3], kDepartments[n % 5]};
}

/// One question in AuthZEN's form and its right answer. Half of them are refused: for the device, the
/// department, the subject, or because the document is blocked.
std::pair<std::string, bool> question(std::size_t n) {
  const auto one = rule(n % kPolicies);
  const auto wrong = n % 8;
  const bj::value body{
      {"subject",
       {{"type", "mate"}, {"id", wrong == 1 ? "m" + std::to_string((n + 1) % kPolicies) : one.subject}}},
      {"action", {{"name", "read"}}},
      {"resource",
       {{"type", one.type},
        {"id", "x" + std::to_string(n)},
        {"properties",
         {{"device", wrong == 3 ? kDevices[(n % kPolicies + 1) % 3] : one.device},
          {"department", wrong == 5 ? kDepartments[(n % kPolicies + 1) % 5] : one.department},
          {"blocked", wrong == 7}}}}}};
  return {bj::serialize(body), wrong % 2 == 0};
}

std::vector<bench::HttpRequest> requests(const std::string& headers) {
  std::vector<bench::HttpRequest> list;
  for (std::size_t n = 0; n < 800; ++n) {
    const auto [body, allowed] = question(n);
    list.push_back(bench::json_post("/access/v1/evaluation", headers, body,
                                    std::string("\"decision\":") + (allowed ? "true" : "false")));
  }
  return list;
}

unsigned short free_port() {
  asio::io_context io;
  return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

/// What a server answered, at each number of connections.
using Figures = std::map<int, bench::HttpLoad>;
constexpr int kConnections[] = {1, 8, 64};

Figures measure(unsigned short port, const std::vector<bench::HttpRequest>& requests, double seconds) {
  bench::http_load(port, requests, 8, 1);  // warm
  Figures figures;
  for (const int connections : kConnections)
    figures[connections] = bench::http_load(port, requests, connections, seconds);
  return figures;
}

Task<std::string> prepare(sdk::Client& client) {
  policy::Policy blocked;
  blocked.name = "Nothing that is blocked";
  blocked.type = "bench";
  auto& deny = blocked.rules.emplace_back();
  deny.effect = policy::RuleEffect::deny;
  deny.subjects = deny.resources = deny.actions = {"*"};
  deny.conditions["resource.blocked"] = true;
  CO_CHECK(co_await client.call(policy::create, std::move(blocked)));
  for (std::size_t n = 0; n < kPolicies; ++n) {
    const auto one = rule(n);
    policy::Policy allow;
    allow.name = "Readers of " + one.type;
    allow.type = "bench";
    auto& read = allow.rules.emplace_back();
    read.effect = policy::RuleEffect::allow;
    read.subjects = {"mate:" + one.subject};
    read.resources = {one.type + ":*"};
    read.actions = {"read"};
    read.conditions["resource.device"] = one.device;
    read.conditions["resource.department"] = one.department;
    CO_CHECK(co_await client.call(policy::create, std::move(allow)));
  }
  auth::MateCreateRequest mate;
  mate.name = MateId::trusted("bench-caller");
  CO_TRY(const auto made, co_await client.call(auth::mate_create, std::move(mate)));
  co_return made.api_key;
}

/// Our platform on a free port, and a token to ask it with.
struct Platform {
  Platform() {
    if (::mkdtemp(directory) == nullptr) stop("no directory");
    pid = fork_child([&] {
      if (std::freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(1);
      ::execl(INTRA365_BINARY_DIR "/intra365", "intra365", "--data", directory, "up", "--gateway",
              "127.0.0.1:0", "--nats", "127.0.0.1:0", nullptr);
    });
    cli::Target target;
    target.data_dir = directory;
    for (int waited = 0; !cli::read_endpoints(target.data_dir) && waited < 600; ++waited) ::usleep(100'000);
    const auto endpoints = cli::read_endpoints(target.data_dir);
    if (!endpoints) stop("the platform does not start");
    port =
        static_cast<unsigned short>(std::stoi(endpoints->gateway.substr(endpoints->gateway.rfind(':') + 1)));
    std::string key;
    if (cli::with_client(target, [&](sdk::Client& client) -> Task<> {
          CO_TRY(key, co_await prepare(client));
          co_return Result<void>{};
        }) != 0)
      stop("the policies are refused");
    token = bench::token_for(port, key);
  }
  ~Platform() {
    bench::end_child(pid, SIGTERM);
    fs::remove_all(directory);
  }

  char directory[32] = "/tmp/intra365-bench-XXXXXX";
  pid_t pid = 0;
  unsigned short port = 0;
  std::string token;
};

/// The Cerbos server with the same policies in its own form; no port where it cannot be had.
struct Cerbos {
  Cerbos() {
    const fs::path package = INTRA365_SOURCE_DIR "/bench/peers/cerbos";
    const auto install = "cd '" + package.string() +
                         "' && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } >&2";
    if (std::system(install.c_str()) != 0) return;
    const auto program = package / "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64";
    if (!fs::exists(program) || ::mkdtemp(directory) == nullptr) return;
    for (std::size_t n = 0; n < kPolicies; ++n)
      std::ofstream(fs::path(directory) / (rule(n).type + ".json")) << bj::serialize(policy_of(rule(n)));
    const auto http = free_port();
    pid = fork_child([&] {
      const auto to = "--set=server.httpListenAddr=127.0.0.1:" + std::to_string(http);
      const auto grpc = "--set=server.grpcListenAddr=127.0.0.1:" + std::to_string(free_port());
      const auto store = std::string("--set=storage.disk.directory=") + directory;
      if (std::freopen("/dev/null", "w", stdout) == nullptr ||
          std::freopen("/dev/null", "w", stderr) == nullptr)
        std::_Exit(1);
      ::execl(program.c_str(), "cerbos", "server", "--log-level=error", "--set=storage.driver=disk",
              store.c_str(), to.c_str(), grpc.c_str(), "--set=telemetry.disabled=true", nullptr);
    });
    for (int waited = 0; waited < 1200 && port == 0; ++waited) {
      asio::ip::tcp::iostream stream("127.0.0.1", std::to_string(http));
      stream << "GET /_cerbos/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" << std::flush;
      std::string line;
      if (std::getline(stream, line) && line.find("200") != std::string::npos) port = http;
      ::usleep(100'000);
    }
  }
  ~Cerbos() {
    if (pid != 0) bench::end_child(pid);
    fs::remove_all(directory);
  }

  static bj::value policy_of(const Rule& one) {
    const auto expression = [](const std::string& text) { return bj::value{{"expr", text}}; };
    const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
    const bj::array all{expression("P.id == " + quoted(one.subject)),
                        expression("R.attr.device == " + quoted(one.device)),
                        expression("R.attr.department == " + quoted(one.department))};
    return {{"apiVersion", "api.cerbos.dev/v1"},
            {"resourcePolicy",
             {{"version", "default"},
              {"resource", one.type},
              {"rules",
               {{{"actions", {"read"}},
                 {"effect", "EFFECT_ALLOW"},
                 {"roles", {"*"}},
                 {"condition", {{"match", {{"all", {{"of", all}}}}}}}},
                {{"actions", {"*"}},
                 {"effect", "EFFECT_DENY"},
                 {"roles", {"*"}},
                 {"condition", {{"match", expression("R.attr.blocked == true")}}}}}}}}};
  }

  char directory[32] = "/tmp/intra365-bench-XXXXXX";
  pid_t pid = 0;
  unsigned short port = 0;
};

}  // namespace

int main(int count, char** arguments) {
  bool as_json = false;
  double seconds = 3;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) as_json = true;
    if (std::strcmp(arguments[i], "--seconds") == 0 && i + 1 < count) seconds = std::atof(arguments[++i]);
  }
  Figures ours, theirs;
  {
    const Platform platform;
    ours = measure(platform.port, requests("Authorization: Bearer " + platform.token + "\r\n"), seconds);
  }
  {
    const Cerbos cerbos;
    if (cerbos.port != 0)
      theirs = measure(cerbos.port, requests(""), seconds);
    else
      std::fprintf(stderr, "skipped: Cerbos cannot be had here\n");
  }
  bench::Report report{"authzen", bench::machine(), {}};
  const auto add = [&](const char* what, const char* unit, const char* better, double bench::HttpLoad::*field,
                       double aim) {
    for (const int connections : kConnections) {
      bench::Row row{
          std::to_string(connections) + "." + what, unit, better, ours[connections].*field, {}, {}, {}};
      if (theirs.contains(connections)) {
        row.peers["cerbos"] = theirs[connections].*field;
        if (aim > 0) row.aim = theirs[connections].*field * aim;
      }
      report.add(std::move(row));
    }
  };
  add("evaluations", "1/s", "higher", &bench::HttpLoad::per_second, 20);
  add("p50", "us", "lower", &bench::HttpLoad::p50_us, 0);
  add("p99", "us", "lower", &bench::HttpLoad::p99_us, 0);
  report.print(as_json);
  return 0;
}
