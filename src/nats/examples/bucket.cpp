// Key-value: compare and set over the network, and a mirror in memory that answers in nanoseconds and can
// wait for a write to arrive.
//
//   bucket [URL]
#include <iostream>

#include "nats/key_value.hpp"

using namespace intra365;

namespace {

SteadyTime in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

Task<> remember(nats::Connection& connection) {
  CO_CHECK(co_await connection.connect(in(std::chrono::seconds(5))));
  nats::JetStream jetstream(connection);
  nats::BucketConfig config;
  config.name = "settings";
  config.history = 5;
  CO_CHECK(co_await nats::KeyValue::ensure(jetstream, config));
  nats::KeyValue settings(jetstream, "settings");

  nats::WatchedBucket mirror(jetstream, "settings");
  CO_CHECK(co_await mirror.start(in(std::chrono::seconds(5))));

  CO_TRY(const auto first, co_await settings.put("colour", "blue"));
  // Somebody who still believes in an older revision is refused.
  CO_TRY(const auto second, co_await settings.update("colour", "green", first));
  const auto late = co_await settings.update("colour", "red", first);
  std::cout << (late ? "overwritten?" : late.error().code) << std::endl;

  CO_CHECK(co_await mirror.wait_for(second, in(std::chrono::seconds(1))));
  std::cout << mirror.find("colour")->value << std::endl;
  mirror.stop();
  co_return co_await connection.drain(in(std::chrono::seconds(1)));
}

}  // namespace

int main(int count, char** arguments) {
  asio::io_context io(1);
  nats::Options options;
  if (count > 1) options.urls = {arguments[1]};
  nats::Connection connection(io.get_executor(), options);
  int exit_code = 1;
  asio::co_spawn(io, contain(remember(connection)), [&](std::exception_ptr, Result<void> outcome) {
    if (!outcome) std::cerr << outcome.error().code << ": " << outcome.error().detail << std::endl;
    exit_code = outcome ? 0 : 1;
  });
  io.run();
  return exit_code;
}
