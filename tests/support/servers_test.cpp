// The fixtures themselves: what they promise about readiness, crashes, restarts and leaving nothing behind.
#include "tests/support/servers.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <set>

namespace intra365::testing {
namespace {
namespace fs = std::filesystem;

/// The first line a server sends to a new connection, or nothing within half a second.
std::string greeting(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{.tv_sec = 0, .tv_usec = 500'000};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char bytes[4096];
  ssize_t size = -1;
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    size = ::recv(socket, bytes, sizeof bytes, 0);
  }
  ::close(socket);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}

std::string query(const PostgresServer& server, const std::string& database, const char* sql) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(server.dsn(database).c_str()),
                                                              PQfinish);
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection.get(), sql), PQclear);
  if (PQntuples(result.get()) != 1) return PQerrorMessage(connection.get());
  return PQgetvalue(result.get(), 0, 0);
}

TEST(Ports, two_at_once_differ_and_stay_below_the_ephemeral_range) {
  std::set<std::uint16_t> numbers;
  std::vector<std::unique_ptr<Port>> ports;
  for (int count = 0; count < 50; ++count)
    numbers.insert(ports.emplace_back(std::make_unique<Port>())->number());
  EXPECT_EQ(numbers.size(), 50u);
  EXPECT_LT(*numbers.rbegin(), 32768);
}

TEST(TempDirs, leave_nothing_behind) {
  fs::path path;
  {
    const TempDir dir;
    path = dir.path();
    fs::create_directories(path / "a/b");
    write_file(path / "a/b/file", "text");
    EXPECT_EQ(read_file(path / "a/b/file"), "text");
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(ChildProcesses, tell_how_they_ended) {
  const TempDir dir;
  ChildProcess child({{"/bin/sh", "-c", "echo $WORD; exit 7"}, dir.path() / "log", {{"WORD", "hello"}}, {}});
  ASSERT_TRUE(child.wait());
  EXPECT_EQ(child.exit_status(), 7);
  EXPECT_EQ(read_file(dir.path() / "log"), "hello\n");
  EXPECT_THROW(ChildProcess({{"/no/such/program"}, dir.path() / "log", {}, {}}), std::runtime_error);
}

TEST(ChildProcesses, kill_takes_the_children_along) {
  const TempDir dir;
  ChildProcess child({{"/bin/sh", "-c", "sleep 1000 & echo $!; wait"}, dir.path() / "log", {}, {}});
  while (read_file(dir.path() / "log").empty()) child.wait(std::chrono::milliseconds(1));
  const auto grandchild = static_cast<pid_t>(std::stoi(read_file(dir.path() / "log")));
  EXPECT_EQ(::kill(grandchild, 0), 0);
  child.kill();
  // A zombie that nobody has collected yet still has a directory in /proc, but no memory.
  EXPECT_EQ(read_file("/proc/" + std::to_string(grandchild) + "/cmdline"), "");
  EXPECT_EQ(child.exit_status(), 128 + SIGKILL);
}

TEST(ChildProcesses, die_with_a_test_that_is_killed) {
  const TempDir dir;
  const pid_t test = ::fork();
  if (test == 0) {
    ChildProcess child({{"/bin/sh", "-c", "echo $$; exec sleep 1000"}, dir.path() / "log", {}, {}});
    child.wait();
    ::_exit(0);
  }
  while (read_file(dir.path() / "log").empty()) ::usleep(1000);
  const auto grandchild = std::stoi(read_file(dir.path() / "log"));
  ::kill(test, SIGKILL);
  ::waitpid(test, nullptr, 0);
  const auto command = "/proc/" + std::to_string(grandchild) + "/cmdline";
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!read_file(command).empty() && std::chrono::steady_clock::now() < limit) ::usleep(1000);
  EXPECT_EQ(read_file(command), "");
}

TEST(NatsServers, answer_on_their_own_ports_with_their_own_config) {
  const NatsServer first("max_payload: 12345\n");
  const NatsServer second;
  EXPECT_NE(first.port(), second.port());
  EXPECT_NE(greeting(first.port()).find("\"max_payload\":12345"), std::string::npos);
  EXPECT_EQ(greeting(second.port()).substr(0, 5), "INFO ");
}

TEST(NatsServers, keep_jetstream_below_their_directory) {
  fs::path store;
  {
    const NatsServer server("jetstream {}\n");
    store = server.store_dir() / "jetstream";
    EXPECT_TRUE(fs::exists(store)) << server.output();
    const NatsServer named("jetstream { store_dir: $STORE_DIR }\n");
    EXPECT_TRUE(fs::exists(named.store_dir() / "jetstream")) << named.output();
  }
  EXPECT_FALSE(fs::exists(store));
}

TEST(NatsServers, say_why_they_do_not_start) {
  try {
    const NatsServer server("no_such_setting: 1\n");
    FAIL() << "started with a wrong setting";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("no_such_setting"), std::string::npos) << error.what();
  }
}

TEST(NatsServers, come_back_on_the_same_port_after_a_crash) {
  NatsServer server("jetstream {}\n");
  const auto pid = server.pid();
  server.kill();
  EXPECT_FALSE(accepts_connections(server.port()));
  server.restart();
  EXPECT_NE(server.pid(), pid);
  EXPECT_EQ(greeting(server.port()).substr(0, 5), "INFO ");
}

TEST(NatsServers, are_silent_while_paused) {
  NatsServer server;
  server.pause();
  EXPECT_EQ(greeting(server.port()), "");
  server.resume();
  EXPECT_EQ(greeting(server.port()).substr(0, 5), "INFO ");
}

TEST(PostgresServers, give_databases_of_their_own) {
  auto& server = PostgresServer::shared();
  const auto first = server.create_database();
  const auto second = server.create_database();
  EXPECT_NE(first, second);
  server.execute(first, "CREATE TABLE only_here (id int)");
  EXPECT_EQ(query(server, first, "SELECT count(*) FROM only_here"), "0");
  EXPECT_THROW(server.execute(second, "SELECT * FROM only_here"), std::runtime_error);
  EXPECT_EQ(query(server, first, "SHOW wal_level"), "logical");
  EXPECT_EQ(query(server, first, "SHOW fsync"), "on");
}

TEST(PostgresServers, keep_what_was_committed_before_a_crash) {
  PostgresServer server;
  const auto database = server.create_database();
  server.execute(database, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (42)");
  server.kill();
  EXPECT_FALSE(accepts_connections(server.port()));
  server.restart();
  EXPECT_EQ(query(server, database, "SELECT id FROM kept"), "42");
  server.restart();
  EXPECT_EQ(query(server, database, "SELECT id FROM kept"), "42");
}

TEST(PostgresServers, start_without_fsync_and_leave_nothing_behind) {
  fs::path dir;
  {
    const PostgresServer server(PostgresServer::Fsync::off);
    dir = server.dir();
    EXPECT_EQ(query(server, "postgres", "SHOW fsync"), "off");
  }
  EXPECT_FALSE(fs::exists(dir));
}

}  // namespace
}  // namespace intra365::testing
