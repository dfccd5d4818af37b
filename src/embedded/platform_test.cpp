// The whole: both servers below one data directory, from empty to warm, through crashes, to nothing left.
#include "embedded/platform.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include <boost/json/parse.hpp>

#include "embedded/data_directory.hpp"
#include "embedded/embedded_test_support.hpp"
#include "embedded/ports.hpp"
#include "postgres/pool.hpp"
#include "postgres/replication.hpp"
#include "tests/support/servers.hpp"

namespace intra365::embedded {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct PlatformTest : ::testing::Test {
  testing::TempDir temp;
  asio::io_context loop;

  static Options options_in(const testing::TempDir& temp) {
    Options made;
    made.data_dir = temp.path() / "data";
    made.nats_port = 0;
    return made;
  }
  Options options() const { return options_in(temp); }
  Result<Endpoints> start(Embedded& embedded) { return run(loop, embedded.start(in_seconds(60))); }
  void stop(Embedded& embedded) { EXPECT_TRUE(run(loop, embedded.stop(in_seconds(20)))); }

  Result<postgres::Rows> query(const std::string& dsn, const char* sql) {
    postgres::PoolOptions pool_options;
    pool_options.dsn = dsn;
    postgres::Pool pool(loop.get_executor(), pool_options);
    postgres::Scope nobody;
    return run(loop, pool.query(nobody, postgres::Query{"test", sql}, postgres::bind(), in_seconds(10)));
  }
};

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

/// Running, or about to: a process that has ended and waits for its parent to look is not.
bool alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  const auto name_end = line.rfind(')');
  return name_end != std::string::npos && line.substr(name_end + 2, 1) != "Z";
}

TEST_F(PlatformTest, starts_empty_then_warm_with_the_same_keys_and_data_and_leaves_nothing_running) {
  Embedded embedded(loop.get_executor(), options());
  const auto begin = std::chrono::steady_clock::now();
  const auto first = start(embedded);
  ASSERT_TRUE(first) << first.error().detail;
  const auto made = std::chrono::steady_clock::now();
  ASSERT_TRUE(query(first->owner_dsn, "create table kept as select 7 as number"));
  ASSERT_TRUE(embedded.publish_endpoints("http://127.0.0.1:8365", "0.1.0"));
  const pid_t nats = embedded.nats_pid(), postgres = embedded.postgres_pid();
  stop(embedded);
  EXPECT_FALSE(alive(nats));
  EXPECT_FALSE(alive(postgres));
  EXPECT_FALSE(fs::exists(first->data_dir / "endpoints.json"));

  const auto again = std::chrono::steady_clock::now();
  const auto second = start(embedded);
  ASSERT_TRUE(second) << second.error().detail;
  const auto warm = std::chrono::steady_clock::now();
  EXPECT_EQ(second->platform_account, first->platform_account);
  const auto kept = query(second->owner_dsn, "select number from kept");
  ASSERT_TRUE(kept) << kept.error().detail;
  EXPECT_EQ(kept->value(0, 0), "7");
  stop(embedded);
  const auto milliseconds = [](auto duration) {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  };
  RecordProperty("empty_start_ms", milliseconds(made - begin));
  RecordProperty("warm_start_ms", milliseconds(warm - again));
  std::printf("empty start %d ms, warm start %d ms\n", milliseconds(made - begin),
              milliseconds(warm - again));
}

TEST_F(PlatformTest, servers_that_die_come_back_with_their_ports_and_data_and_the_state_is_told) {
  auto wanted = options();
  std::vector<std::string> told;
  wanted.on_state = [&](std::string_view server, ServerState state, std::string_view) {
    told.push_back(std::string(server) + (state == ServerState::up ? " up" : " down"));
  };
  Embedded embedded(loop.get_executor(), wanted);
  const auto endpoints = start(embedded);
  ASSERT_TRUE(endpoints) << endpoints.error().detail;
  told.clear();
  const pid_t nats = embedded.nats_pid(), postgres = embedded.postgres_pid();
  ::kill(nats, SIGKILL);
  ::kill(postgres, SIGKILL);
  const auto all_up = [&] {
    const auto ready = embedded.readiness();
    return embedded.restarts() >= 2 && ready[0].second && ready[1].second;
  };
  ASSERT_TRUE(run_until(loop, all_up));
  EXPECT_NE(embedded.nats_pid(), nats);
  EXPECT_NE(embedded.postgres_pid(), postgres);
  EXPECT_THAT(told, ::testing::UnorderedElementsAre("nats-server down", "nats-server up", "postgres down",
                                                    "postgres up"));
  EXPECT_TRUE(query(endpoints->service_dsn, "select 1"));
  EXPECT_TRUE(connect(loop, endpoints->nats_url, read_creds(endpoints->platform_creds_file)));
  stop(embedded);
  EXPECT_EQ(embedded.nats_pid(), 0);
}

