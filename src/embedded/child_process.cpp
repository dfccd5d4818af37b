#include "embedded/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "embedded/file.hpp"

namespace intra365::embedded {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// What the child needs between fork and exec, made before the fork: there, memory may not be allocated.
struct Launch {
  char* const* arguments;
  char* const* environment;
  int input, output, errors;
  std::optional<UnixUser> user;
  int death_signal;
  pid_t parent;
};

/// Only calls that are safe in a copy of a threaded process. Returns only on failure, with errno set.
void execute(const Launch& launch) {
  ::setpgid(0, 0);
  if (::chdir("/") != 0) return;
  if (launch.user && !become(*launch.user)) return;
  // After the change of user, which clears it. A parent that died before is noticed by its changed pid.
  if (::prctl(PR_SET_PDEATHSIG, launch.death_signal) != 0) return;
  if (::getppid() != launch.parent) ::_exit(1);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(077);
  if (::dup2(launch.input, 0) < 0 || ::dup2(launch.output, 1) < 0 || ::dup2(launch.errors, 2) < 0) return;
  // Whatever a library of ours opened without close-on-exec is none of the child's business.
  ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  ::execve(launch.arguments[0], launch.arguments, launch.environment);
}

/// Starts the program; -1 with errno set when it cannot be executed.
pid_t launch(const Launch& launch) {
  std::array<int, 2> failure;  // carries errno of a failed exec; closes by itself when exec succeeds
  if (::pipe2(failure.data(), O_CLOEXEC) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    execute(launch);
    const int reason = errno;
    [[maybe_unused]] const auto written = ::write(failure[1], &reason, sizeof reason);
    ::_exit(127);
  }
  const int fork_error = errno;
  ::close(failure[1]);
  int reason = fork_error;
  const bool failed = child < 0 || ::read(failure[0], &reason, sizeof reason) == sizeof reason;
  ::close(failure[0]);
  if (!failed) return child;
  if (child > 0) ::waitpid(child, nullptr, 0);
  errno = reason;
  return -1;
}

Failure cannot_start(const std::string& name, int reason) {
  return fail(errors::server_failed, name + " cannot be started: " + std::strerror(reason) + ".");
}

int open_process(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

}  // namespace

std::string ExitStatus::text() const {
  return signal != 0 ? "signal " + std::to_string(signal) : "exit code " + std::to_string(code);
}

Result<ChildProcess> ChildProcess::spawn(const asio::any_io_executor& executor, const ProcessSpec& spec) {
  auto arguments = spec.arguments;
  auto environment = spec.environment;
  const auto argument_pointers = pointers(arguments);
  const auto environment_pointers = pointers(environment);
  const auto input_file = spec.input_file.empty() ? fs::path("/dev/null") : spec.input_file;
  const int input = ::open(input_file.c_str(), O_RDONLY | O_CLOEXEC);
  const int output =
      ::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (input < 0 || output < 0) {
    const auto error = file_error(errno, input < 0 ? input_file : spec.log_file);
    if (input >= 0) ::close(input);
    return fail(error);
  }
  const pid_t pid = launch({argument_pointers.data(), environment_pointers.data(), input, output, output,
                            spec.user, spec.death_signal, ::getpid()});
  const int reason = errno;
  ::close(input);
  ::close(output);
  if (pid < 0) return cannot_start(spec.name, reason);
  const int handle = open_process(pid);
  if (handle < 0) {
    const int open_error = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return cannot_start(spec.name, open_error);
  }
  return ChildProcess(pid, spec.death_signal, asio::posix::stream_descriptor(executor, handle));
}

ChildProcess::~ChildProcess() {
  if (!handle_.is_open() || reap()) return;
  for (const int number : {death_signal_, SIGKILL}) {
    signal(number);
    pollfd waited{handle_.native_handle(), POLLIN, 0};
    if (::poll(&waited, 1, 2000) == 1 && reap()) return;
  }
}

bool ChildProcess::reap() {
  if (ended_) return true;
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0) return false;
  ended_.emplace();
  if (reaped == pid_ && WIFSIGNALED(status)) ended_->signal = WTERMSIG(status);
  if (reaped == pid_ && WIFEXITED(status)) ended_->code = WEXITSTATUS(status);
  if (reaped < 0) ended_->code = 127;  // somebody else took the status: all we know is that it is gone
  return true;
}

Task<ExitStatus> ChildProcess::wait() {
  while (!reap()) {
    boost::system::error_code error;
    co_await handle_.async_wait(asio::posix::descriptor_base::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return fail(intra365::errors::cancelled);
  }
  co_return *ended_;
}

Task<ExitStatus> ChildProcess::wait_until(SteadyTime deadline) {
  auto result = co_await with_deadline(deadline, wait());
  if (result || !result.error().is(intra365::errors::deadline)) co_return result;
  signal(SIGKILL);
  const auto killed = co_await wait();
  if (!killed) co_return fail(killed.error());
  co_return result;
}

void ChildProcess::signal(int number) {
  // Who is killed cannot tell its own children: they are in its group, and go with it.
  if (!reap()) ::kill(number == SIGKILL ? -pid_ : pid_, number);
}

LastWords::LastWords(const ProcessSpec& spec)
    : log_(spec.log_file),
      own_log_(spec.own_log_file),
      log_from_(size_of(log_)),
      own_log_from_(size_of(own_log_)) {}

std::string LastWords::text() const {
  auto text = last_lines(log_, log_from_);
  const auto own = last_lines(own_log_, own_log_from_);
  if (!text.empty() && !own.empty()) text += '\n';
  text += own;
  return text.empty() ? "it said nothing" : text;
}

Task<> run_to_end(ProcessSpec spec, SteadyTime deadline) {
  const auto executor = co_await asio::this_coro::executor;
  const LastWords last_words(spec);
  CO_TRY(auto process, ChildProcess::spawn(executor, spec));
  const auto status = co_await process.wait_until(deadline);
  if (status && status->success()) co_return Result<void>{};
  const auto how = status ? status->text() : std::string("no end in time");
  co_return fail(errors::server_failed, spec.name + " failed (" + how + "): " + last_words.text());
}

std::optional<std::string> output_of(const std::vector<std::string>& program) {
  constexpr std::size_t kMaxOutputBytes = 4096;
  auto arguments = program;
  std::vector<std::string> environment{"PATH=/usr/bin:/bin", "LC_ALL=C"};
  const auto argument_pointers = pointers(arguments);
  const auto environment_pointers = pointers(environment);
  std::array<int, 2> output;
  if (::pipe2(output.data(), O_CLOEXEC) != 0) return std::nullopt;
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const pid_t pid = launch({argument_pointers.data(), environment_pointers.data(), nothing, output[1],
                            nothing, std::nullopt, SIGKILL, ::getpid()});
  ::close(nothing);
  ::close(output[1]);
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (pid > 0 && text.size() < kMaxOutputBytes) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waited{output[0], POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waited, 1, static_cast<int>(left.count())) != 1) break;
    std::array<char, 512> part;
    const auto size = ::read(output[0], part.data(), part.size());
    if (size <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  ::close(output[0]);
  if (pid < 0) return std::nullopt;
  if (std::chrono::steady_clock::now() >= deadline) ::kill(-pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
  return text;
}

}  // namespace intra365::embedded
