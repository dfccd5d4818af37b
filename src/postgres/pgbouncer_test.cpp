// Behind PgBouncer in transaction pooling: many of our connections share few of the server's, and what one
// statement sets must never be seen by another. Skipped where there is no pgbouncer on PATH, or named by
// INTRA365_PGBOUNCER.
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>
#include <regex>

#include "postgres/test_loop.hpp"

namespace intra365::postgres {
namespace {

using namespace testing;
using intra365::testing::ChildProcess;
namespace fs = std::filesystem;

fs::path find_pgbouncer() {
  if (const char* named = std::getenv("INTRA365_PGBOUNCER")) return named;
  std::string path = std::getenv("PATH") ? std::getenv("PATH") : "";
  path += ":/usr/sbin";
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find(':', at), path.size());
    const auto file = fs::path(path.substr(at, end - at)) / "pgbouncer";
    if (::access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return {};
}

/// Named prepared statements work through it from 1.21 on.
bool keeps_prepared_statements(const fs::path& program) {
  std::string text;
  if (auto* pipe = ::popen((program.string() + " --version").c_str(), "r")) {
    char buffer[256];
    if (std::fgets(buffer, sizeof buffer, pipe)) text = buffer;
    ::pclose(pipe);
  }
  std::smatch found;
  if (!std::regex_search(text, found, std::regex(R"((\d+)\.(\d+))"))) return false;
  return std::stoi(found[1]) > 1 || std::stoi(found[2]) >= 21;
}

class PgBouncerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto program = find_pgbouncer();
    if (program.empty())
      GTEST_SKIP() << "there is no pgbouncer on PATH; install it, or set INTRA365_PGBOUNCER";
    keeps_prepared_ = keeps_prepared_statements(program);
    std::smatch part;
    const auto direct = server_.dsn(database_);
    ASSERT_TRUE(std::regex_search(direct, part, std::regex(R"(//([^:]+):([^@]+)@([0-9.]+):(\d+)/)")))
        << direct;
    const auto config = directory_.path() / "pgbouncer.ini";
    intra365::testing::write_file(
        config, "[databases]\n" + database_ + " = host=" + part[3].str() + " port=" + part[4].str() +
                    " user=" + part[1].str() + " password='" + part[2].str() +
                    "'\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + port_.text() +
                    "\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = "
                    "200\nunix_socket_dir =\n");
    ChildProcess::Options options;
    options.arguments = {program.string(), config.string()};
    options.output = directory_.path() / "output.log";
    if (::geteuid() == 0) {  // it refuses root, too
      const passwd* nobody = ::getpwnam("nobody");
      ASSERT_NE(nobody, nullptr);
      options.user = intra365::testing::UnixUser{nobody->pw_uid, nobody->pw_gid};
      for (const auto& path : {directory_.path(), config})
        ASSERT_EQ(::chown(path.c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    }
    bouncer_ = std::make_unique<ChildProcess>(options);
    const auto limit = in(20s);
    while (!intra365::testing::accepts_connections(port_.number()) &&
           std::chrono::steady_clock::now() < limit)
      ASSERT_TRUE(bouncer_->running()) << intra365::testing::last_lines(options.output);
    dsn_ = "postgresql://anybody@127.0.0.1:" + port_.text() + "/" + database_;
  }

  /// Many tenants' statements at once over few server connections: each answers for its own tenant.
  void many_tenants_at_once(bool prepare, bool direct = false) {
    auto pool = loop_.pool(dsn_, [&](PoolOptions& options) {
      options.direct = direct;
      options.max_connections = 16;
      options.prepare = prepare;
    });
    constexpr Query kOwn{"own_tenant",
                         "select current_setting('intra365.tenant') as tenant, $1::int as number"};
    std::vector<Loop::Pending<Rows>> pending;
    for (int i = 0; i < 400; ++i) {
      Scope scope("tenant" + std::to_string(i));
      pending.push_back(loop_.start(pool->query(std::move(scope), kOwn, postgres::bind(i), in(30s))));
    }
    for (int i = 0; i < 400; ++i) {
      const auto rows = loop_.finish(pending[static_cast<std::size_t>(i)]);
      ASSERT_TRUE(rows) << i << ": " << rows.error().detail;
      EXPECT_EQ(rows->value(0, 0), "tenant" + std::to_string(i));
      EXPECT_EQ(rows->value(0, 1), std::to_string(i));
    }
    constexpr Query kBackends{"backends",
                              "select count(*) from pg_stat_activity where datname = current_database() and "
                              "backend_type = 'client backend'"};
    Scope none;
    const auto backends = loop_.run(pool->query(none, kBackends, {}, in(10s)));
    ASSERT_TRUE(backends) << backends.error().detail;
    EXPECT_LE(std::stoi(std::string(backends->value(0, 0).value())), 2)
        << "that many connections the server has";
    pool->close();
  }

  Loop loop_;
  PostgresServer& server_ = PostgresServer::shared();
  std::string database_ = server_.create_database();
  intra365::testing::TempDir directory_;
  intra365::testing::Port port_;
  std::unique_ptr<ChildProcess> bouncer_;
  std::string dsn_;
  bool keeps_prepared_ = false;
};

TEST_F(PgBouncerTest, each_statement_acts_for_its_own_tenant_without_prepared_statements) {
  many_tenants_at_once(false);
}

TEST_F(PgBouncerTest, each_statement_acts_for_its_own_tenant_with_prepared_statements) {
  if (!keeps_prepared_) GTEST_SKIP() << "this pgbouncer is older than 1.21";
  many_tenants_at_once(true);
}

TEST_F(PgBouncerTest, who_says_that_nobody_is_between_is_not_believed) {
  many_tenants_at_once(keeps_prepared_, true);
}

TEST_F(PgBouncerTest, a_transaction_keeps_its_connection_and_leaves_nothing_behind) {
  auto pool = loop_.pool(dsn_, [](PoolOptions& options) { options.prepare = false; });
  server_.execute(database_, "create table things (id int primary key)");
  Scope scope("t1");
  auto transaction = loop_.run(pool->begin(std::move(scope), in(10s)));
  ASSERT_TRUE(transaction) << transaction.error().detail;
  constexpr Query kInsert{"insert", "insert into things values ($1)"};
  constexpr Query kTenant{"tenant", "select coalesce(current_setting('intra365.tenant', true), '')"};
  ASSERT_TRUE(loop_.run(transaction->query(kInsert, postgres::bind(1))));
  const auto inside = loop_.run(transaction->query(kTenant, {}));
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->value(0, 0), "t1");
  ASSERT_TRUE(loop_.run(transaction->commit()));
  EXPECT_EQ(server_.execute(database_, "select count(*) from things").front(), "1");
  for (int i = 0; i < 4; ++i) {
    Scope none;
    const auto outside = loop_.run(pool->query(none, kTenant, {}, in(10s)));
    ASSERT_TRUE(outside);
    EXPECT_EQ(outside->value(0, 0), "") << "no tenant of somebody else";
  }
  pool->close();
}

}  // namespace
}  // namespace intra365::postgres
