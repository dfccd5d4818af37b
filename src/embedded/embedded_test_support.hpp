// What the tests of this folder share: a loop to run coroutines in, and NATS logins.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>

#include "async/task.hpp"
#include "crypto/nats_jwt.hpp"
#include "embedded/file.hpp"
#include "embedded/platform.hpp"
#include "nats/connection.hpp"
#include "tests/support/process.hpp"

namespace intra365::embedded {

inline SteadyTime in_seconds(int seconds) {
  return std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
}

/// Runs one coroutine to its end on this thread; others that were spawned run meanwhile.
template <class T>
Result<T> run(asio::io_context& loop, Task<T> task) {
  std::optional<Result<T>> result;
  asio::co_spawn(loop, contain(std::move(task)),
                 [&](std::exception_ptr, Result<T> done) { result = std::move(done); });
  loop.restart();
  while (!result && loop.run_one() > 0) {
  }
  return result ? *std::move(result) : fail(errors::server_failed, "the loop ran dry");
}

/// Runs the loop until `condition` holds; false when it does not within a minute.
template <class Condition>
bool run_until(asio::io_context& loop, Condition condition) {
  const auto limit = in_seconds(60);
  loop.restart();
  while (!condition() && std::chrono::steady_clock::now() < limit)
    loop.run_one_for(std::chrono::milliseconds(50));
  return condition();
}

inline nats::Credentials read_creds(const fs::path& file) {
  const auto creds = crypto::parse_creds_file(read_file(file).value()).value();
  nats::Credentials credentials;
  credentials.jwt = creds.jwt;
  credentials.nkey_seed = creds.seed;
  return credentials;
}

inline Task<nats::Credentials> hand_over(nats::Credentials credentials) {
  co_return credentials;
}

inline nats::Options nats_options(const std::string& url, nats::Credentials credentials,
                                  const fs::path& ca = {}) {
  nats::Options options;
  options.urls = {url};
  options.reconnect = false;
  options.tls.ca_file = ca.string();
  options.credentials = [credentials = std::move(credentials)] { return hand_over(credentials); };
  return options;
}

/// A connection, or why there is none.
inline Result<std::unique_ptr<nats::Connection>> connect(asio::io_context& loop, const std::string& url,
                                                         nats::Credentials credentials = {},
                                                         const fs::path& ca = {}) {
  auto connection =
      std::make_unique<nats::Connection>(loop.get_executor(), nats_options(url, std::move(credentials), ca));
  const auto connected = run(loop, connection->connect(in_seconds(10)));
  if (!connected) return fail(connected.error());
  return connection;
}

}  // namespace intra365::embedded
