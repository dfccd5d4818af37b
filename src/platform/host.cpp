#include "platform/host.hpp"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include "contract/subjects.hpp"
#include "crypto/nats_jwt.hpp"
#include "platform/pipeline.hpp"
#include "replica/token_replica.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> platform();
}

namespace intra365::platform {
namespace {

/// `token-request` for `auth.token.request`: endpoint names are single tokens.
std::string endpoint_name(const OperationSpec& spec) {
  std::string name(spec.name().substr(spec.service().size() + 1));
  std::ranges::replace(name, '.', '-');
  return name;
}

std::vector<postgres::Migration> all_migrations(const std::vector<ServiceModule>& modules) {
  auto all = migrations::platform();
  for (const auto& module : modules)
    all.insert(all.end(), module.migrations.begin(), module.migrations.end());
  std::ranges::sort(all, {}, &postgres::Migration::id);
  return all;
}

/// Credentials are read again for each attempt, so that replaced files are taken up.
Task<nats::Credentials> read_creds(std::string file) {
  CO_TRY(const auto text, read_secret(file));
  CO_TRY(auto credentials, crypto::parse_creds_file(text));
  nats::Credentials result;
  result.jwt = std::move(credentials.jwt);
  result.nkey_seed = std::move(credentials.seed);
  co_return result;
}

}  // namespace

nats::Options connection_options(const Config& config, std::string creds_file, std::string name,
                                 Telemetry telemetry) {
  nats::Options options;
  options.urls = config.nats.urls;
  options.name = std::move(name);
  options.tls.ca_file = config.nats.ca_file;
  options.credentials = [file = std::move(creds_file)] { return read_creds(file); };
  auto& log = telemetry.log;
  options.on_event = [&log, name = options.name](std::string_view event, std::string_view detail) {
    log.write(event == "connected" ? LogLevel::info : LogLevel::warning, "nats",
              {{"connection", name}, {"event", event}, {"detail", detail}});
  };
  return options;
}

namespace {

postgres::PoolOptions pool_options(const Config& config, Telemetry telemetry) {
  postgres::PoolOptions options;
  options.dsn = config.postgres.service_dsn;
  options.max_connections = config.postgres.max_connections;
  options.prepare = config.postgres.prepare;
  options.direct = config.postgres.direct;
  auto& failures =
      telemetry.metrics.counter("postgres_query_failures_total", "Queries that ended in an error.");
  auto& durations = telemetry.metrics.histogram("postgres_query_duration_seconds",
                                                "Time a query took, including waiting for a connection.");
  options.on_query = [&failures, &durations](std::string_view, std::chrono::nanoseconds duration,
                                             const Error* error) {
    if (error != nullptr) failures.Increment();
    durations.Observe(std::chrono::duration<double>(duration).count());
  };
  return options;
}

}  // namespace

struct Host::Impl {
  Impl(asio::any_io_executor executor_, Config config_, std::vector<ServiceModule> modules_,
       Telemetry telemetry_)
      : executor(executor_),
        config(std::move(config_)),
        modules(std::move(modules_)),
        telemetry(telemetry_),
        tasks(executor, "platform", 10'000),
        nats(executor, watched(connection_options(config, config.nats.platform_creds_file,
                                                  "intra365-platform", telemetry))),
        jetstream(nats),
        database(executor, pool_options(config, telemetry)),
        reads(executor, config, database, nats, telemetry),
        tenants(database),
        audit(jetstream, tasks),
        verifier(system_clock()),
        client(nats, "platform"),
        tokens(nats, tasks, system_clock(), verifier, TenantId(),
               subjects::in_account(subjects::platform_account, subjects::guard_token),
               [this](auth::SyncRequest request, SteadyTime deadline) {
                 return client.call(auth::sync, TenantId(), request, TraceContext::create(), deadline);
               }),
        environment{config,
                    system_clock(),
                    executor,
                    nats,
                    jetstream,
                    database,
                    reads,
                    tasks,
                    tenants,
                    audit,
                    tokens,
                    telemetry,
                    [this] { return readiness(); }} {}

  /// While the connection is away notices of changes are missed.
  nats::Options watched(nats::Options options) {
    options.on_event = [this, log = std::move(options.on_event)](std::string_view event,
                                                                 std::string_view detail) {
      if (started) reads.missed();
      log(event, detail);
    };
    return options;
  }
  ~Impl() { started = false; }

  Task<> start_service(std::size_t index);
  std::vector<std::pair<std::string, bool>> readiness() const {
    return {
        {"nats", nats.connected()}, {"postgres", database_up}, {"tokens", tokens.alive(BootClock::now())}};
  }
  Task<> watch_database();

  struct Running {
    std::unique_ptr<Service> service;
    std::unique_ptr<Pipeline> pipeline;
    std::unique_ptr<nats::Service> endpoints;
  };

  bool started = false;  ///< outlives the connection, whose last events ask for it
  asio::any_io_executor executor;
  Config config;
  std::vector<ServiceModule> modules;
  Telemetry telemetry;
  TaskGroup tasks;
  nats::Connection nats;
  nats::JetStream jetstream;
  postgres::Pool database;
  Reads reads;
  TenantDirectory tenants;
  AuditTrail audit;
  guard::TokenVerifier verifier;
  ServiceClient client;
  replica::TokenReplica tokens;
  Environment environment;
  std::vector<Running> running;
  bool database_up = false;
};

Host::Host(asio::any_io_executor executor, Config config, std::vector<ServiceModule> modules,
           Telemetry telemetry)
    : impl_(std::make_unique<Impl>(executor, std::move(config), std::move(modules), telemetry)) {}
Host::~Host() = default;

Environment& Host::environment() {
  return impl_->environment;
}
std::vector<std::pair<std::string, bool>> Host::readiness() const {
  return impl_->readiness();
}

Task<> Host::migrate(SteadyTime deadline) {
  postgres::PoolOptions options;
  options.dsn = impl_->config.postgres.owner_dsn;
  options.max_connections = 1;
  postgres::Pool owner(impl_->executor, std::move(options));
  auto report = co_await postgres::migrate(owner, all_migrations(impl_->modules), deadline);
  owner.close();
  if (!report) co_return fail(std::move(report).error());
  for (const auto& id : report->applied)
    impl_->telemetry.log.write(LogLevel::info, "migration applied", {{"migration", id}});
  co_return Result<void>{};
}

Task<> Host::start(SteadyTime deadline) {
  CO_CHECK(co_await impl_->nats.connect(deadline));
  CO_CHECK(co_await postgres::check_schema(impl_->database, all_migrations(impl_->modules), deadline));
  impl_->database_up = true;
  CO_CHECK(impl_->reads.start(impl_->tasks));
  impl_->started = true;
  CO_CHECK(co_await impl_->audit.start());
  CO_CHECK(impl_->tasks.spawn(impl_->watch_database()));
  // Tokens are checked with what the STS publishes: where it runs here, it comes first.
  std::ranges::stable_partition(impl_->modules,
                                [](const ServiceModule& module) { return module.name == "sts"; });
  const bool own_sts = !impl_->modules.empty() && impl_->modules.front().name == "sts";
  if (!own_sts) CO_CHECK(co_await impl_->tokens.start(deadline));
  for (std::size_t i = 0; i < impl_->modules.size(); ++i) {
    CO_CHECK(co_await impl_->start_service(i));
    if (i == 0 && own_sts) CO_CHECK(co_await impl_->tokens.start(deadline));
  }
  CO_CHECK(co_await impl_->nats.flush(deadline));
  co_return Result<void>{};
}

Task<> Host::Impl::start_service(std::size_t index) {
  const auto& module = modules[index];
  auto& entry = running.emplace_back();
  entry.service = module.make(environment);
  CO_CHECK(co_await entry.service->start());
  entry.pipeline = std::make_unique<Pipeline>(environment, entry.service->operations());

  nats::ServiceConfig service;
  service.name = "intra365-" + module.name;
  service.version = config.version;
  service.description = module.description;
  for (const auto& operation : entry.pipeline->operations()) {
    nats::EndpointConfig endpoint;
    endpoint.name = endpoint_name(*operation.spec);
    endpoint.subject = subjects::in_any_account(operation.spec->subject);
    endpoint.queue_group = service.name;
    endpoint.metadata = {{"operation", std::string(operation.spec->name())},
                         {"summary", std::string(operation.spec->summary)}};
    service.endpoints.push_back(std::move(endpoint));
  }
  auto* pipeline = entry.pipeline.get();
  entry.endpoints = std::make_unique<nats::Service>(
      nats, std::move(service), [pipeline](const nats::MessageView& request, std::size_t operation) {
        return pipeline->handle(operation, request);
      });
  CO_CHECK(entry.endpoints->start());
  co_return Result<void>{};
}

Task<> Host::Impl::watch_database() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    database_up =
        (co_await database.ping(std::chrono::steady_clock::now() + std::chrono::seconds(1))).has_value();
    co_await sleep_for(std::chrono::seconds(1));
  }
  co_return Result<void>{};
}

Task<> Host::stop(SteadyTime deadline) {
  // In reverse order: what depends on others goes first. A failure to drain one must not keep the rest.
  for (auto entry = impl_->running.rbegin(); entry != impl_->running.rend(); ++entry) {
    if (entry->endpoints) co_await entry->endpoints->drain(deadline);
    if (entry->service) co_await entry->service->stop();
  }
  impl_->started = false;
  auto audited = co_await impl_->audit.stop(deadline);
  impl_->tasks.cancel();
  co_await impl_->tasks.join(deadline);
  co_await impl_->nats.drain(deadline);
  impl_->database.close();
  co_return audited;
}

}  // namespace intra365::platform
