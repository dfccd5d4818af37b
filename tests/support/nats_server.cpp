#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/support/servers.hpp"

namespace intra365::testing {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

std::string program() {
  const char* configured = std::getenv("INTRA365_NATS_SERVER");
  const fs::path path =
      configured != nullptr ? fs::path(configured) : fs::path(INTRA365_SOURCE_DIR "/.deps/bin/nats-server");
  if (!fs::exists(path))
    throw std::runtime_error("there is no " + path.string() + "; run scripts/fetch-servers");
  return path.string();
}

}  // namespace

NatsServer::NatsServer(std::string_view config_text) {
  fs::create_directory(store_dir());
  write_config(config_text);
  start();
}

NatsServer::~NatsServer() = default;

void NatsServer::write_config(std::string_view config_text) {
  names_store_ = config_text.find("store_dir") != std::string_view::npos;
  write_file(dir() / "nats.conf",
             "listen: \"127.0.0.1:" + port_.text() + "\"\n" + std::string(config_text) + "\n");
}

void NatsServer::start() {
  const auto printed_before = output().size();
  ChildProcess::Options options;
  options.arguments = {program(), "--config", (dir() / "nats.conf").string()};
  if (!names_store_) options.arguments.insert(options.arguments.end(), {"--store_dir", store_dir().string()});
  options.output = dir() / "output.log";
  options.environment = {{"STORE_DIR", store_dir().string()}};
  process_.reset();
  process_ = std::make_unique<ChildProcess>(options);

  const auto limit = Clock::now() + kServerTimeout;
  while (output().find("Server is ready", printed_before) == std::string::npos ||
         !accepts_connections(port())) {
    if (process_->wait(std::chrono::milliseconds(2)) || Clock::now() > limit) {
      throw std::runtime_error("nats-server did not start:\n" + last_lines(options.output));
    }
  }
}

void NatsServer::restart() {
  process_->signal(SIGCONT);
  process_->signal(SIGTERM);
  if (!process_->wait()) process_->kill();
  start();
}

void NatsServer::restart(std::string_view config_text) {
  write_config(config_text);
  restart();
}

void NatsServer::reload(std::string_view config_text) {
  write_config(config_text);
  process_->signal(SIGHUP);
}

}  // namespace intra365::testing
