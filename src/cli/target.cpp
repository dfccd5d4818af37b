#include "cli/target.hpp"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

namespace intra365::cli {
namespace {

constexpr auto kConnectTime = std::chrono::seconds(10);

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

Task<> connect_and_run(asio::io_context& io, sdk::ClientOptions options,
                       std::function<Task<>(sdk::Client&)> body) {
  sdk::Client client(io.get_executor(), std::move(options));
  CO_CHECK(co_await client.connect(std::chrono::steady_clock::now() + kConnectTime));
  const auto outcome = co_await contain(body(client));
  co_await client.drain(std::chrono::steady_clock::now() + std::chrono::seconds(2));
  co_return outcome;
}

}  // namespace

Result<Endpoints> read_endpoints(const std::filesystem::path& data_dir) {
  std::ifstream file(data_dir / "endpoints.json");
  if (!file)
    return fail(errors::not_running,
                "nothing runs in " + data_dir.string() + "; start it with 'intra365 up'");
  std::ostringstream text;
  text << file.rdbuf();
  return json::decode<Endpoints>(text.str(), json::Unknown::ignore);
}

Result<sdk::ClientOptions> client_options(const Target& target) {
  TRY(const auto endpoints, read_endpoints(target.data_dir));
  sdk::ClientOptions options;
  options.nats_url = endpoints.nats;
  options.ca_file = endpoints.ca;
  options.name = "intra365-cli";
  const char* key = std::getenv("INTRA365_API_KEY");
  const char* file = std::getenv("INTRA365_API_KEY_FILE");
  if (key != nullptr)
    options.api_key = key;
  else
    options.api_key =
        first_line(file != nullptr ? std::filesystem::path(file) : target.data_dir / "admin.key");
  if (options.api_key.empty()) return fail(errors::no_key);
  return options;
}

int report(const Error& error) {
  std::cerr << "intra365: " << error.code << ": " << error.detail << std::endl;
  return 1;
}

int with_client(const Target& target, std::function<Task<>(sdk::Client&)> body) {
  auto options = client_options(target);
  if (!options) return report(options.error());
  asio::io_context io;
  Result<void> outcome;
  asio::co_spawn(io, contain(connect_and_run(io, *std::move(options), std::move(body))),
                 [&](std::exception_ptr, Result<void> result) {
                   outcome = std::move(result);
                   io.stop();
                 });
  io.run();
  return outcome ? 0 : report(outcome.error());
}

}  // namespace intra365::cli
