// For tests: a loop that runs coroutines to their end, and a pool on it.
#pragma once
#include <gtest/gtest.h>

#include <deque>

#include "postgres/convert.hpp"
#include "postgres/pool.hpp"
#include "tests/support/servers.hpp"

namespace intra365::postgres::testing {

using namespace std::chrono_literals;
using intra365::testing::PostgresServer;

inline SteadyTime in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

class Loop {
 public:
  static constexpr auto kPatience = 30s;

  template <class T>
  using Pending = std::shared_ptr<std::optional<Result<T>>>;

  /// Starts `task`; the outcome appears once it has ended.
  template <class T>
  Pending<T> start(Task<T> task) {
    auto outcome = std::make_shared<std::optional<Result<T>>>();
    asio::co_spawn(io, contain(std::move(task)),
                   [outcome](std::exception_ptr, Result<T> result) { *outcome = std::move(result); });
    return outcome;
  }

  /// Runs `task` to its end and gives its result; other work of the loop runs meanwhile.
  template <class T>
  Result<T> run(Task<T> task) {
    return finish(start(std::move(task)));
  }
  template <class T>
  Result<T> finish(Pending<T> outcome) {
    if (!until([&] { return outcome->has_value(); }))
      return fail(intra365::errors::deadline, "the test's task hung");
    return std::move(**outcome);
  }

  /// Runs the loop until `holds`; false when it never did.
  bool until(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io.restart();
      io.run_one_for(20ms);
    }
    return true;
  }

  std::unique_ptr<Pool> pool(std::string dsn, const std::function<void(PoolOptions&)>& change = {}) {
    PoolOptions options;
    options.dsn = std::move(dsn);
    options.max_connections = 4;
    if (change) change(options);
    return std::make_unique<Pool>(io.get_executor(), std::move(options));
  }

  asio::io_context io{1};
};

/// A loop and a pool on an empty database of its own.
class DatabaseTest : public ::testing::Test {
 protected:
  std::string database = PostgresServer::shared().create_database();
  std::string dsn = PostgresServer::shared().dsn(database);
  Loop loop;
  std::unique_ptr<Pool> pool = loop.pool(dsn);

  void execute(std::string sql) {
    const auto done = loop.run(pool->execute(std::move(sql), in(10s)));
    ASSERT_TRUE(done) << done.error().detail;
  }
  Result<Rows> query(std::string_view sql, Parameters parameters = {}, SteadyTime deadline = in(10s)) {
    return loop.run(pool->query(Scope{}, Query{"test", sql}, std::move(parameters), deadline));
  }
  /// The single value of a query, or the error's code.
  std::string value(std::string_view sql, Parameters parameters = {}) {
    const auto rows = query(sql, std::move(parameters));
    if (!rows) return rows.error().code;
    return std::string(rows->value(0, 0).value_or("NULL"));
  }
};

}  // namespace intra365::postgres::testing
