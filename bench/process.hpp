// What the whole-system benchmarks share: children that end with us, clients with a loop of their own,
// latencies.
#pragma once
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "nats/jetstream.hpp"

namespace intra365::bench {

/// Runs `body` in a forked child that ends with us.
template <class Body>
pid_t fork_child(Body body) {
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) std::_Exit(1);
  body();
  std::_Exit(0);
}

inline void end_child(pid_t pid, int signal = SIGKILL) {
  ::kill(pid, signal);
  ::waitpid(pid, nullptr, 0);
}

inline SteadyTime in(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6));
}

inline double seconds_since(SteadyTime begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One connection to a server without passwords, on a loop of its own. What fails ends the benchmark.
struct Client {
  explicit Client(const std::string& url)
      : connection(io.get_executor(), options(url)), jetstream(connection) {
    must(connection.connect(in(10)));
  }
  template <class T>
  Result<T> run(Task<T> task) {
    std::optional<Result<T>> outcome;
    asio::co_spawn(io, contain(std::move(task)),
                   [&](std::exception_ptr, Result<T> result) { outcome = std::move(result); });
    io.restart();
    while (!outcome) io.run_one();
    return *std::move(outcome);
  }
  template <class T>
  Result<T> must(Task<T> task) {
    auto outcome = run(std::move(task));
    if (!outcome) {
      std::fprintf(stderr, "benchmark: %s: %s\n", outcome.error().code.c_str(),
                   outcome.error().detail.c_str());
      std::_Exit(1);
    }
    return outcome;
  }

  asio::io_context io{1};
  nats::Connection connection;
  nats::JetStream jetstream;

 private:
  static nats::Options options(const std::string& url) {
    nats::Options options;
    options.urls = {url};
    return options;
  }
};

/// The value that `share` of them stay below; sorts them.
inline double percentile(std::vector<float>& latencies, double share) {
  if (latencies.empty()) return 0;
  std::ranges::sort(latencies);
  return latencies[static_cast<std::size_t>(static_cast<double>(latencies.size() - 1) * share)];
}

}  // namespace intra365::bench
