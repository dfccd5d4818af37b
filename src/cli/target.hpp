// Which platform a command talks to, and as whom: the embedded one of a data directory unless told otherwise.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "contract/errors.hpp"
#include "sdk/cpp/client.hpp"

namespace intra365::cli {

namespace errors {
using namespace intra365::errors;
inline constexpr ErrorCode not_running{
    ErrorKind::unavailable, "cli.not_running",
    "No platform runs in this data directory; start it with 'intra365 up', or name another with --data."};
inline constexpr ErrorCode no_key{
    ErrorKind::unauthenticated, "cli.no_key",
    "There is no API key: run as the user who runs the platform, or set INTRA365_API_KEY_FILE."};
inline constexpr ErrorCode audit_broken{ErrorKind::conflict, "cli.audit_broken",
                                        "The audit trail is not what was recorded; see what was printed."};
}  // namespace errors

/// What the command line says, shared by every command.
struct Target {
  std::filesystem::path data_dir;
  bool json = false;  ///< machine-readable output
};

/// What a running platform wrote down for its clients.
struct Endpoints {
  std::string gateway, nats, ca;
  std::optional<std::string> postgres;  ///< with its password; the file is for its owner only
};
BOOST_DESCRIBE_STRUCT(Endpoints, (), (gateway, nats, ca, postgres))

Result<Endpoints> read_endpoints(const std::filesystem::path& data_dir);

/// Options for a client of the target: the key of INTRA365_API_KEY(_FILE), else the operator's.
Result<sdk::ClientOptions> client_options(const Target& target);

/// Connects, runs `body`, disconnects. Prints a failure as one line on stderr. Returns the exit code.
int with_client(const Target& target, std::function<Task<>(sdk::Client&)> body);

/// Prints an error as `code: detail`; returns exit code 1.
int report(const Error& error);

}  // namespace intra365::cli
