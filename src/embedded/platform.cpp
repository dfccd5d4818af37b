#include "embedded/platform.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "embedded/certificates.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/file.hpp"
#include "embedded/keys.hpp"
#include "embedded/locate.hpp"
#include "embedded/nats_config.hpp"
#include "embedded/ports.hpp"
#include "embedded/postgres_cluster.hpp"
#include "json/json.hpp"

namespace intra365::embedded {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// A port that is ours by configuration may be held by a predecessor that is about to end.
constexpr auto kPredecessorLimit = std::chrono::seconds(3);
constexpr auto kPredecessorPoll = std::chrono::milliseconds(20);
/// A free port can be taken by somebody else between our look and the server's.
constexpr int kPortAttempts = 5;

/// What clients find in endpoints.json.
struct EndpointsFile {
  std::string gateway, nats, nats_websocket, mqtt, postgres, ca;
  std::int64_t pid;
  std::string version;
};
BOOST_DESCRIBE_STRUCT(EndpointsFile, (), (gateway, nats, nats_websocket, mqtt, postgres, ca, pid, version))

Result<fs::path> temporary_directory() {
  const char* configured = std::getenv("TMPDIR");
  auto pattern = std::string(configured && *configured == '/' ? configured : "/tmp") + "/intra365-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return fail(file_error(errno, pattern));
  return fs::path(pattern);
}

/// A free port that is none of `others`.
Result<std::uint16_t> another_port(const std::string& host, std::initializer_list<std::uint16_t> others) {
  for (;;) {
    TRY(const auto port, free_port(host));
    if (std::ranges::find(others, port) == others.end()) return port;
  }
}

std::int64_t milliseconds_since(SteadyTime begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin).count();
}

}  // namespace

struct Embedded::Impl {
  Impl(asio::any_io_executor executor, Options options)
      : executor(std::move(executor)), options(std::move(options)) {}

  void progress(const std::string& step) const {
    if (options.on_progress) options.on_progress(step);
  }
  Supervisor::Hooks hooks(std::string server, std::function<Task<>(SteadyTime)> ready) const;
  Result<void> prepare();
  Result<NatsAddresses> choose_nats_ports() const;
  Task<> wait_for_port(std::string host, std::uint16_t port) const;
  Task<> start_nats(SteadyTime deadline);
  Task<> start_postgres(SteadyTime deadline);
  Task<> launch_postgres(SteadyTime deadline);
  Task<> stop(SteadyTime deadline);
  Endpoints endpoints() const;

  asio::any_io_executor executor;
  Options options;
  fs::path ephemeral_directory;
  std::optional<DataDirectory> directory;
  std::optional<Runtime> runtime;
  std::optional<Keys> keys;
  NatsAddresses addresses;
  std::unique_ptr<PostgresCluster> cluster;
  std::unique_ptr<Supervisor> nats, postgres;
};

Supervisor::Hooks Embedded::Impl::hooks(std::string server, std::function<Task<>(SteadyTime)> ready) const {
  Supervisor::Hooks hooks;
  hooks.ready = std::move(ready);
  hooks.on_state = [server = std::move(server), told = options.on_state](ServerState state,
                                                                         std::string_view reason) {
    if (told) told(server, state, reason);
  };
  return hooks;
}

Result<void> Embedded::Impl::prepare() {
  CHECK(check_host(options.nats_host));
  TRY(runtime, locate());
  progress(fmt::format("nats-server {} and PostgreSQL {} found", runtime->nats_version,
                       runtime->postgres_version));
  auto path = options.data_dir.empty() ? default_data_directory() : options.data_dir;
  if (options.ephemeral) {
    options.nats_port = options.websocket_port = options.mqtt_port = options.postgres_port = 0;
    TRY(ephemeral_directory, temporary_directory());
    path = ephemeral_directory;
  }
  TRY(auto opened, DataDirectory::open(path));
  directory.emplace(std::move(opened));
  const auto& paths = directory->paths();
  progress("data directory " + paths.data.string());
  TRY(keys, load_or_make_keys(paths));
  return ensure_certificates(paths, options.nats_host, system_clock().now());
}

Task<> Embedded::Impl::wait_for_port(std::string host, std::uint16_t port) const {
  const auto limit = SteadyClock::now() + kPredecessorLimit;
  while (port != 0 && !is_free(host, port)) {
    if (SteadyClock::now() > limit) co_return fail(port_taken(host, port));
    co_await sleep_for(kPredecessorPoll);
  }
  co_return Result<void>{};
}

Result<NatsAddresses> Embedded::Impl::choose_nats_ports() const {
  NatsAddresses chosen{options.nats_host, options.nats_port, options.websocket_port, options.mqtt_port, 0};
  const auto& host = options.nats_host;
  for (auto* port : {&chosen.port, &chosen.websocket_port, &chosen.mqtt_port}) {
    if (*port != 0) continue;
    TRY(*port,
        another_port(host, {chosen.port, chosen.websocket_port, chosen.mqtt_port, options.postgres_port}));
  }
  TRY(chosen.monitoring_port, another_port("127.0.0.1", {chosen.port, chosen.websocket_port, chosen.mqtt_port,
                                                         options.postgres_port}));
  return chosen;
}

