#include "app/up.hpp"

#include <unistd.h>
#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <fstream>
#include <iostream>
#include <sstream>

#include "app/modules.hpp"
#include "cli/conversation.hpp"
#include "embedded/locate.hpp"
#include "embedded/platform.hpp"
#include "platform/host.hpp"
#include "services/gateway/gateway.hpp"

namespace intra365::app {
namespace {

constexpr auto kStartTime = std::chrono::seconds(60);
constexpr auto kMigrateTime = std::chrono::hours(4);  ///< a large table takes its time
constexpr auto kStopTime = std::chrono::seconds(10);

SteadyTime in(std::chrono::steady_clock::duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

int report(const Error& error) {
  std::cerr << "intra365: " << error.code << ": " << error.detail << std::endl;
  return 1;
}

/// Runs one coroutine on this thread to its end; the second signal ends the program at once.
int run(std::function<Task<>(asio::io_context&)> body) {
  asio::io_context io(1);
  Result<void> outcome;
  asio::co_spawn(io, contain(body(io)), [&](std::exception_ptr, Result<void> result) {
    outcome = std::move(result);
    io.stop();
  });
  io.run();
  return outcome ? 0 : report(outcome.error());
}

/// Waits for the first SIGINT or SIGTERM, and lets a second one kill at once.
class StopSignal {
 public:
  explicit StopSignal(asio::io_context& io) : signals_(io, SIGINT, SIGTERM) {
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (error) return;
      stopping_ = true;
      woken_.cancel();
      signals_.async_wait([](boost::system::error_code again, int number) {
        if (!again) ::_exit(128 + number);
      });
    });
  }
  asio::awaitable<void> wait() {
    boost::system::error_code ignored;
    if (!stopping_) co_await woken_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  bool stopping() const { return stopping_; }

 private:
  asio::signal_set signals_;
  asio::steady_timer woken_{signals_.get_executor(), SteadyTime::max()};
  bool stopping_ = false;
};

std::filesystem::path program_directory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::string file_content(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

/// The sample image analyzer as a child process; its key is handed over in its environment.
class Analyzer {
 public:
  Analyzer(asio::any_io_executor executor, embedded::Endpoints endpoints)
      : executor_(executor), endpoints_(std::move(endpoints)) {}

  Task<> start(std::string api_key) {
    embedded::ProcessSpec spec;
    spec.name = "image-analyzer";
    spec.arguments = {(program_directory() / "image-analyzer").string()};
    spec.environment = {"INTRA365_NATS_URL=" + endpoints_.nats_url,
                        "INTRA365_CA_FILE=" + endpoints_.ca_file.string(), "INTRA365_API_KEY=" + api_key};
    spec.log_file = endpoints_.data_dir / "logs" / "image-analyzer.log";
    embedded::Supervisor::Hooks hooks;
    hooks.ready = [](SteadyTime) -> Task<> {
      co_return Result<void>{};
    };  // the conversation sees it register
    supervisor_ = std::make_unique<embedded::Supervisor>(executor_, std::move(spec), std::move(hooks));
    co_return co_await supervisor_->start(in(std::chrono::seconds(10)));
  }
  Task<> stop() {
    if (supervisor_) co_return co_await supervisor_->stop(in(std::chrono::seconds(5)));
    co_return Result<void>{};
  }

 private:
  asio::any_io_executor executor_;
  embedded::Endpoints endpoints_;
  std::unique_ptr<embedded::Supervisor> supervisor_;
};

embedded::Options embedded_options(const UpOptions& options, const HostPort& nats) {
  embedded::Options result;
  result.data_dir = options.data_dir;
  result.nats_host = nats.host;
  result.nats_port = nats.port;
  result.ephemeral = options.ephemeral;
  result.on_progress = [](std::string_view step) { std::cerr << "  " << step << std::endl; };
  result.on_state = [](std::string_view server, embedded::ServerState state, std::string_view reason) {
    if (state == embedded::ServerState::down)
      std::cerr << "  " << server << " is down: " << reason << std::endl;
  };
  return result;
}

platform::Config config_for(const embedded::Endpoints& endpoints, const UpOptions& options,
                            const HostPort& gateway) {
  platform::Config config;
  embedded::apply(endpoints, config);
  config.keys.auth_account = endpoints.auth_account;
  config.gateway.host = gateway.host;
  config.gateway.port = options.ephemeral ? 0 : gateway.port;
  if (gateway.host != "127.0.0.1" && gateway.host != "localhost" && gateway.host != "::1") {
    config.gateway.certificate_file = endpoints.server_certificate_file;
    config.gateway.key_file = endpoints.server_key_file;
  }
  for (const auto& directory : embedded::runtime_directories()) {
    if (std::filesystem::exists(directory / "swagger-ui")) {
      config.gateway.assets_dir = directory / "swagger-ui";
      break;
    }
  }
  config.version = version();
  return config;
}

Task<> play(asio::any_io_executor executor, const embedded::Endpoints& endpoints, Analyzer& analyzer) {
  cli::ConversationOptions conversation;
  conversation.nats_url = endpoints.nats_url;
  conversation.ca_file = endpoints.ca_file;
  conversation.admin_key = file_content(endpoints.admin_key_file);
  while (!conversation.admin_key.empty() && conversation.admin_key.back() == '\n')
    conversation.admin_key.pop_back();
  conversation.picture = file_content(program_directory() / "../../mates/pictures/harbour.png");
  conversation.start_analyzer = [&analyzer](std::string key) { return analyzer.start(std::move(key)); };
  std::cout << "The Mate-to-Mate conversation:" << std::endl;
  co_return co_await cli::play_conversation(executor, std::move(conversation), std::cout);
}

/// Everything between the servers' start and their stop.
Task<> run_platform(asio::io_context& io, const UpOptions& options, const HostPort& gateway,
                    embedded::Embedded& servers, const embedded::Endpoints& endpoints, SteadyTime began,
                    StopSignal& stop) {
  platform::Log log(options.log_file.empty() ? (endpoints.data_dir / "logs" / "intra365.log").string()
                                             : options.log_file);
  platform::Metrics metrics;
  const platform::Telemetry telemetry{log, metrics};
  CO_TRY(auto services, modules({}));
  platform::Host host(io.get_executor(), config_for(endpoints, options, gateway), std::move(services),
                      telemetry);
  auto outcome = co_await host.migrate(in(kMigrateTime));
  if (outcome) outcome = co_await host.start(in(kStartTime));
  std::string gateway_url;
  if (outcome) {
    const auto secured = gateway.host != "127.0.0.1" && gateway.host != "localhost" && gateway.host != "::1";
    gateway_url = (secured ? "https://" : "http://") + gateway.host + ":" +
                  std::to_string(services::gateway::listening_port());
    outcome = servers.publish_endpoints(gateway_url, version());
  }
  Analyzer analyzer(io.get_executor(), endpoints);
  if (outcome) {
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began)
            .count();
    log.write(platform::LogLevel::info, "ready", {{"ms", took}, {"version", version()}});
    std::cout << "intra365 " << version() << " is ready after " << took << " ms\n  gateway  " << gateway_url
              << "  (" << gateway_url << "/docs)\n  nats     " << endpoints.nats_url << "\n  data     "
              << endpoints.data_dir.string() << std::endl;
    if (options.demo) outcome = co_await play(io.get_executor(), endpoints, analyzer);
    if (options.demo && outcome) std::cout << "Every step held." << std::endl;
    if (!options.once && !stop.stopping()) {
      std::cout << "Press Ctrl-C to stop." << std::endl;
      co_await stop.wait();
    }
  }
  co_await analyzer.stop();
  const auto stopped = co_await host.stop(in(kStopTime));
  co_return outcome ? stopped : outcome;
}

Task<> run_up(asio::io_context& io, UpOptions options) {
  const auto began = std::chrono::steady_clock::now();
  CO_TRY(const auto gateway, parse_host_port(options.gateway));
  CO_TRY(const auto nats, parse_host_port(options.nats));
  StopSignal stop(io);
  embedded::Embedded servers(io.get_executor(), embedded_options(options, nats));
  auto endpoints = co_await servers.start(in(kStartTime));
  if (!endpoints) {
    co_await servers.stop(in(kStopTime));
    co_return fail(std::move(endpoints).error());
  }
  const auto outcome = co_await contain(run_platform(io, options, gateway, servers, *endpoints, began, stop));
  const auto stopped = co_await servers.stop(in(kStopTime));
  if (outcome && !stopped) co_return stopped;
  co_return outcome;
}

Task<> run_serve(asio::io_context& io, platform::Config config) {
  StopSignal stop(io);
  platform::Log log;
  platform::Metrics metrics;
  CO_TRY(auto services, modules(config.roles));
  platform::Host host(io.get_executor(), std::move(config), std::move(services),
                      platform::Telemetry{log, metrics});
  auto outcome = co_await host.start(in(kStartTime));
  if (outcome) {
    log.write(platform::LogLevel::info, "ready", {{"version", version()}});
    co_await stop.wait();
  }
  const auto stopped = co_await host.stop(in(kStopTime));
  co_return outcome ? stopped : outcome;
}

Task<> run_migrate(asio::io_context& io, platform::Config config) {
  platform::Log log;
  platform::Metrics metrics;
  CO_TRY(auto services, modules({}));
  platform::Host host(io.get_executor(), std::move(config), std::move(services),
                      platform::Telemetry{log, metrics});
  co_return co_await host.migrate(in(kMigrateTime));
}

}  // namespace

std::string version() {
  return INTRA365_VERSION;
}

Result<HostPort> parse_host_port(const std::string& text) {
  const auto colon = text.rfind(':');
  HostPort result;
  if (colon == std::string::npos || colon == 0)
    return fail(platform::errors::bad_config, "'" + text + "' is not HOST:PORT");
  result.host = text.substr(0, colon);
  if (result.host.starts_with('[') && result.host.ends_with(']'))
    result.host = result.host.substr(1, result.host.size() - 2);
  const auto* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, result.port);
  if (error != std::errc{} || stopped != end)
    return fail(platform::errors::bad_config, "'" + text + "' is not HOST:PORT");
  return result;
}

int up(const UpOptions& options) {
  return run([&](asio::io_context& io) { return run_up(io, options); });
}

int serve(const ServeOptions& options) {
  auto config = platform::read_config(options.config_file);
  if (!config) return report(config.error());
  if (!options.roles.empty()) config->roles = options.roles;
  config->version = version();
  return run([&](asio::io_context& io) { return run_serve(io, *config); });
}

int migrate(const std::string& config_file) {
  auto config = platform::read_config(config_file);
  if (!config) return report(config.error());
  return run([&](asio::io_context& io) { return run_migrate(io, *config); });
}

}  // namespace intra365::app
