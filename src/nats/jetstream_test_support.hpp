// What the JetStream and bucket tests share: a server with JetStream, and a way to run a coroutine to its
// end.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nats/jetstream.hpp"
#include "tests/support/servers.hpp"

/// Like ASSERT_TRUE, inside a coroutine that returns Result<void>.
#define CO_ASSERT(...)                                  \
  if (!(__VA_ARGS__)) {                                 \
    ADD_FAILURE() << "does not hold: " << #__VA_ARGS__; \
    co_return intra365::Result<void>();                 \
  }
#define CO_DONE co_return intra365::Result<void>()

namespace intra365::nats::testing {

using namespace std::chrono_literals;

inline SteadyTime in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

/// One connection on its own loop. The connection comes back quickly, so that tests of restarts are short.
class Client {
 public:
  explicit Client(const std::string& url)
      : connection(context.get_executor(), options(url)), jetstream(connection) {}

  /// Runs `body(jetstream)` after connecting, and reports its error as a failure.
  template <class Body>
  void run(Body body) {
    auto result = outcome(body);
    EXPECT_TRUE(result) << result.error().code << ": " << result.error().detail;
  }

  asio::io_context context{1};
  Connection connection;
  JetStream jetstream;

 private:
  static Options options(const std::string& url) {
    Options options;
    options.urls = {url};
    options.reconnect_wait = 10ms;
    options.reconnect_wait_max = 100ms;
    return options;
  }

  template <class Body>
  Result<void> outcome(Body& body) {
    Result<void> result = fail(intra365::errors::deadline, "the test did not finish");
    asio::co_spawn(context, contain(all(body)), [this, &result](std::exception_ptr, Result<void> ended) {
      result = std::move(ended);
      context.stop();
    });
    context.restart();
    context.run_for(60s);
    return result;
  }

  template <class Body>
  Task<> all(Body& body) {
    if (!connection.connected()) CO_CHECK(co_await connection.connect(in(10s)));
    co_return co_await body(jetstream);
  }
};

/// Takes `name.>`, and batches.
inline StreamConfig stream_of(std::string name) {
  StreamConfig config;
  config.subjects.push_back(name + ".>");
  config.name = std::move(name);
  config.allow_atomic = true;
  return config;
}

/// Message i goes to `subject.i` and says `mark:i`.
inline std::vector<Outgoing> batch_of(std::string_view subject, std::size_t count, std::string_view mark) {
  std::vector<Outgoing> batch(count);
  for (std::size_t i = 0; i < count; ++i) {
    batch[i].subject = std::string(subject) + "." + std::to_string(i);
    batch[i].payload = std::string(mark) + ":" + std::to_string(i);
  }
  return batch;
}

}  // namespace intra365::nats::testing