TEST_F(PlatformTest, second_program_in_the_same_directory_is_refused_and_the_first_goes_on) {
  Embedded first(loop.get_executor(), options()), second(loop.get_executor(), options());
  ASSERT_TRUE(start(first));
  const auto refused = start(second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data.locked");
  EXPECT_THAT(refused.error().detail, HasSubstr(std::to_string(::getpid())));
  EXPECT_TRUE(first.readiness()[0].second);
  EXPECT_EQ(running_in(options().data_dir), ::getpid());
  stop(first);
  EXPECT_EQ(running_in(options().data_dir), 0);
}

TEST_F(PlatformTest, taken_port_is_refused_naming_who_listens) {
  testing::NatsServer other;
  auto wanted = options();
  wanted.nats_port = other.port();
  Embedded embedded(loop.get_executor(), wanted);
  const auto refused = start(embedded);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "port.taken");
  EXPECT_THAT(refused.error().detail, HasSubstr("nats-server (pid " + std::to_string(other.pid()) + ")"));
  EXPECT_EQ(embedded.postgres_pid(), 0);
}

TEST_F(PlatformTest, ephemeral_platform_leaves_no_files) {
  auto wanted = options();
  wanted.ephemeral = true;
  Embedded embedded(loop.get_executor(), wanted);
  const auto endpoints = start(embedded);
  ASSERT_TRUE(endpoints) << endpoints.error().detail;
  EXPECT_NE(endpoints->data_dir, wanted.data_dir);
  EXPECT_TRUE(fs::exists(endpoints->data_dir));
  stop(embedded);
  EXPECT_FALSE(fs::exists(endpoints->data_dir));
  EXPECT_FALSE(fs::exists(wanted.data_dir));
}

TEST_F(PlatformTest, data_without_its_keys_is_refused_and_left_alone) {
  {
    Embedded embedded(loop.get_executor(), options());
    ASSERT_TRUE(start(embedded));
    stop(embedded);
  }
  const Paths paths(options().data_dir);
  fs::rename(paths.keys(), temp.path() / "keys");
  Embedded without(loop.get_executor(), options());
  const auto refused = start(without);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data.keys_lost");
  EXPECT_FALSE(fs::exists(paths.keys()));

  // Keys of other data do not open this one, and that is said.
  auto elsewhere = options();
  elsewhere.data_dir = temp.path() / "other";
  Embedded other(loop.get_executor(), elsewhere);
  ASSERT_TRUE(start(other));
  stop(other);
  fs::rename(Paths(elsewhere.data_dir).keys(), paths.keys());
  Embedded mixed(loop.get_executor(), options());
  const auto wrong = start(mixed);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, "data.keys_lost") << wrong.error().detail;

  fs::remove_all(paths.keys());
  fs::rename(temp.path() / "keys", paths.keys());
  Embedded restored(loop.get_executor(), options());
  EXPECT_TRUE(start(restored));
  stop(restored);
}

TEST_F(PlatformTest, directory_begun_by_a_killed_program_is_finished) {
  const Paths paths(options().data_dir);
  fs::create_directories(paths.data / "keys.new/root");
  testing::write_file(paths.lock(), "1\n");
  testing::write_file(paths.version(), "1\n");
  testing::write_file(paths.endpoints(), "{}");
  fs::create_directories(paths.postgres() / "data.new/base");
  Embedded embedded(loop.get_executor(), options());
  const auto endpoints = start(embedded);
  ASSERT_TRUE(endpoints) << endpoints.error().detail;
  EXPECT_FALSE(fs::exists(paths.endpoints()));
  EXPECT_FALSE(fs::exists(paths.data / "keys.new"));
  EXPECT_FALSE(fs::exists(paths.postgres() / "data.new"));
  stop(embedded);
}

