#include "bench/c15t.hpp"

#include <poll.h>

#include <cstdlib>

#include "bench/process.hpp"

namespace intra365::bench {
namespace {

constexpr int kStartMs = 60'000;

/// The first line that a child prints, or nothing after a while.
std::string first_line(int pipe) {
  std::string line;
  pollfd wanted{pipe, POLLIN, 0};
  for (char c = 0; ::poll(&wanted, 1, kStartMs) == 1 && ::read(pipe, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

C15t::C15t(const std::string& postgres) {
  const std::string package = INTRA365_SOURCE_DIR "/bench/peers/c15t";
  const auto install =
      "cd '" + package + "' && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } >&2";
  if (std::system(install.c_str()) != 0) return;
  // The URL holds a password: it goes by the environment, never by a command line.
  const auto slash = postgres.rfind('/');
  ::setenv("C15T_SERVER", postgres.c_str(), 1);
  ::setenv("C15T_DATABASE", (postgres.substr(0, slash) + "/c15t").c_str(), 1);
  const bool made = std::system("psql \"$C15T_SERVER\" -qc 'create database c15t' >&2") == 0;
  int out[2], in[2];
  if (made && ::pipe(out) == 0 && ::pipe(in) == 0) {
    pid_ = fork_child([&] {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int end : {in[0], in[1], out[0], out[1]}) ::close(end);
      if (::chdir(package.c_str()) != 0) std::_Exit(1);
      ::execlp("node", "node", "server.js", nullptr);
    });
    ::close(in[0]);
    ::close(out[1]);
    port_ = static_cast<unsigned short>(std::atoi(first_line(out[0]).c_str()));
  }
  ::unsetenv("C15T_SERVER");
  ::unsetenv("C15T_DATABASE");
}

C15t::~C15t() {
  if (pid_ != 0) end_child(pid_);
}

}  // namespace intra365::bench
