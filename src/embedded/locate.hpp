// Where the servers' programs are: named by the environment, fetched beside the program, kept by the system,
// or on PATH, in this order.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "embedded/errors.hpp"

namespace intra365::embedded {

/// What an embedded platform runs.
struct Runtime {
  std::filesystem::path nats_server;    ///< the program, absolute
  std::string nats_version;             ///< such as 2.15.1
  std::filesystem::path postgres_home;  ///< absolute; has bin/postgres and bin/initdb
  std::string postgres_version;         ///< such as 18.4
};

/// Where a root-owned installation keeps what other users must be able to reach.
inline constexpr const char* system_directory = "/var/lib/intra365";

/// Finds both, asking each candidate for its version. A name given by INTRA365_NATS_SERVER or
/// INTRA365_POSTGRES_HOME must serve, there is no fall-back behind it. Fails with `runtime.missing` or
/// `runtime.too_old`; the message says what was tried. Blocks for some 30 ms.
Result<Runtime> locate();

/// Folders in which a copy of everything may lie, in the order they are looked through: `bin/nats-server`,
/// `postgres/` and `swagger-ui/` inside.
std::vector<std::filesystem::path> runtime_directories();
/// The one of them that `intra365 setup` fills: the system's for root, else the user's.
std::filesystem::path own_runtime_directory();

/// The first dotted number in what `--version` prints; empty when there is none.
std::string version_in(std::string_view text);
/// Compares dotted numbers: 2.12 <= 2.12.0 <= 2.15.1.
bool version_at_least(std::string_view minimum, std::string_view version);

}  // namespace intra365::embedded