Task<> Embedded::Impl::start_nats(SteadyTime deadline) {
  const auto begin = SteadyClock::now();
  const auto& paths = directory->paths();
  for (const auto port : {options.nats_port, options.websocket_port, options.mqtt_port}) {
    CO_CHECK(co_await wait_for_port(options.nats_host, port));
  }
  for (int attempt = 1;; ++attempt) {
    CO_TRY(addresses, choose_nats_ports());
    CO_TRY(const auto text, nats_config(paths, *keys, addresses, system_clock().now()));
    CO_CHECK(write_file(paths.nats_config(), text));
    auto ready = [addresses = addresses](SteadyTime until) { return nats_ready(addresses, until); };
    nats = std::make_unique<Supervisor>(executor, nats_process(paths, *keys, *runtime),
                                        hooks("nats-server", std::move(ready)));
    const auto started = co_await nats->start(deadline);
    if (started) break;
    nats.reset();
    for (const auto port : {options.nats_port, options.websocket_port, options.mqtt_port}) {
      if (port != 0 && !is_free(options.nats_host, port)) co_return fail(port_taken(options.nats_host, port));
    }
    const bool clash =
        !is_free(addresses.host, addresses.port) || !is_free(addresses.host, addresses.websocket_port) ||
        !is_free(addresses.host, addresses.mqtt_port) || !is_free("127.0.0.1", addresses.monitoring_port);
    if (!clash || attempt == kPortAttempts) co_return started;
  }
  progress(fmt::format("nats-server answers on {} ({} ms)", addresses.nats_url(), milliseconds_since(begin)));
  co_return Result<void>{};
}

Task<> Embedded::Impl::start_postgres(SteadyTime deadline) {
  const auto begin = SteadyClock::now();
  cluster = std::make_unique<PostgresCluster>(
      directory->paths(), *runtime, *keys,
      options.ephemeral ? PostgresCluster::Lasting::no : PostgresCluster::Lasting::yes);
  CO_CHECK(cluster->prepare());
  CO_CHECK(co_await wait_for_port("127.0.0.1", options.postgres_port));
  CO_CHECK(co_await cluster->initialise(deadline));
  if (cluster->is_new()) progress(fmt::format("PostgreSQL cluster made ({} ms)", milliseconds_since(begin)));
  CO_CHECK(co_await launch_postgres(deadline));
  progress(fmt::format("PostgreSQL answers ({} ms)", milliseconds_since(begin)));
  co_return Result<void>{};
}

Task<> Embedded::Impl::launch_postgres(SteadyTime deadline) {
  const auto predecessor_limit = std::min(deadline, SteadyClock::now() + std::chrono::seconds(15));
  int clashes = 0;
  for (;;) {
    auto port = options.postgres_port;
    if (port == 0) {
      CO_TRY(port, free_port("127.0.0.1"));
    }
    CO_CHECK(cluster->configure(port));
    auto ready = [this](SteadyTime until) { return cluster->ready(until); };
    postgres =
        std::make_unique<Supervisor>(executor, cluster->process(), hooks("postgres", std::move(ready)));
    const auto started = co_await postgres->start(deadline);
    if (started) co_return started;
    postgres.reset();
    if (!is_free("127.0.0.1", port)) {
      if (options.postgres_port != 0) co_return fail(port_taken("127.0.0.1", port));
      if (++clashes == kPortAttempts) co_return started;
      continue;
    }
    // After a kill -9 the server of the program before us needs a moment to end with all its processes.
    const auto& text = started.error().detail;
    const bool predecessor =
        text.find("postmaster.pid") != std::string::npos || text.find("shared memory") != std::string::npos;
    if (!predecessor || SteadyClock::now() > predecessor_limit) co_return started;
    co_await sleep_for(kPredecessorPoll * 5);
  }
}

Task<> Embedded::Impl::stop(SteadyTime deadline) {
  using namespace asio::experimental::awaitable_operators;
  if (directory) directory->remove_endpoints();
  if (nats && postgres) {
    co_await (contain(nats->stop(deadline)) && contain(postgres->stop(deadline)));
  } else {
    if (nats) static_cast<void>(co_await nats->stop(deadline));
    if (postgres) static_cast<void>(co_await postgres->stop(deadline));
  }
  nats.reset();
  postgres.reset();
  cluster.reset();
  std::error_code error;
  if (!ephemeral_directory.empty()) {
    // When root's cluster had to go elsewhere, the link leads to it.
    const auto elsewhere = fs::read_symlink(Paths(ephemeral_directory).postgres(), error);
    if (!error && !elsewhere.empty()) fs::remove_all(elsewhere, error);
    fs::remove_all(ephemeral_directory, error);
    ephemeral_directory.clear();
  }
  directory.reset();
  co_return Result<void>{};
}

