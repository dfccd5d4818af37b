#include "tests/support/process.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets the linkage for C++
}

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace intra365::testing {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

fs::path temp_root() {
  const char* configured = std::getenv("TMPDIR");
  return configured != nullptr && *configured != '\0' ? fs::path(configured) : fs::path("/tmp");
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool can_bind(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto address = loopback(port);
  const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(socket);
  return bound;
}

std::vector<pid_t> children_of(pid_t pid) {
  const auto number = std::to_string(pid);
  std::istringstream text(read_file("/proc/" + number + "/task/" + number + "/children"));
  std::vector<pid_t> children;
  for (pid_t child = 0; text >> child;) children.push_back(child);
  return children;
}

/// True while a process lives and is not stopped.
bool is_running(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(')');  // the name may itself hold parentheses and blanks
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return false;
  return std::string_view("TZX").find(stat[name_end + 2]) == std::string_view::npos;
}

/// Everything between fork and exec: only calls that are safe in a copy of a threaded process. Returns only
/// on failure, with errno set.
void become(char* const* arguments, char* const* environment, int output, pid_t parent,
            const std::optional<UnixUser>& user) {
  ::setpgid(0, 0);
  if (user && (::setgroups(0, nullptr) != 0 || ::setresgid(user->gid, user->gid, user->gid) != 0 ||
               ::setresuid(user->uid, user->uid, user->uid) != 0)) {
    return;
  }
  // After the change of user, which clears it; a parent that died before is seen by its changed pid.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int empty = ::open("/dev/null", O_RDONLY);
  if (empty < 0 || ::dup2(empty, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) return;
  ::execve(arguments[0], arguments, environment);
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

TempDir::TempDir() {
  auto pattern = (temp_root() / "intra365-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw_errno("mkdtemp");
  path_ = pattern;
  // A server that runs as another user must be able to reach its own directory below this one.
  if (::geteuid() == 0) ::chmod(path_.c_str(), 0711);
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Port::Port() {
  const auto locks = temp_root() / ("intra365-test-ports-" + std::to_string(::geteuid()));
  fs::create_directories(locks);
  std::random_device random;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const auto candidate = static_cast<std::uint16_t>(10000 + random() % 20000);
    lock_ = ::open((locks / std::to_string(candidate)).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_ < 0) throw_errno("lock of a port");
    if (::flock(lock_, LOCK_EX | LOCK_NB) == 0 && can_bind(candidate)) {
      number_ = candidate;
      return;
    }
    ::close(lock_);
  }
  throw std::runtime_error("no free port between 10000 and 30000");
}

Port::~Port() {
  ::close(lock_);
}

ChildProcess::ChildProcess(const Options& options) {
  auto arguments = options.arguments;
  auto environment = environment_with(options.environment);
  const auto argument_pointers = pointers(arguments);
  const auto environment_pointers = pointers(environment);
  const int output = ::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) throw_errno("open " + options.output.string());
  int failure[2];  // carries errno of a failed exec; closes by itself when exec succeeds
  if (::pipe2(failure, O_CLOEXEC) != 0) throw_errno("pipe");

  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    become(argument_pointers.data(), environment_pointers.data(), output, parent, options.user);
    const int reason = errno;
    [[maybe_unused]] const auto written = ::write(failure[1], &reason, sizeof reason);
    ::_exit(127);
  }
  const int fork_error = errno;
  ::close(output);
  ::close(failure[1]);
  int reason = 0;
  const bool failed = pid_ < 0 || ::read(failure[0], &reason, sizeof reason) == sizeof reason;
  ::close(failure[0]);
  if (!failed) return;
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  errno = pid_ < 0 ? fork_error : reason;
  throw_errno("cannot start " + options.arguments.at(0));
}

ChildProcess::~ChildProcess() {
  kill();
}

bool ChildProcess::running() {
  return !wait(std::chrono::milliseconds(0));
}

void ChildProcess::signal(int signal) {
  if (!ended_) ::kill(pid_, signal);
}

void ChildProcess::signal_family(int signal) {
  if (ended_) return;
  const auto children = children_of(pid_);
  ::kill(pid_, signal);
  for (const auto child : children) ::kill(child, signal);
}

void ChildProcess::pause() {
  if (ended_) return;
  ::kill(pid_, SIGSTOP);
  // The signal is under way when kill() returns; threads go on until it has reached each of them.
  siginfo_t stopped{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &stopped, WSTOPPED | WEXITED | WNOWAIT);
}

void ChildProcess::pause_family() {
  if (ended_) return;
  const auto children = children_of(pid_);
  pause();
  for (const auto child : children) {
    ::kill(child, SIGSTOP);
    while (is_running(child)) ::usleep(1000);
  }
}

bool ChildProcess::wait(std::chrono::milliseconds limit) {
  if (ended_) return true;
  const int handle = ::pidfd_open(pid_, 0);
  pollfd waited{handle, POLLIN, 0};
  ::poll(&waited, 1, static_cast<int>(limit.count()));
  ::close(handle);
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  ended_ = true;
  exit_status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

void ChildProcess::kill() {
  if (ended_) return;
  // Handles, taken while the parent still lives, name the children even after they are nobody's.
  std::vector<pollfd> handles;
  for (const auto child : children_of(pid_)) {
    if (const int handle = ::pidfd_open(child, 0); handle >= 0) handles.push_back({handle, POLLIN, 0});
  }
  ::kill(pid_, SIGKILL);
  for (const auto& child : handles) ::pidfd_send_signal(child.fd, SIGKILL, nullptr, 0);
  wait();
  for (auto& child : handles) {
    ::poll(&child, 1, 10'000);
    ::close(child.fd);
  }
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

std::string last_lines(const fs::path& path, std::size_t limit_bytes) {
  auto text = read_file(path);
  if (text.size() > limit_bytes) text.erase(0, text.size() - limit_bytes);
  return text;
}

bool accepts_connections(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = loopback(port);
  const bool connected = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(socket);
  return connected;
}

}  // namespace intra365::testing
