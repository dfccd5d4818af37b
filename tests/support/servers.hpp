// Real servers for tests: a nats-server and a PostgreSQL of the test's own, on free ports of 127.0.0.1 with
// data in temporary directories. Nothing outlives the test. Constructors and methods throw
// std::runtime_error with the server's last output when it does not start.
#pragma once
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/certificates.hpp"
#include "tests/support/process.hpp"

namespace intra365::testing {

/// A nats-server. Made and destroyed on one thread, which must live as long as the server is wanted.
///
///     NatsServer server("jetstream {}\n");
///     connect(server.url());
class NatsServer {
 public:
  /// Starts it and waits until it accepts connections. `config_text` stands in the configuration file as it
  /// is, behind the address to listen on. JetStream keeps its data in store_dir() unless the text names
  /// another; the text may use the variable $STORE_DIR.
  explicit NatsServer(std::string_view config_text = {});
  ~NatsServer();

  std::string url() const { return "nats://127.0.0.1:" + port_.text(); }
  std::uint16_t port() const { return port_.number(); }
  pid_t pid() const { return process_->pid(); }
  /// Temporary directory of this server: its configuration, its output, and place for a test's own files.
  const std::filesystem::path& dir() const { return dir_.path(); }
  std::filesystem::path store_dir() const { return dir() / "store"; }
  /// What it has printed so far.
  std::string output() const { return read_file(dir() / "output.log"); }

  /// SIGKILL: a crash. Port and data stay ours for restart().
  void kill() { process_->kill(); }
  /// Stops it in order when it runs, then starts it with the same port and directories.
  void restart();
  /// The same with another configuration text.
  void restart(std::string_view config_text);
  /// SIGSTOP: connections stay open and nothing answers, as behind a broken network.
  void pause() { process_->pause(); }
  void resume() { process_->signal(SIGCONT); }
  /// Makes it read a new configuration text without a restart (SIGHUP). It takes a moment: wait for the
  /// effect.
  void reload(std::string_view config_text);

 private:
  void write_config(std::string_view config_text);
  void start();

  TempDir dir_;
  Port port_;
  bool names_store_ = false;
  std::unique_ptr<ChildProcess> process_;
};

/// A PostgreSQL cluster with logical replication allowed and SCRAM logins. As root it runs as `nobody`,
/// because PostgreSQL refuses root. Thread rules as for NatsServer; shared() and create_database() keep tests
/// quick and apart.
class PostgresServer {
 public:
  /// `off` makes commits cheap. A killed server loses nothing by it; only a crash of the whole machine would.
  enum class Fsync { on, off };

  /// Starts it and waits until it answers. The first in a process runs initdb, later ones copy its result.
  explicit PostgresServer(Fsync fsync = Fsync::on);
  /// Another server that follows `primary` as a hot standby, by streaming. The primary is restarted once, for
  /// a copy of its data. `keeps_slots`: it synchronises logical slots, so that it can take over.
  struct StandbyOf {
    PostgresServer& primary;
    bool keeps_slots = false;
  };
  explicit PostgresServer(StandbyOf of);
  ~PostgresServer();

  /// One server for the whole test program, started at first use (on the main thread) and never restarted.
  static PostgresServer& shared();

  /// A connection URI for the superuser `postgres`.
  std::string dsn(std::string_view database = "postgres") const;
  /// Makes an empty database with a name that is fresh in this server, and returns the name.
  std::string create_database();
  /// Runs statements as superuser, on a connection of their own; the first column of the last one's rows.
  /// Throws with the server's message when one fails.
  std::vector<std::string> execute(std::string_view database, const std::string& sql);

  /// Speaks TLS from now on, with this certificate, and takes no connection without.
  void encrypt(const TestCertificates& certificates);

  std::uint16_t port() const { return port_.number(); }
  pid_t pid() const { return process_->pid(); }
  const std::filesystem::path& dir() const { return dir_.path(); }
  std::string output() const { return read_file(dir() / "output.log"); }

  /// SIGKILL to the server and all its backends: a crash.
  void kill() { process_->kill(); }
  /// Stops it in order (open transactions are rolled back) when it runs, then starts it again.
  void restart();
  /// A standby hears nothing of its primary any more.
  void cut_off();
  /// A standby becomes a primary, on a timeline of its own; returns when it takes writes.
  void promote();
  /// SIGSTOP to the server and all its backends.
  void pause() { process_->pause_family(); }
  void resume() { process_->signal_family(SIGCONT); }

 private:
  void start();

  TempDir dir_;
  Port port_;
  Fsync fsync_;
  std::string follows_;  ///< of a standby: how to reach its primary
  bool keeps_slots_ = false;
  int databases_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace intra365::testing
