#include "sdk/cpp/settings.hpp"

#include <cstdlib>
#include <fstream>
#include <iostream>

namespace intra365::sdk {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

Result<ClientOptions> settings_from_environment(std::string_view name) {
  ClientOptions options;
  options.name = name;
  options.nats_url = environment("INTRA365_NATS_URL");
  options.ca_file = environment("INTRA365_CA_FILE");
  options.api_key = environment("INTRA365_API_KEY");
  if (const auto file = environment("INTRA365_API_KEY_FILE"); !file.empty()) {
    std::ifstream stream(file);
    std::getline(stream, options.api_key);
  }
  if (options.nats_url.empty() || options.api_key.empty()) return fail(errors::no_settings);
  return options;
}

int run_program(std::string_view name, std::function<Task<>(asio::io_context&, ClientOptions)> body) {
  auto options = settings_from_environment(name);
  Result<void> outcome;
  if (!options) {
    outcome = fail(std::move(options).error());
  } else {
    asio::io_context io;
    asio::co_spawn(io, contain(body(io, *std::move(options))), [&](std::exception_ptr, Result<void> result) {
      outcome = std::move(result);
      io.stop();
    });
    io.run();
  }
  if (outcome) return 0;
  std::cerr << name << ": " << outcome.error().code << ": " << outcome.error().detail << std::endl;
  return 1;
}

}  // namespace intra365::sdk
