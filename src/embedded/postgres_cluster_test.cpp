// Where the cluster goes when its user cannot reach the data directory, and what else belongs to placing it.
#include "embedded/postgres_cluster.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/encoding.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/embedded_test_support.hpp"
#include "embedded/ports.hpp"

namespace intra365::embedded {
namespace {

using ::testing::StartsWith;

struct PostgresClusterTest : ::testing::Test {
  testing::TempDir temp;
  asio::io_context loop;

  /// Makes, starts and asks a cluster; returns the folder that really holds it.
  fs::path run_once(PostgresCluster& cluster) {
    const auto initialised = run(loop, cluster.initialise(in_seconds(60)));
    EXPECT_TRUE(initialised) << initialised.error().detail;
    EXPECT_TRUE(cluster.configure(free_port("127.0.0.1").value()));
    Supervisor::Hooks hooks;
    hooks.ready = [&](SteadyTime deadline) { return cluster.ready(deadline); };
    Supervisor supervisor(loop.get_executor(), cluster.process(), hooks);
    const auto started = run(loop, supervisor.start(in_seconds(60)));
    EXPECT_TRUE(started) << started.error().detail;
    EXPECT_TRUE(run(loop, supervisor.stop(in_seconds(30))));
    return cluster.data().parent_path();
  }
};

TEST_F(PostgresClusterTest, cluster_behind_a_closed_directory_goes_where_its_user_can_reach_it) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto closed = temp.path() / "closed";
  fs::create_directory(closed);
  fs::permissions(closed, fs::perms(0700));
  const auto directory = DataDirectory::open(closed / "data").value();
  const auto keys = load_or_make_keys(directory.paths()).value();
  fs::path there;
  {
    PostgresCluster cluster(directory.paths(), locate().value(), keys, PostgresCluster::Lasting::no);
    ASSERT_TRUE(cluster.prepare());
    there = run_once(cluster);
    EXPECT_TRUE(cluster.is_new());
  }
  EXPECT_TRUE(fs::is_symlink(directory.paths().postgres()));
  EXPECT_THAT(there.string(), StartsWith("/var/lib/intra365/clusters/"));
  struct stat status {};
  ASSERT_EQ(::stat(there.c_str(), &status), 0);
  EXPECT_NE(status.st_uid, 0u);
  EXPECT_EQ(status.st_mode & 07777, 0700u);

  // Found again, not made again.
  PostgresCluster again(directory.paths(), locate().value(), keys, PostgresCluster::Lasting::no);
  ASSERT_TRUE(again.prepare());
  EXPECT_EQ(run_once(again), there);
  EXPECT_FALSE(again.is_new());

  fs::remove_all(there);
  PostgresCluster lost(directory.paths(), locate().value(), keys, PostgresCluster::Lasting::no);
  const auto refused = lost.prepare();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data.unwritable");
}

TEST_F(PostgresClusterTest, long_path_gets_a_short_folder_for_its_socket) {
  const auto directory = DataDirectory::open(temp.path() / std::string(100, 'd')).value();
  const auto keys = load_or_make_keys(directory.paths()).value();
  fs::path sockets;
  {
    PostgresCluster cluster(directory.paths(), locate().value(), keys, PostgresCluster::Lasting::no);
    ASSERT_TRUE(cluster.prepare());
    sockets = cluster.socket_directory();
    EXPECT_LT(sockets.string().size(), 40u);
    run_once(cluster);
  }
  EXPECT_FALSE(fs::exists(sockets));
}

TEST_F(PostgresClusterTest, cluster_of_another_major_version_is_refused_and_left_alone) {
  const auto directory = DataDirectory::open(temp.path() / "data").value();
  const auto keys = load_or_make_keys(directory.paths()).value();
  PostgresCluster cluster(directory.paths(), locate().value(), keys);
  ASSERT_TRUE(cluster.prepare());
  fs::create_directory(directory.paths().postgres_data());
  testing::write_file(directory.paths().postgres_data() / "PG_VERSION", "14\n");
  const auto refused = run(loop, cluster.initialise(in_seconds(5)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "runtime.too_old");
  EXPECT_THAT(refused.error().detail, ::testing::HasSubstr("PostgreSQL 14"));
}

// RFC 7677, section 3, gives password, salt and iterations; the keys follow from them.
TEST(ScramVerifier, is_what_postgresql_stores) {
  const auto salt = crypto::decode_base64("W22ZaJ0SNY7soEsUEjb6gQ==").value();
  EXPECT_EQ(scram_verifier("pencil", salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

}  // namespace
}  // namespace intra365::embedded
