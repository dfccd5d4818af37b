// One child process: started without anything of ours leaking into it, and dead when we are.
#pragma once
#include <sys/types.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "embedded/unix_user.hpp"

namespace intra365::embedded {

struct ProcessSpec {
  std::string name;  ///< for messages
  std::vector<std::string>
      arguments;  ///< the program's absolute path first; never secrets: all can read them
  std::vector<std::string> environment;  ///< NAME=value, all of it: nothing is inherited
  std::filesystem::path log_file;        ///< stdout and stderr are appended, mode 0600
  std::filesystem::path
      own_log_file;                  ///< where the program itself writes, to quote it in errors; may be empty
  std::filesystem::path input_file;  ///< stdin; empty: nothing to read
  std::optional<UnixUser> user;      ///< ours when absent
  int death_signal = SIGKILL;        ///< sent by the kernel when the thread that started it ends
  int stop_signal = SIGTERM;         ///< asks it to end in order
};

struct ExitStatus {
  int code = 0;    ///< exit code; only meaningful when signal is 0
  int signal = 0;  ///< what killed it
  bool success() const { return code == 0 && signal == 0; }
  std::string text() const;  ///< `exit code 1`, `signal 9`
};

/// Owned by one thread. Start it on a thread that lives as long as the child is wanted: the kernel's death
/// signal is bound to the thread, not to the program. The child leads a process group of its own, so that
/// Ctrl-C reaches us alone, and sits in `/`.
class ChildProcess {
 public:
  /// Fails with `server.failed` when the program cannot be executed.
  static Result<ChildProcess> spawn(const asio::any_io_executor& executor, const ProcessSpec& spec);
  ChildProcess(ChildProcess&&) noexcept = default;
  ChildProcess& operator=(ChildProcess&&) = delete;
  /// Sends the death signal, and SIGKILL where that does not help within two seconds.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  /// Ends when the process has. One waiter at a time; may be cancelled and called again.
  Task<ExitStatus> wait();
  /// Waits, and after `deadline` kills it and fails with `deadline`.
  Task<ExitStatus> wait_until(SteadyTime deadline);
  void signal(int number);

 private:
  ChildProcess(pid_t pid, int death_signal, asio::posix::stream_descriptor handle)
      : pid_(pid), death_signal_(death_signal), handle_(std::move(handle)) {}
  bool reap();

  pid_t pid_;
  int death_signal_;
  asio::posix::stream_descriptor handle_;  ///< pidfd; readable once the process has ended
  std::optional<ExitStatus> ended_;
};

/// The end of what a program has written to its logs since it was started.
class LastWords {
 public:
  explicit LastWords(const ProcessSpec& spec);  ///< make it before the start
  std::string text() const;

 private:
  std::filesystem::path log_, own_log_;
  std::uintmax_t log_from_, own_log_from_;
};

/// Runs a program to its end, which must come by `deadline`. Fails with `server.failed` and the program's
/// last words unless it exits with 0.
Task<> run_to_end(ProcessSpec spec, SteadyTime deadline);

/// What a program prints to stdout, at most 4 KiB, within five seconds; blocks. Nullopt when it cannot be
/// executed or fails. For `--version`.
std::optional<std::string> output_of(const std::vector<std::string>& arguments);

}  // namespace intra365::embedded
