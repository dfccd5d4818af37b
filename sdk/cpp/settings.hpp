// How a Mate's program learns where the platform is and who it is: from the environment, with secrets in
// files, never in arguments.
#pragma once
#include <functional>
#include <string_view>

#include "sdk/cpp/client.hpp"

namespace intra365::sdk {

namespace errors {
inline constexpr ErrorCode no_settings{
    ErrorKind::invalid, "sdk.no_settings",
    "Set INTRA365_NATS_URL and INTRA365_API_KEY_FILE (or INTRA365_API_KEY)."};
}

inline constexpr std::string_view settings_help =
    "environment:\n"
    "  INTRA365_NATS_URL       where NATS is, e.g. nats://127.0.0.1:4222\n"
    "  INTRA365_API_KEY_FILE   file with the API key (mode 0600); or INTRA365_API_KEY\n"
    "  INTRA365_CA_FILE        PEM of the platform's CA, for tls:// URLs\n";

Result<ClientOptions> settings_from_environment(std::string_view name);

/// Runs a Mate's program to its end: reads the settings, runs `body` on one thread, prints a failure as one
/// line with its code. Returns the exit code: 0 done, 1 failed.
int run_program(std::string_view name, std::function<Task<>(asio::io_context&, ClientOptions)> body);

}  // namespace intra365::sdk