/// The platform in a process of its own, which tells the pids of its servers and then only waits.
pid_t start_in_child(const Options& options, int tell) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  asio::io_context loop;
  Embedded embedded(loop.get_executor(), options);
  const auto started = run(loop, embedded.start(in_seconds(60)));
  const pid_t pids[2] = {embedded.nats_pid(), embedded.postgres_pid()};
  [[maybe_unused]] const auto written = ::write(tell, pids, sizeof pids);
  if (started) loop.run();
  ::_exit(1);
}

TEST_F(PlatformTest, no_server_outlives_a_killed_program_and_the_next_start_recovers) {
  int tell[2];
  ASSERT_EQ(::pipe2(tell, O_CLOEXEC), 0);
  const pid_t child = start_in_child(options(), tell[1]);
  pid_t pids[2] = {0, 0};
  ASSERT_EQ(::read(tell[0], pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  ASSERT_GT(pids[0], 0);
  ASSERT_GT(pids[1], 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  // The next start may begin while PostgreSQL is still going down.
  Embedded embedded(loop.get_executor(), options());
  const auto endpoints = start(embedded);
  ASSERT_TRUE(endpoints) << endpoints.error().detail;
  EXPECT_FALSE(alive(pids[0]));
  EXPECT_FALSE(alive(pids[1]));
  EXPECT_TRUE(query(endpoints->service_dsn, "select 1"));
  stop(embedded);
  ::close(tell[0]);
  ::close(tell[1]);
}

TEST_F(PlatformTest, listener_beyond_loopback_speaks_tls_that_our_authority_vouches_for) {
  auto wanted = options();
  wanted.nats_host = "0.0.0.0";
  Embedded embedded(loop.get_executor(), wanted);
  const auto endpoints = start(embedded);
  ASSERT_TRUE(endpoints) << endpoints.error().detail;
  EXPECT_THAT(endpoints->nats_url, ::testing::StartsWith("tls://127.0.0.1:"));
  EXPECT_THAT(endpoints->websocket_url, ::testing::StartsWith("wss://"));
  const auto creds = read_creds(endpoints->platform_creds_file);
  const auto trusted = connect(loop, endpoints->nats_url, creds, endpoints->ca_file);
  ASSERT_TRUE(trusted) << trusted.error().detail;
  EXPECT_TRUE((*trusted)->server().tls_required);
  EXPECT_FALSE(connect(loop, endpoints->nats_url, creds));  // the system's authorities do not know it
  stop(embedded);
}

/// One platform for the tests that only look at it.
struct RunningPlatform : PlatformTest {
  static void SetUpTestSuite() {
    temp = std::make_unique<testing::TempDir>();
    loop = std::make_unique<asio::io_context>();
    embedded = std::make_unique<Embedded>(loop->get_executor(), options_in(*temp));
    const auto started = run(*loop, embedded->start(in_seconds(60)));
    ASSERT_TRUE(started) << started.error().detail;
    endpoints = *started;
  }
  static void TearDownTestSuite() {
    EXPECT_TRUE(run(*loop, embedded->stop(in_seconds(20))));
    embedded.reset();
    loop.reset();
    temp.reset();
  }
  static inline std::unique_ptr<testing::TempDir> temp;
  static inline std::unique_ptr<asio::io_context> loop;
  static inline std::unique_ptr<Embedded> embedded;
  static inline Endpoints endpoints;
};

TEST_F(RunningPlatform, roles_have_the_rights_that_their_names_promise) {
  const auto rights = query(
      endpoints.admin_dsn,
      "select rolname, rolsuper::text, rolbypassrls::text, rolcreaterole::text, rolreplication::text from "
      "pg_roles where rolname like 'intra365%' order by 1");
  ASSERT_TRUE(rights) << rights.error().detail;
  ASSERT_EQ(rights->size(), 4u);
  const auto row = [&](std::size_t at) {
    std::string text;
    for (std::size_t column = 0; column < 5; ++column) text += std::string(*rights->value(at, column)) + " ";
    return text;
  };
  EXPECT_EQ(row(0), "intra365_admin true true true true ");
  EXPECT_EQ(row(1), "intra365_owner false false false false ");
  EXPECT_EQ(row(2), "intra365_replication false false false true ");
  EXPECT_EQ(row(3), "intra365_service false false false false ");
  EXPECT_FALSE(query(endpoints.replication_dsn, "select * from intra365.tenants"));
  EXPECT_TRUE(query(endpoints.owner_dsn, "create table anything (id int)"));
  EXPECT_FALSE(query(endpoints.service_dsn, "create table anything_else (id int)"));
  const auto settings = query(endpoints.service_dsn,
                              "select current_setting('wal_level') || current_setting('fsync') || "
                              "current_setting('server_encoding')");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->value(0, 0), "logicalonUTF8");
  auto wrong = endpoints.admin_dsn;
  wrong.replace(wrong.find('@') - 4, 4, "XXXX");  // the end of the password
  EXPECT_FALSE(query(wrong, "select 1"));
}

TEST_F(RunningPlatform, connections_for_physical_replication_are_for_the_superuser_only) {
  const auto physical = [&](const std::string& dsn) {
    return query(dsn + (dsn.find('?') == std::string::npos ? '?' : '&') + "replication=true", "select 1");
  };
  for (const auto& dsn : {endpoints.replication_dsn, endpoints.service_dsn, endpoints.owner_dsn}) {
    const auto refused = physical(dsn);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().detail, HasSubstr("no pg_hba.conf entry for replication connection"));
  }
  const auto let_in = physical(endpoints.admin_dsn);
  ASSERT_FALSE(let_in) << "such a connection takes no queries";
  EXPECT_THAT(let_in.error().detail, Not(HasSubstr("pg_hba.conf")));
  // Reading the change log is another kind.
  postgres::ReplicationOptions options;
  options.dsn = endpoints.replication_dsn;
  options.slot = "a_slot";
  EXPECT_TRUE(
      run(*loop, postgres::ReplicationStream::connect(loop->get_executor(), options, in_seconds(10))));
}

TEST_F(RunningPlatform, secrets_are_private_and_appear_in_no_log_and_no_command_line) {
  const Paths paths(endpoints.data_dir);
  EXPECT_EQ(mode_of(paths.keys()), 0700u);
  EXPECT_EQ(mode_of(paths.root_keys()), 0700u);
  std::vector<std::string> secrets;
  for (const auto& entry : fs::recursive_directory_iterator(paths.keys())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(mode_of(entry.path()), 0600u) << entry.path();
    auto secret = read_file(entry.path()).value();
    if (secret.ends_with('\n')) secret.pop_back();
    if (entry.path().extension() == ".seed" || entry.path().extension() == ".key" ||
        entry.path().extension() == ".password")
      secrets.push_back(secret);
  }
  EXPECT_EQ(mode_of(paths.ca_key()), 0600u);
  EXPECT_EQ(mode_of(paths.nats_config()), 0600u);
  EXPECT_EQ(mode_of(paths.data) & 0066, 0u);
  EXPECT_GE(secrets.size(), 14u);
  std::string visible = testing::read_file(paths.nats_config());
  for (const auto& entry : fs::directory_iterator(paths.logs())) visible += testing::read_file(entry.path());
  for (const pid_t pid : {embedded->nats_pid(), embedded->postgres_pid()})
    visible += testing::read_file("/proc/" + std::to_string(pid) + "/cmdline");
  for (const auto& secret : secrets) EXPECT_THAT(visible, Not(HasSubstr(secret)));
}

TEST_F(RunningPlatform, endpoints_file_says_where_everything_is) {
  const auto file = endpoints.data_dir / "endpoints.json";
  ASSERT_TRUE(embedded->publish_endpoints("http://127.0.0.1:8365", "0.1.0"));
  EXPECT_EQ(mode_of(file), 0600u);
  const auto content = boost::json::parse(testing::read_file(file)).as_object();
  EXPECT_EQ(content.at("gateway"), "http://127.0.0.1:8365");
  EXPECT_EQ(content.at("nats"), endpoints.nats_url.c_str());
  EXPECT_EQ(content.at("pid"), ::getpid());
  EXPECT_EQ(content.at("version"), "0.1.0");
  EXPECT_TRUE(fs::exists(content.at("ca").as_string().c_str()));
  EXPECT_TRUE(query(content.at("postgres").as_string().c_str(), "select 1"));
  for (const auto* name : {"natsWebsocket", "mqtt"}) EXPECT_TRUE(content.contains(name)) << name;
}

}  // namespace
}  // namespace intra365::embedded
