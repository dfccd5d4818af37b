// `intra365 up`: the whole platform on one machine. `intra365 serve`: some services against servers that
// somebody else runs.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace intra365::app {

struct UpOptions {
  std::filesystem::path data_dir;  ///< empty: the default
  std::string gateway = "127.0.0.1:8365";
  std::string nats = "127.0.0.1:4222";
  bool ephemeral = false;  ///< temporary data, free ports
  bool demo = false;       ///< play the conversation once up
  bool once = false;       ///< stop again after that
  std::string log_file;    ///< empty: <data>/logs/intra365.log
};

struct ServeOptions {
  std::string config_file;
  std::vector<std::string> roles;
};

/// Each runs until SIGINT or SIGTERM and returns the exit code.
int up(const UpOptions& options);
int serve(const ServeOptions& options);
/// Applies what is missing of the schema to the database of a configuration file.
int migrate(const std::string& config_file);

/// `host:port`; fails with `config.invalid`.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
Result<HostPort> parse_host_port(const std::string& text);

/// Version of this program.
std::string version();

}  // namespace intra365::app
