#include "embedded/postgres_cluster.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/ids.hpp"
#include "crypto/encoding.hpp"
#include "embedded/file.hpp"
#include "postgres/pool.hpp"

namespace intra365::embedded {
namespace {

constexpr auto kReadyPoll = std::chrono::milliseconds(5);
/// `/.s.PGSQL.65535.lock` behind the folder, in the 107 bytes that a socket's address has.
constexpr std::size_t kMaxSocketFolderBytes = 107 - 20;

/// Stable and short: the same data directory finds its cluster again.
std::string name_of(const fs::path& path) {
  return crypto::hex(crypto::sha256(path.string())).substr(0, 16);
}

/// A folder above what other users must reach: they may pass, not look.
Result<void> make_passage(const fs::path& path) {
  CHECK(make_directory(path, 0711));
  return {};
}

Result<void> set_owner(const fs::path& path, const UnixUser& user) {
  if (::lchown(path.c_str(), user.uid, user.gid) != 0) return fail(file_error(errno, path));
  return {};
}

Result<void> copy_tree(const fs::path& from, const fs::path& to) {
  std::error_code error;
  const auto aside = fs::path(to.string() + ".new-" + std::to_string(::getpid()));
  fs::remove_all(aside, error);
  fs::copy(from, aside, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
  if (error) return fail(file_error(error.value(), aside));
  for (fs::recursive_directory_iterator entry(aside, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_symlink()) continue;
    const auto readable = entry->is_directory()
                              ? fs::perms(0755)
                              : fs::perms(0444) | (entry->status().permissions() & fs::perms(0111));
    fs::permissions(entry->path(), readable, error);
  }
  fs::permissions(aside, fs::perms(0755), error);
  if (error) return fail(file_error(error.value(), aside));
  // Another start may have been quicker; its copy is as good.
  const auto renamed = rename_durably(aside, to);
  if (!renamed) fs::remove_all(aside, error);
  return fs::exists(to / "bin/postgres", error) ? Result<void>{} : renamed;
}

unsigned major_version(const std::string& version) {
  return static_cast<unsigned>(std::strtoul(version.c_str(), nullptr, 10));
}

/// A thirty-second of the machine's memory, between 128 and 512 MB; the server touches only what it uses.
long shared_megabytes() {
  const auto megabytes = ::sysconf(_SC_PHYS_PAGES) / 1024 * ::sysconf(_SC_PAGESIZE) / 1024;
  return std::clamp(megabytes / 32, 128L, 512L);
}

/// One statement per line for PostgreSQL's single-user mode.
std::string first_statements(const std::string& admin, const std::string& owner, const std::string& service) {
  const auto verifier = [](const std::string& password) {
    return scram_verifier(password, random_bytes(16));
  };
  return fmt::format("ALTER ROLE {} PASSWORD '{}';\n", postgres_admin, verifier(admin)) +
         fmt::format("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{}';\n",
                     postgres_owner, verifier(owner)) +
         fmt::format(
             "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD "
             "'{}';\n",
             postgres_service, verifier(service)) +
         fmt::format("CREATE DATABASE {} OWNER {};\n", postgres_database, postgres_owner) +
         fmt::format("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC;\n", postgres_database) +
         fmt::format("GRANT CONNECT ON DATABASE {} TO {};\n", postgres_database, postgres_service);
}

/// Physical replication (pg_basebackup, a standby) is for backups, which log in as the superuser. It is one
/// door of two: PostgreSQL lets a role that may replicate copy the cluster over a connection to a database,
/// too, so whoever has the password of the change log's role has the data.
constexpr std::string_view kAccess =
    "# Written by intra365 at every start; changes are lost. Nobody comes in without a password.\n"
    "local all         all              scram-sha-256\n"
    "host  all         all 127.0.0.1/32 scram-sha-256\n"
    "host  all         all ::1/128      scram-sha-256\n"
    "local replication intra365_admin              scram-sha-256\n"
    "host  replication intra365_admin 127.0.0.1/32 scram-sha-256\n";

}  // namespace

std::string scram_verifier(std::string_view password, std::string_view salt) {
  constexpr int kIterations = 4096;
  auto block = crypto::hmac_sha256(password, std::string(salt) + std::string("\0\0\0\1", 4));
  auto salted = block;
  for (int i = 1; i < kIterations; ++i) {
    block = crypto::hmac_sha256(password, block);
    for (std::size_t at = 0; at < salted.size(); ++at) salted[at] = static_cast<char>(salted[at] ^ block[at]);
  }
  const auto stored = crypto::sha256(crypto::hmac_sha256(salted, "Client Key"));
  const auto server = crypto::hmac_sha256(salted, "Server Key");
  return fmt::format("SCRAM-SHA-256${}:{}${}:{}", kIterations, crypto::base64(salt), crypto::base64(stored),
                     crypto::base64(server));
}

PostgresCluster::PostgresCluster(const Paths& paths, Runtime runtime, const Keys& keys, Lasting lasting)
    : lasting_(lasting),
      paths_(paths),
      runtime_(std::move(runtime)),
      admin_password_(keys.admin_password),
      owner_password_(keys.owner_password),
      service_password_(keys.service_password),
      replication_password_(keys.replication_password) {}

PostgresCluster::~PostgresCluster() {
  std::error_code ignored;
  if (sockets_are_temporary_) fs::remove_all(sockets_, ignored);
}

Result<void> PostgresCluster::prepare() {
  TRY(user_, unprivileged_user());
  CHECK(place());
  CHECK(choose_runtime());
  return choose_sockets();
}

Result<void> PostgresCluster::give(const fs::path& path) const {
  return user_ ? set_owner(path, *user_) : Result<void>{};
}

Result<void> PostgresCluster::place() {
  std::error_code error;
  const auto here = paths_.postgres();
  struct stat status {};
  if (::stat(here.c_str(), &status) == 0) {
    // Whoever has it keeps it: a user 'postgres' that came later does not own it.
    if (user_ && status.st_uid != 0) user_ = UnixUser{status.st_uid, status.st_gid};
    if (!user_ && status.st_uid != ::geteuid()) {
      return fail(errors::data_other_user, here.string() + " belongs to user " +
                                               std::to_string(status.st_uid) + ". " +
                                               std::string(errors::data_other_user.meaning));
    }
    return give(here);
  }
  if (fs::is_symlink(here, error)) {
    return fail(errors::data_unwritable, here.string() + " leads to " +
                                             fs::read_symlink(here, error).string() +
                                             ", which is not there any more; restore it from a backup");
  }
  if (!user_ || can_reach(*user_, paths_.data, X_OK)) {
    CHECK(make_directory(here));
    return give(here);
  }
  const auto clusters = fs::path(system_directory) / "clusters";
  CHECK(make_passage(system_directory));
  CHECK(make_passage(clusters));
  // Never a folder that is there: it may be the cluster of a data directory that somebody moved.
  const auto there = clusters / (name_of(paths_.data) + "-" + random_token(8));
  CHECK(make_directory(there));
  CHECK(give(there));
  fs::create_directory_symlink(there, here, error);
  if (error) return fail(file_error(error.value(), here));
  return sync_directory(paths_.data);
}

Result<void> PostgresCluster::choose_runtime() {
  if (!user_ || can_reach(*user_, runtime_.postgres_home / "bin/postgres", X_OK)) return {};
  const auto copies = fs::path(system_directory) / "runtime";
  const auto copy = copies / ("postgres-" + runtime_.postgres_version);
  std::error_code error;
  CHECK(make_passage(system_directory));
  CHECK(make_directory(copies, 0755));
  if (!fs::exists(copy / "bin/postgres", error)) CHECK(copy_tree(runtime_.postgres_home, copy));
  if (!can_reach(*user_, copy / "bin/postgres", X_OK)) {
    return fail(errors::server_failed,
                "The user that runs PostgreSQL cannot reach " + copy.string() + "; give it mode 0755.");
  }
  runtime_.postgres_home = copy;
  return {};
}

Result<void> PostgresCluster::choose_sockets() {
  // Behind the link, when there is one: what counts is that the user gets there.
  std::error_code error;
  sockets_ = fs::canonical(paths_.postgres(), error) / "run";
  if (!error && sockets_.string().size() <= kMaxSocketFolderBytes) {
    CHECK(make_directory(sockets_));
    return give(sockets_);
  }
  std::string pattern = "/tmp/intra365-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return fail(file_error(errno, pattern));
  sockets_ = pattern;
  sockets_are_temporary_ = true;
  return give(sockets_);
}

fs::path PostgresCluster::data() const {
  std::error_code error;
  return fs::canonical(paths_.postgres(), error) / "data";
}

ProcessSpec PostgresCluster::tool(const std::string& program, std::vector<std::string> arguments) const {
  ProcessSpec spec;
  spec.name = program;
  spec.arguments = std::move(arguments);
  spec.arguments.insert(spec.arguments.begin(), (runtime_.postgres_home / "bin" / program).string());
  spec.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"};
  spec.log_file = paths_.postgres_log();
  spec.user = user_;
  return spec;
}

Task<> PostgresCluster::initialise(SteadyTime deadline) {
  std::error_code error;
  if (fs::exists(data() / "PG_VERSION", error)) {
    const auto version = read_file(data() / "PG_VERSION");
    if (version && major_version(*version) != major_version(runtime_.postgres_version)) {
      co_return fail(errors::runtime_too_old,
                     fmt::format("The cluster in {} was made by PostgreSQL {}, the one found is {}; set "
                                 "INTRA365_POSTGRES_HOME to a "
                                 "PostgreSQL {}.",
                                 data().string(), major_version(*version), runtime_.postgres_version,
                                 major_version(*version)));
    }
    co_return Result<void>{};
  }
  const auto aside = data().parent_path() / "data.new";
  fs::remove_all(aside, error);
  const auto made = co_await make(aside, deadline);
  if (!made) {
    fs::remove_all(aside, error);
    co_return made;
  }
  is_new_ = true;
  co_return rename_durably(aside, data());
}

Task<> PostgresCluster::make(fs::path aside, SteadyTime deadline) {
  CO_CHECK(make_directory(aside));
  CO_CHECK(give(aside));
  std::vector<std::string> arguments{"--pgdata",          aside.string(), "--username",  postgres_admin,
                                     "--auth-local",      "reject",       "--auth-host", "reject",
                                     "--encoding",        "UTF8",         "--locale",    "C",
                                     "--no-instructions", "--no-sync"};
  if (major_version(runtime_.postgres_version) >= 17) {
    arguments.insert(arguments.end(), {"--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"});
  }
  auto initdb = tool("initdb", std::move(arguments));
  CO_CHECK(co_await run_to_end(std::move(initdb), deadline));

  const auto statements = aside.parent_path() / "first.sql";
  CO_CHECK(write_file(statements, first_statements(admin_password_, owner_password_, service_password_)));
  auto single = tool("postgres", {"--single", "-D", aside.string(), "-c", "exit_on_error=on", "-c",
                                  "log_min_messages=warning", "-c", "fsync=off", "postgres"});
  single.input_file = statements;
  // It prints a prompt for each statement; what counts is its exit code.
  single.log_file = paths_.logs() / "postgres-first.log";
  const auto done = co_await run_to_end(std::move(single), deadline);
  ::unlink(statements.c_str());
  CO_CHECK(done);
  // One sync for the whole cluster instead of one per file: it is complete on disk before it gets its name.
  if (lasting_ == Lasting::no) co_return Result<void>{};
  co_return sync_file_system(aside);
}

Result<void> PostgresCluster::configure(std::uint16_t port) {
  port_ = port;
  const auto text = fmt::format(
      "# Written by intra365 at every start; changes are lost.\n"
      "listen_addresses = '127.0.0.1'\n"
      "port = {}\n"
      "unix_socket_directories = '{}'\n"
      "unix_socket_permissions = 0700\n"
      "max_connections = 100\n"
      "shared_buffers = {}MB\n"
      "max_wal_size = 2GB\n"
      "wal_level = logical\n"
      "max_wal_senders = 16\n"
      "max_replication_slots = 16\n"
      "max_slot_wal_keep_size = 4GB\n"
      "fsync = on\n"
      "synchronous_commit = on\n"
      "password_encryption = 'scram-sha-256'\n"
      "logging_collector = off\n"
      "log_destination = 'stderr'\n"
      "log_min_messages = warning\n"
      "log_min_error_statement = panic\n"
      "log_error_verbosity = terse\n"  // details quote the rows that a constraint refuses
      "log_checkpoints = off\n"
      "log_timezone = 'UTC'\n"
      "timezone = 'UTC'\n",
      port, sockets_.string(), shared_megabytes());
  const auto own = data() / "intra365.conf", main = data() / "postgresql.conf",
             access = data() / "pg_hba.conf";
  CHECK(write_file(own, text));
  CHECK(give(own));
  CHECK(write_file(access, kAccess));
  CHECK(give(access));
  // What initdb found out about the machine stays; ours comes last and wins.
  constexpr std::string_view kInclude = "include 'intra365.conf'\n";
  TRY(auto settings, read_file(main));
  if (settings.ends_with(kInclude)) return {};
  settings += kInclude;
  CHECK(write_file(main, settings));
  return give(main);
}

Result<void> PostgresCluster::give_tree(const fs::path& path) const {
  if (!user_) return {};
  CHECK(give(path));
  std::error_code error;
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    CHECK(give(entry->path()));
  }
  return error ? Result<void>(fail(file_error(error.value(), path))) : Result<void>{};
}

ProcessSpec PostgresCluster::process(const std::vector<std::string>& settings) const {
  std::vector<std::string> arguments{"-D", data().string()};
  for (const auto& setting : settings) {
    arguments.push_back("-c");
    arguments.push_back(setting);
  }
  auto spec = tool("postgres", std::move(arguments));
  spec.death_signal = SIGQUIT;  // ends at once and takes its children along, who would outlive a SIGKILL
  spec.stop_signal = SIGINT;    // ends open transactions, then shuts down
  return spec;
}

std::string PostgresCluster::dsn(const std::string& host, const char* role,
                                 const std::string& password) const {
  if (host.starts_with('/')) {
    // A path in a URI: only what stands for something else in it needs escaping.
    std::string escaped;
    for (const unsigned char c : host)
      escaped += std::isalnum(c) || c == '/' || c == '-' || c == '_' || c == '.'
                     ? std::string(1, static_cast<char>(c))
                     : fmt::format("%{:02X}", c);
    return fmt::format("postgresql://{}:{}@/{}?host={}&port={}", role, password, postgres_database, escaped,
                       port_);
  }
  return fmt::format("postgresql://{}:{}@{}:{}/{}", role, password, host, port_, postgres_database);
}

std::string PostgresCluster::owner_dsn() const {
  return dsn(sockets_.string(), postgres_owner, owner_password_);
}
std::string PostgresCluster::service_dsn() const {
  return dsn(sockets_.string(), postgres_service, service_password_);
}
std::string PostgresCluster::replication_dsn() const {
  return dsn(sockets_.string(), postgres_replication, replication_password_);
}
std::string PostgresCluster::admin_dsn() const {
  return dsn("127.0.0.1", postgres_admin, admin_password_);
}

Task<> PostgresCluster::ready(SteadyTime deadline) {
  // The server itself writes its state here, the line that pg_ctl reads: before `ready`, no login succeeds.
  constexpr int kStateLine = 8;
  for (;;) {
    std::ifstream file(data() / "postmaster.pid");
    std::string line;
    for (int number = 1; number <= kStateLine && std::getline(file, line); ++number) {
    }
    // A crash leaves such a file behind, too: then the login fails, and we look again.
    if (file && line.starts_with("ready")) {
      const auto answered = co_await log_in(deadline);
      if (answered) co_return co_await ensure_replication_role(deadline);
      if (answered.error().is(errors::data_keys_lost)) co_return answered;
    }
    if (std::chrono::steady_clock::now() >= deadline) co_return fail(intra365::errors::deadline);
    co_await sleep_for(kReadyPoll);
  }
}

/// At every start, because clusters of earlier versions have no such role.
Task<> PostgresCluster::ensure_replication_role(SteadyTime deadline) {
  postgres::PoolOptions options;
  options.dsn = admin_dsn();
  options.max_connections = 1;
  const auto executor = co_await asio::this_coro::executor;
  postgres::Pool pool(executor, std::move(options));
  const auto exists = fmt::format("select from pg_roles where rolname = '{}'", postgres_replication);
  const auto sql = fmt::format(
      "do $$ begin if not exists ({}) then create role {} login replication noinherit nobypassrls; end if; "
      "end $$;"
      "alter role {} password '{}'; grant connect on database {} to {};",
      exists, postgres_replication, postgres_replication,
      scram_verifier(replication_password_, random_bytes(16)), postgres_database, postgres_replication);
  auto made = co_await pool.execute(sql, deadline);
  pool.close();
  co_return made;
}

Task<> PostgresCluster::log_in(SteadyTime deadline) {
  postgres::PoolOptions options;
  options.dsn = service_dsn();
  options.max_connections = 1;
  const auto executor = co_await asio::this_coro::executor;
  postgres::Pool pool(executor, std::move(options));
  const auto answered = co_await pool.ping(deadline);
  pool.close();
  if (!answered && answered.error().detail.find("password authentication failed") != std::string::npos) {
    co_return fail(errors::data_keys_lost,
                   "PostgreSQL does not take the password in " + paths_.keys().string() +
                       ": these keys belong to other data. Restore both from one backup.");
  }
  co_return answered;
}

}  // namespace intra365::embedded
