// What a person wants to know when a platform does not start: each thing that can be wrong, looked at, with
// what mends it. Changes nothing.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace intra365::embedded {

struct Check {
  std::string name;  ///< `runtime`, `data_directory`, `disk`, `keys`, `certificates`, `postgres_user`,
                     ///< `sockets`, `servers`
  bool ok = false;
  std::string message;  ///< what was found; no secrets
  std::string mend;     ///< what to do; empty when ok
};

/// Looks at the programs, the data directory (empty: the default) and the servers that run in it. A directory
/// that is not there yet is fine. Blocks for some 50 ms, at most a few seconds when a server hangs.
std::vector<Check> doctor(const std::filesystem::path& data_directory, Timestamp now);

}  // namespace intra365::embedded
