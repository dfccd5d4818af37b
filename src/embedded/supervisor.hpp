// Keeps one server running: starts it, tells when it answers, starts it again when it dies, and takes it
// down in order.
#pragma once
#include <functional>
#include <memory>
#include <string_view>

#include "async/task_group.hpp"
#include "embedded/child_process.hpp"

namespace intra365::embedded {

enum class ServerState : std::uint8_t { down, up };

/// Owned by one thread, which must live as long as the server is wanted (see ChildProcess).
class Supervisor {
 public:
  struct Hooks {
    /// Returns once the server answers; asked again and again through `deadline`, then it fails.
    std::function<Task<>(SteadyTime deadline)> ready;
    /// Told at every change: `up` when it answers, `down` with the reason when it died.
    std::function<void(ServerState state, std::string_view reason)> on_state;
  };
  /// Between a death and the next start: the first pause, doubled up to the last.
  static constexpr std::chrono::milliseconds first_pause{100}, last_pause{5000};
  /// A log that is larger at a start is moved aside.
  static constexpr std::uintmax_t log_limit_bytes = 16u << 20;

  Supervisor(asio::any_io_executor executor, ProcessSpec spec, Hooks hooks);
  ~Supervisor();

  /// Starts the server and waits until it answers; watches it from then on. Fails with `server.failed` and
  /// the server's last words when it ends instead, or does not answer by `deadline`; nothing runs then.
  Task<> start(SteadyTime deadline);
  /// Asks it to end, kills it at `deadline`. Nothing is started again. Harmless when it never ran.
  Task<> stop(SteadyTime deadline);

  ServerState state() const { return state_; }
  /// 0 while there is no process.
  pid_t pid() const { return process_ ? process_->pid() : 0; }
  /// How often it was started again after it had died.
  std::uint64_t restarts() const { return restarts_; }
  const ProcessSpec& spec() const { return spec_; }

 private:
  Task<> launch(SteadyTime deadline);
  Task<> watch();
  asio::awaitable<void> pause(std::chrono::milliseconds duration);
  void set_state(ServerState state, std::string_view reason);

  asio::any_io_executor executor_;
  ProcessSpec spec_;
  Hooks hooks_;
  std::unique_ptr<ChildProcess> process_;
  ServerState state_ = ServerState::down;
  bool stopping_ = false;
  std::uint64_t restarts_ = 0;
  asio::steady_timer pause_;
  TaskGroup tasks_;
};

}  // namespace intra365::embedded
