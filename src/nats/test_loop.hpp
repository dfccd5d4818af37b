// For tests: a loop that runs coroutines to their end, and a connection on it.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nats/connection.hpp"

namespace intra365::nats::testing {

using namespace std::chrono_literals;

inline SteadyTime in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

class Loop {
 public:
  static constexpr auto kPatience = 20s;

  /// Runs `task` to its end and gives its result; other work of the loop runs meanwhile.
  template <class T>
  Result<T> run(Task<T> task) {
    auto outcome = std::make_shared<std::optional<Result<T>>>();
    asio::co_spawn(io, contain(std::move(task)),
                   [outcome](std::exception_ptr, Result<T> result) { *outcome = std::move(result); });
    if (!until([&] { return outcome->has_value(); }))
      return fail(intra365::errors::deadline, "the test's task did not end");
    return std::move(**outcome);
  }

  /// Runs the loop until `holds`; false when it never did.
  bool until(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    io.restart();
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io.run_one_for(50ms);
      if (io.stopped()) io.restart();
    }
    return true;
  }

  std::unique_ptr<Connection> make(const std::string& url, const std::function<void(Options&)>& change = {}) {
    Options options;
    options.urls = {url};
    options.reconnect_wait = 5ms;
    options.reconnect_wait_max = 50ms;
    options.on_event = [this](std::string_view event, std::string_view detail) {
      events.push_back(std::string(event) + " " + std::string(detail));
    };
    if (change) change(options);
    return std::make_unique<Connection>(io.get_executor(), std::move(options));
  }

  /// A connection that is connected.
  std::unique_ptr<Connection> connect(const std::string& url,
                                      const std::function<void(Options&)>& change = {}) {
    auto connection = make(url, change);
    const auto connected = run(connection->connect(in(5s)));
    EXPECT_TRUE(connected) << connected.error().code << ": " << connected.error().detail;
    return connection;
  }

  bool saw(std::string_view part) const {
    return std::any_of(events.begin(), events.end(),
                       [&](const std::string& event) { return event.find(part) != std::string::npos; });
  }

  asio::io_context io{1};
  std::vector<std::string> events;
};

inline std::function<Task<Credentials>()> give(Credentials credentials) {
  return [credentials]() -> Task<Credentials> {
    return [](Credentials given) -> Task<Credentials> { co_return given; }(credentials);
  };
}

/// Answers every request on `subject` with its own payload.
inline Subscription echo(Connection& connection, std::string_view subject,
                         std::string_view queue_group = {}) {
  auto subscription = connection.subscribe(
      subject,
      [&connection](const MessageView& message) {
        const auto sent = connection.publish(message.reply, message.payload);
        EXPECT_TRUE(sent) << sent.error().detail;
      },
      queue_group);
  EXPECT_TRUE(subscription);
  return std::move(*subscription);
}

}  // namespace intra365::nats::testing
