// A PostgreSQL cluster of our own: where it lies, how it is made, and how it is run.
//
// PostgreSQL refuses root. Started as root, the cluster belongs to an unprivileged user who must be able to
// reach its data and its programs; where the data directory or the programs lie behind a closed directory
// (such as /root), the cluster goes to /var/lib/intra365/clusters with a link in its place, and the programs
// are copied once to /var/lib/intra365/runtime.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "embedded/child_process.hpp"
#include "embedded/keys.hpp"
#include "embedded/locate.hpp"
#include "embedded/paths.hpp"

namespace intra365::embedded {

/// Names inside the cluster.
inline constexpr const char* postgres_database = "intra365";
inline constexpr const char* postgres_admin = "intra365_admin";  ///< superuser, for people on this machine
inline constexpr const char* postgres_owner = "intra365_owner";  ///< owns the database; migrations
inline constexpr const char* postgres_replication = "intra365_replication";  ///< reads the change log
inline constexpr const char* postgres_service =
    "intra365_service";  ///< services; bound by row-level security

/// Owned by one thread.
class PostgresCluster {
 public:
  /// Whether a new cluster must survive a power cut from its first moment; not one that is removed anyway.
  enum class Lasting : bool { no, yes };

  PostgresCluster(const Paths& paths, Runtime runtime, const Keys& keys, Lasting lasting = Lasting::yes);
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  /// Chooses user, place, programs and socket folder; makes what is missing. Fast, except that copying the
  /// programs takes a second, once.
  Result<void> prepare();
  /// Makes the cluster with its roles and database unless it is there. It appears by one rename, complete.
  Task<> initialise(SteadyTime deadline);
  /// Writes the configuration for TCP on 127.0.0.1:`port` and a unix socket.
  Result<void> configure(std::uint16_t port);

  /// The server; `settings` (NAME=value) hold for this run and win over its files.
  ProcessSpec process(const std::vector<std::string>& settings = {}) const;
  /// Makes everything below `path`, which was put there from a backup, the server's own.
  Result<void> give_tree(const std::filesystem::path& path) const;
  /// Returns once a query was answered; fails with `deadline`, or at once when the login is refused.
  Task<> ready(SteadyTime deadline);

  /// Connection URIs with their password. Services use the unix socket, people TCP.
  std::string owner_dsn() const;
  std::string service_dsn() const;
  std::string admin_dsn() const;
  std::string replication_dsn() const;

  bool is_new() const { return is_new_; }
  const std::filesystem::path& socket_directory() const { return sockets_; }
  /// Where the data really lies.
  std::filesystem::path data() const;

 private:
  Result<void> place();
  Result<void> choose_runtime();
  Result<void> choose_sockets();
  Task<> make(std::filesystem::path aside, SteadyTime deadline);
  Task<> log_in(SteadyTime deadline);
  Task<> ensure_replication_role(SteadyTime deadline);
  Result<void> give(const std::filesystem::path& path) const;
  ProcessSpec tool(const std::string& program, std::vector<std::string> arguments) const;
  std::string dsn(const std::string& host, const char* role, const std::string& password) const;

  Lasting lasting_;
  Paths paths_;
  Runtime runtime_;
  std::string admin_password_, owner_password_, service_password_, replication_password_;
  std::optional<UnixUser> user_;
  std::filesystem::path sockets_;
  bool sockets_are_temporary_ = false;
  bool is_new_ = false;
  std::uint16_t port_ = 0;
};

/// What PostgreSQL stores for a password (RFC 5803 text), so that the password itself never travels in SQL.
std::string scram_verifier(std::string_view password, std::string_view salt);

}  // namespace intra365::embedded
