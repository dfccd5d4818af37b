// TLS against a real server: who may be talked to, for pools, listeners and replication alike.
#include "postgres/conninfo.hpp"
#include "postgres/listener.hpp"
#include "postgres/replication.hpp"
#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

class PostgresTlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    certificates = std::make_unique<intra365::testing::TestCertificates>();
    server = std::make_unique<PostgresServer>(PostgresServer::Fsync::off);
    server->encrypt(*certificates);
  }
  static void TearDownTestSuite() {
    server.reset();
    certificates.reset();
  }
  static std::string trusting(const char* authority) {
    return server->dsn() + "?sslmode=verify-full&sslrootcert=" + certificates->file(authority);
  }
  Result<Rows> ask(const std::string& dsn) {
    const auto pool = loop.pool(dsn);
    return loop.run(pool->query(
        Scope{}, Query{"tls", "select version from pg_stat_ssl where pid = pg_backend_pid() and ssl"}, {},
        in(10s)));
  }

  static inline std::unique_ptr<intra365::testing::TestCertificates> certificates;
  static inline std::unique_ptr<PostgresServer> server;
  Loop loop;
};

TEST_F(PostgresTlsTest, a_server_that_proves_itself_is_talked_to_in_secret) {
  const auto rows = ask(trusting("ca.pem"));
  ASSERT_TRUE(rows) << rows.error().detail;
  EXPECT_EQ(rows->value(0, 0), "TLSv1.3");

  Listener listener(loop.io.get_executor(), trusting("ca.pem"), {"x"});
  EXPECT_TRUE(loop.run(with_deadline(in(10s), listener.next())));
  ReplicationOptions replication;
  replication.dsn = trusting("ca.pem");
  replication.slot = "tls";
  const auto stream = loop.run(ReplicationStream::connect(loop.io.get_executor(), replication, in(10s)));
  EXPECT_TRUE(stream) << stream.error().detail;
}

TEST_F(PostgresTlsTest, a_server_of_an_unknown_authority_is_not) {
  const auto refused = ask(trusting("other.pem"));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(errors::unavailable));
  EXPECT_NE(refused.error().detail.find("certificate verify failed"), std::string::npos)
      << refused.error().detail;
}

TEST_F(PostgresTlsTest, a_name_that_the_certificate_has_not_is_refused) {
  auto dsn = trusting("ca.pem") + "&hostaddr=127.0.0.1";
  dsn.replace(dsn.find("@127.0.0.1"), 10, "@db.example");
  const auto refused = ask(dsn);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("db.example"), std::string::npos) << refused.error().detail;
}

TEST_F(PostgresTlsTest, without_a_word_about_tls_another_machine_must_prove_itself) {
  const auto mode = [](const std::string& dsn) {
    const auto target = parse_dsn(dsn);
    const auto* found = target ? target->find("sslmode") : nullptr;
    return found ? *found : std::string("libpq's own");
  };
  for (const auto* near :
       {"postgresql://u@127.0.0.1/d", "postgresql://u@localhost/d", "postgresql://u@[::1]/d",
        "host=/run/postgresql dbname=d", "dbname=d", "postgresql://u@localhost,127.0.0.1/d"})
    EXPECT_EQ(mode(near), "libpq's own") << near;
  for (const auto* far : {"postgresql://u@db/d", "postgresql://u@10.0.0.7/d", "postgresql://u@localhost,db/d",
                          "hostaddr=10.0.0.7 dbname=d", "service=elsewhere dbname=d",
                          "host=localhost hostaddr=10.0.0.7 dbname=d"})
    EXPECT_EQ(mode(far), "verify-full") << far;
  ::setenv("PGHOST", "db.example", 1);
  EXPECT_EQ(mode("dbname=d"), "verify-full") << "the environment names another machine";
  EXPECT_EQ(mode("host=localhost dbname=d"), "libpq's own");
  ::unsetenv("PGHOST");
  EXPECT_EQ(mode("postgresql://u@db/d?sslmode=verify-ca"), "verify-ca");
  EXPECT_EQ(mode("postgresql://u@db/d?sslmode=disable"), "disable") << "who says so has a reason";
}

}  // namespace
}  // namespace intra365::postgres::testing
