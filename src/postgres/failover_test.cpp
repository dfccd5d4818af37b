// Several hosts in one connection string: the pool follows the server that takes writes.
#include <gtest/gtest.h>

#include <regex>

#include "postgres/test_loop.hpp"

namespace intra365::postgres {
namespace {

using namespace testing;

/// One connection string for both servers, which share a password.
std::string both(const std::string& first, std::uint16_t second_port) {
  // postgresql://user:password@127.0.0.1:PORT/database
  return std::regex_replace(
      first, std::regex(R"(@([0-9.]+):(\d+)/(\w*)\??)"),
      "@$1:$2,$1:" + std::to_string(second_port) + "/$3?target_session_attrs=read-write&");
}

std::uint16_t port_of(const std::string& dsn) {
  std::smatch found;
  EXPECT_TRUE(std::regex_search(dsn, found, std::regex(R"(:(\d+)/)"))) << dsn;
  return static_cast<std::uint16_t>(std::stoi(found[1]));
}

struct FailoverTest : ::testing::Test {
  static void read_only(PostgresServer& server, bool on) {
    server.execute("postgres",
                   std::string("ALTER SYSTEM SET default_transaction_read_only = ") + (on ? "on" : "off"));
    server.execute("postgres", "SELECT pg_reload_conf()");
  }
  /// Which of the two servers answers a write; empty while none does.
  std::string writer(Pool& pool) {
    constexpr Query kWho{"who", "select setting from pg_settings where name = 'port'"};
    Scope none;
    const auto rows = loop.run(pool.query(none, kWho, {}, in(5s)));
    return rows ? std::string(rows->value(0, 0).value_or("")) : "";
  }
  std::string writer_at_last(Pool& pool) {
    std::string found;
    for (const auto end = in(20s); found.empty() && std::chrono::steady_clock::now() < end;) {
      found = writer(pool);
      if (found.empty()) static_cast<void>(loop.run(pool.ping(in(500ms))));
    }
    return found;
  }

  PostgresServer first{PostgresServer::Fsync::off}, second{PostgresServer::Fsync::off};
  Loop loop;
};

TEST_F(FailoverTest, the_pool_goes_to_the_server_that_takes_writes_and_follows_it_when_it_changes) {
  const auto first_port = port_of(first.dsn()), second_port = port_of(second.dsn());
  read_only(second, true);
  auto pool = loop.pool(both(first.dsn(), second_port));
  EXPECT_EQ(writer(*pool), std::to_string(first_port));

  first.kill();
  EXPECT_EQ(writer(*pool), "") << "the one that is left takes no writes yet";
  read_only(second, false);  // as a standby that is promoted
  EXPECT_EQ(writer_at_last(*pool), std::to_string(second_port));

  first.restart();
  read_only(first, true);
  second.kill();
  read_only(first, false);
  EXPECT_EQ(writer_at_last(*pool), std::to_string(first_port));
  pool->close();
}

}  // namespace
}  // namespace intra365::postgres
