#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <sstream>
#include <stdexcept>

#include "tests/support/servers.hpp"

namespace intra365::testing {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

std::optional<UnixUser> unprivileged_user() {
  if (::geteuid() != 0) return std::nullopt;
  const passwd* nobody = ::getpwnam("nobody");
  if (nobody == nullptr)
    throw std::runtime_error("running as root, and there is no user 'nobody' for PostgreSQL");
  return UnixUser{nobody->pw_uid, nobody->pw_gid};
}

void give_to(const std::optional<UnixUser>& user, const fs::path& path) {
  if (!user) return;
  if (::lchown(path.c_str(), user->uid, user->gid) != 0) throw std::runtime_error("chown " + path.string());
  if (!fs::is_directory(fs::symlink_status(path))) return;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (::lchown(entry.path().c_str(), user->uid, user->gid) != 0)
      throw std::runtime_error("chown " + path.string());
  }
}

/// What every cluster of this process is made from: programs that the unprivileged user can run, an
/// initialised data directory to copy, and the superuser's password.
struct Template {
  TempDir dir;
  std::optional<UnixUser> user = unprivileged_user();
  fs::path home;
  std::string password;

  Template() : home(reachable_home()), password(random_password()) { initdb(); }

  static const Template& get() {
    static const Template instance;
    return instance;
  }

  fs::path data() const { return dir.path() / "data"; }

 private:
  static std::string random_password() {
    std::random_device random;
    std::ostringstream text;
    for (int word = 0; word < 4; ++word) text << std::hex << random();
    return text.str();
  }

  bool starts(const fs::path& candidate) const {
    try {
      ChildProcess probe(
          {{(candidate / "bin/postgres").string(), "--version"}, dir.path() / "probe.log", {}, user});
      return probe.wait() && probe.exit_status() == 0;
    } catch (const std::system_error&) {
      return false;  // no way into a directory above it
    }
  }

