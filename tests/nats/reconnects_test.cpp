// A thousand reconnects leave nothing behind: no memory, no descriptors, no lost subscriptions.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "nats/jetstream.hpp"
#include "nats/key_value.hpp"
#include "nats/queue.hpp"
#include "tests/nats/proxy.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using intra365::testing::NatsServer;
using intra365::testing::TcpProxy;

constexpr int kReconnects = 1000;

SteadyTime in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(Reconnects, a_thousand_of_them_leave_nothing_behind) {
  NatsServer server("jetstream {}\n");
  TcpProxy proxy(server.port());
  asio::io_context io(1);
  Options options;
  options.urls = {proxy.url()};
  options.use_discovered = false;
  options.reconnect_wait = 1ms;
  options.reconnect_wait_max = 5ms;
  Connection connection(io.get_executor(), options);
  JetStream jetstream(connection);
  WatchedBucket mirror(jetstream, "b");
  MessageQueue queue(connection, 100);
  std::size_t descriptors = 0, memory = 0;

  const auto story = [&]() -> Task<> {
    CO_CHECK(co_await connection.connect(in(10s)));
    BucketConfig config;
    config.name = "b";
    config.storage = "memory";
    CO_CHECK(co_await KeyValue::ensure(jetstream, config));
    CO_CHECK(co_await mirror.start(in(10s)));
    CO_CHECK(queue.subscribe("ping"));
    const HeaderBlock none;
    for (int i = 0; i < kReconnects; ++i) {
      // What is under way when the connection goes must go with it.
      for (int j = 0; j < 10; ++j)
        connection.async_request("ping", std::string(1000, 'x'), none, in(60s), [](const auto&) {});
      proxy.cut();
      const auto wanted = static_cast<std::uint64_t>(i) + 1;
      const auto until = in(20s);
      while (connection.statistics().reconnects < wanted || !connection.connected()) {
        if (std::chrono::steady_clock::now() > until) co_return fail(errors::timeout, "it did not come back");
        co_await sleep_for(1ms);
      }
      while (queue.try_next()) {
      }
      CO_CHECK(connection.publish("ping", std::to_string(i)));
      for (;;) {
        CO_TRY(const auto message, co_await queue.next(in(10s)));
        if (message.payload() == std::to_string(i)) break;
      }
      if (i == kReconnects / 10) {
        descriptors = open_descriptors();
        memory = resident_bytes();
      }
    }
    KeyValue bucket(jetstream, "b");
    CO_TRY(const auto revision, co_await bucket.put("k", "v"));
    CO_CHECK(co_await mirror.wait_for(revision, in(10s)));
    co_return Result<void>();
  };
  Result<void> outcome = fail(errors::timeout, "the test did not end");
  asio::co_spawn(io, contain(story()), [&](std::exception_ptr, Result<void> result) {
    outcome = std::move(result);
    io.stop();
  });
  io.run_for(120s);
  ASSERT_TRUE(outcome) << outcome.error().code << ": " << outcome.error().detail;
  EXPECT_EQ(connection.statistics().reconnects, static_cast<std::uint64_t>(kReconnects));
  const auto grown = static_cast<double>(resident_bytes()) - static_cast<double>(memory);
  std::cout << "memory grew by " << grown / 1024 << " KiB over the last " << kReconnects * 9 / 10
            << " reconnects; descriptors " << descriptors << " -> " << open_descriptors() << "\n";
  EXPECT_LE(open_descriptors(), descriptors + 4);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(grown, 4.0 * 1024 * 1024);
#endif
}

}  // namespace
}  // namespace intra365::nats
