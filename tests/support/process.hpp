// What the server fixtures stand on: temporary directories, ports that nobody else takes, and child
// processes that cannot outlive the test. Throws std::runtime_error, because a fixture that cannot start is
// the end of its test.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace intra365::testing {

/// Longest wait for a server to start or stop, generous because sanitizer builds share busy machines.
inline constexpr std::chrono::seconds kServerTimeout{60};

/// A fresh directory below TMPDIR (else /tmp), removed with everything in it by the destructor.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A TCP port of 127.0.0.1 that is ours while this object lives: a lock file keeps other tests away, and it
/// lies below the kernel's ephemeral range, so no outgoing connection takes it while its server is down.
class Port {
 public:
  Port();
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  std::uint16_t number() const { return number_; }
  std::string text() const { return std::to_string(number_); }

 private:
  std::uint16_t number_ = 0;
  int lock_ = -1;
};

/// Whom a child runs as.
struct UnixUser {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// A running child process in a process group of its own (Ctrl-C reaches the test first). The kernel kills it
/// when the thread that made it ends, whatever way; so make it on a thread that lives as long as the test.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> arguments;              ///< the program's path first
    std::filesystem::path output;                    ///< where stdout and stderr are appended
    std::map<std::string, std::string> environment;  ///< in addition to our own
    std::optional<UnixUser> user;                    ///< ours when absent
  };

  /// Starts it; throws when the program cannot be executed.
  explicit ChildProcess(const Options& options);
  /// Kills it and what it started.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  /// Sends a signal to the process and to its direct children, which PostgreSQL keeps in groups of their own.
  void signal_family(int signal);
  /// Sends a signal to the process alone.
  void signal(int signal);
  /// Stops it (SIGSTOP) and returns when no thread of it runs any more. `signal(SIGCONT)` lets it go on.
  void pause();
  /// The same with its direct children.
  void pause_family();
  /// Waits until the process has ended; false when it has not within `limit`.
  bool wait(std::chrono::milliseconds limit = kServerTimeout);
  /// SIGKILL to the process and its direct children, and waits until all of them are gone.
  void kill();
  /// Exit status as a shell shows it (128 + signal); only after the end.
  int exit_status() const { return exit_status_; }

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_status_ = -1;
};

/// The contents of a small file; empty when it does not exist.
std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& text);
/// The last lines of a program's output, for error messages.
std::string last_lines(const std::filesystem::path& path, std::size_t limit_bytes = 4000);
/// True when something accepts TCP connections on 127.0.0.1:`port`.
bool accepts_connections(std::uint16_t port);

}  // namespace intra365::testing