  fs::path reachable_home() const {
    const char* configured = std::getenv("INTRA365_POSTGRES_HOME");
    const fs::path installed = configured != nullptr ? configured : INTRA365_SOURCE_DIR "/.deps/postgres";
    if (!fs::exists(installed / "bin/postgres")) {
      throw std::runtime_error("there is no " + installed.string() +
                               "/bin/postgres; run scripts/fetch-servers");
    }
    if (starts(installed)) return installed;
    const auto copy = dir.path() / "postgres";
    fs::copy(fs::canonical(installed), copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    if (!starts(copy)) {
      throw std::runtime_error("PostgreSQL does not start:\n" + last_lines(dir.path() / "probe.log"));
    }
    return copy;
  }

  void initdb() {
    const auto log = dir.path() / "initdb.log";
    const auto password_file = dir.path() / "password";
    write_file(password_file, password);
    fs::permissions(password_file, fs::perms::owner_read);
    give_to(user, password_file);
    fs::create_directory(data());
    fs::permissions(data(), fs::perms::owner_all);
    give_to(user, data());
    ChildProcess child({{(home / "bin/initdb").string(), "--pgdata", data().string(), "--username",
                         "postgres", "--auth", "scram-sha-256", "--pwfile", password_file.string(),
                         "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"},
                        log,
                        {{"LC_ALL", "C"}},
                        user});
    const bool done = child.wait() && child.exit_status() == 0;
    fs::remove(password_file);
    if (!done) throw std::runtime_error("initdb failed:\n" + last_lines(log));
  }
};

/// The System V shared memory of a server that did not come to its end: named in its lock file.
std::optional<int> shared_memory_left(const fs::path& data) {
  std::istringstream lines(read_file(data / "postmaster.pid"));
  std::string line;
  for (int number = 1; number <= 7; ++number) {
    if (!std::getline(lines, line)) return std::nullopt;
  }
  std::istringstream ids(line);
  long key = 0;
  int id = 0;
  if (ids >> key >> id) return id;
  return std::nullopt;
}

/// A server that was killed leaves it behind, and the system has few of them.
void remove_shared_memory(const fs::path& data) {
  if (const auto id = shared_memory_left(data)) ::shmctl(*id, IPC_RMID, nullptr);
}

/// Sessions of a server that was killed notice it when they next look; until then no other starts in its
/// place.
void wait_for_sessions(const fs::path& data) {
  const auto id = shared_memory_left(data);
  const auto limit = Clock::now() + kServerTimeout;
  for (shmid_ds state{}; id && ::shmctl(*id, IPC_STAT, &state) == 0 && state.shm_nattch > 0;) {
    if (Clock::now() > limit) throw std::runtime_error("sessions of the killed PostgreSQL do not end");
    ::usleep(5'000);
  }
}

}  // namespace

PostgresServer::PostgresServer(Fsync fsync) : fsync_(fsync) {
  const auto& source = Template::get();
  fs::copy(source.data(), dir() / "data", fs::copy_options::recursive);
  fs::permissions(dir() / "data", fs::perms::owner_all);
  give_to(source.user, dir() / "data");
  start();
}

PostgresServer::PostgresServer(StandbyOf of)
    : fsync_(of.primary.fsync_), follows_(of.primary.dsn()), keeps_slots_(of.keeps_slots) {
  const auto& source = Template::get();
  auto& primary = of.primary;
  primary.process_->signal(SIGINT);
  if (!primary.process_->wait()) throw std::runtime_error("the primary did not stop");
  fs::copy(primary.dir() / "data", dir() / "data", fs::copy_options::recursive);
  fs::permissions(dir() / "data", fs::perms::owner_all);
  write_file(dir() / "data/standby.signal", "");
  give_to(source.user, dir() / "data");
  primary.start();
  if (keeps_slots_) primary.execute("postgres", "SELECT pg_create_physical_replication_slot('standby')");
  start();
}

PostgresServer::~PostgresServer() {
  process_->signal_family(SIGCONT);
  process_->signal(SIGQUIT);
  if (!process_->wait(std::chrono::seconds(10))) process_->kill();
  remove_shared_memory(dir() / "data");
}

PostgresServer& PostgresServer::shared() {
  static PostgresServer instance;
  return instance;
}

void PostgresServer::start() {
  const auto& source = Template::get();
  ChildProcess::Options options;
  options.arguments = {(source.home / "bin/postgres").string(), "-D", (dir() / "data").string()};
  for (const std::string& setting :
       {"port=" + port_.text(), std::string("listen_addresses=127.0.0.1"),
        std::string("unix_socket_directories="), std::string("wal_level=logical"),
        std::string("max_replication_slots=16"), std::string("max_wal_senders=16"),
        std::string("max_connections=200"),
        // one sync of the file system after a crash instead of one of each of a thousand files
        std::string("recovery_init_sync_method=syncfs"), std::string("shared_buffers=32MB"),
        std::string(fsync_ == Fsync::on ? "fsync=on" : "fsync=off")}) {
    options.arguments.insert(options.arguments.end(), {"-c", setting});
  }
  if (!follows_.empty())
    options.arguments.insert(options.arguments.end(), {"-c", "primary_conninfo=" + follows_});
  if (keeps_slots_) {
    for (const auto* setting :
         {"primary_slot_name=standby", "hot_standby_feedback=on", "sync_replication_slots=on"})
      options.arguments.insert(options.arguments.end(), {"-c", setting});
  }
  options.output = dir() / "output.log";
  options.environment = {{"LC_ALL", "C"}};
  options.user = source.user;
  process_.reset();
  wait_for_sessions(dir() / "data");
  process_ = std::make_unique<ChildProcess>(options);

  const auto limit = Clock::now() + kServerTimeout;
  while (!accepts_connections(port()) || PQping(dsn().c_str()) != PQPING_OK) {
    if (process_->wait(std::chrono::milliseconds(15)) || Clock::now() > limit) {
      throw std::runtime_error("PostgreSQL did not start:\n" + last_lines(options.output));
    }
  }
}

void PostgresServer::cut_off() {
  follows_ = "host=127.0.0.1 port=1";
  restart();
}

void PostgresServer::promote() {
  follows_.clear();
  keeps_slots_ = false;
  execute("postgres", "SELECT pg_promote()");
}

void PostgresServer::restart() {
  process_->signal_family(SIGCONT);
  process_->signal(SIGINT);
  if (!process_->wait()) process_->kill();
  start();
}

void PostgresServer::encrypt(const TestCertificates& certificates) {
  const auto data = dir() / "data";
  for (const auto* name : {"server.pem", "server.key"}) {
    write_file(data / name, read_file(certificates.file(name)));
    fs::permissions(data / name, fs::perms::owner_read | fs::perms::owner_write);
    give_to(Template::get().user, data / name);
  }
  write_file(data / "pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n");
  execute("postgres", "ALTER SYSTEM SET ssl_cert_file = 'server.pem'");
  execute("postgres", "ALTER SYSTEM SET ssl_key_file = 'server.key'");
  execute("postgres", "ALTER SYSTEM SET ssl = on");
  restart();
}

std::string PostgresServer::dsn(std::string_view database) const {
  return "postgresql://postgres:" + Template::get().password + "@127.0.0.1:" + port_.text() + "/" +
         std::string(database);
}

std::string PostgresServer::create_database() {
  auto name = "test_" + std::to_string(++databases_);
  execute("postgres", "CREATE DATABASE " + name);
  return name;
}

std::vector<std::string> PostgresServer::execute(std::string_view database, const std::string& sql) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(dsn(database).c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection.get(), sql.c_str()), PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    throw std::runtime_error(PQresultErrorMessage(result.get()));
  }
  std::vector<std::string> first_column;
  for (int row = 0; row < PQntuples(result.get()); ++row)
    first_column.emplace_back(PQgetvalue(result.get(), row, 0));
  return first_column;
}

}  // namespace intra365::testing