Endpoints Embedded::Impl::endpoints() const {
  const auto& paths = directory->paths();
  const KeyFiles files(paths);
  Endpoints result;
  result.data_dir = paths.data;
  result.nats_url = addresses.nats_url();
  result.websocket_url = addresses.websocket_url();
  result.mqtt_url = addresses.mqtt_url();
  result.monitoring_url = fmt::format("http://127.0.0.1:{}", addresses.monitoring_port);
  result.ca_file = paths.ca_certificate();
  result.server_certificate_file = paths.server_certificate();
  result.server_key_file = paths.server_key();
  result.platform_creds_file = files.platform_creds();
  result.auth_creds_file = files.auth_creds();
  result.system_creds_file = files.system_creds();
  result.operator_signing_seed_file = files.operator_signing_seed();
  result.auth_signing_seed_file = files.auth_signing_seed();
  result.platform_signing_seed_file = files.platform_signing_seed();
  result.guest_signing_seed_file = files.guest_signing_seed();
  result.callout_xkey_seed_file = files.callout_xkey_seed();
  result.key_encryption_key_file = files.key_encryption_key();
  result.operator_key = keys->public_keys.operator_;
  result.system_account = keys->public_keys.system;
  result.auth_account = keys->public_keys.auth;
  result.platform_account = keys->public_keys.platform;
  result.guest_account = keys->public_keys.guest;
  result.owner_dsn = cluster->owner_dsn();
  result.replication_dsn = cluster->replication_dsn();
  result.service_dsn = cluster->service_dsn();
  result.admin_dsn = cluster->admin_dsn();
  result.admin_key_file = paths.admin_key();
  return result;
}

void apply(const Endpoints& endpoints, platform::Config& config) {
  config.nats.urls = {endpoints.nats_url};
  config.nats.ca_file = endpoints.ca_file.string();
  config.nats.platform_creds_file = endpoints.platform_creds_file.string();
  config.nats.auth_creds_file = endpoints.auth_creds_file.string();
  config.nats.system_creds_file = endpoints.system_creds_file.string();
  config.postgres.owner_dsn = endpoints.owner_dsn;
  config.postgres.replication_dsn = endpoints.replication_dsn;
  config.postgres.service_dsn = endpoints.service_dsn;
  config.postgres.direct = true;
  config.keys.operator_signing_seed_file = endpoints.operator_signing_seed_file.string();
  config.keys.auth_account_seed_file = endpoints.auth_signing_seed_file.string();
  config.keys.callout_xkey_seed_file = endpoints.callout_xkey_seed_file.string();
  config.keys.platform_account = endpoints.platform_account;
  config.keys.key_encryption_key_file = endpoints.key_encryption_key_file.string();
  config.admin_key_file = endpoints.admin_key_file.string();
}

Embedded::Embedded(asio::any_io_executor executor, Options options)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(options))) {}
Embedded::~Embedded() = default;

Task<Endpoints> Embedded::start(SteadyTime deadline) {
  using namespace asio::experimental::awaitable_operators;
  auto result = impl_->prepare();
  if (result) {
    auto [nats, postgres] =
        co_await (contain(impl_->start_nats(deadline)) && contain(impl_->start_postgres(deadline)));
    result = nats ? std::move(postgres) : std::move(nats);
  }
  if (result) co_return impl_->endpoints();
  co_await impl_->stop(SteadyClock::now() + std::chrono::seconds(5));
  co_return fail(std::move(result).error());
}

Result<void> Embedded::publish_endpoints(const std::string& gateway_url, const std::string& version) const {
  const auto now = impl_->endpoints();
  const EndpointsFile file{gateway_url,   now.nats_url,         now.websocket_url, now.mqtt_url,
                           now.admin_dsn, now.ca_file.string(), ::getpid(),        version};
  return impl_->directory->write_endpoints(json::encode(file) + "\n");
}

Task<> Embedded::stop(SteadyTime deadline) {
  return impl_->stop(deadline);
}

std::vector<std::pair<std::string, bool>> Embedded::readiness() const {
  const auto up = [](const auto& server) { return server && server->state() == ServerState::up; };
  return {{"nats-server", up(impl_->nats)}, {"postgres", up(impl_->postgres)}};
}

std::uint64_t Embedded::restarts() const {
  return (impl_->nats ? impl_->nats->restarts() : 0) + (impl_->postgres ? impl_->postgres->restarts() : 0);
}
pid_t Embedded::nats_pid() const {
  return impl_->nats ? impl_->nats->pid() : 0;
}
pid_t Embedded::postgres_pid() const {
  return impl_->postgres ? impl_->postgres->pid() : 0;
}

}  // namespace intra365::embedded
