// `intra365 privacy`, and what proves a consent: `intra365 consent receipt` and `consent evidence`.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// After `add_consent_commands`. `exit_code` is set when a command of these has run.
void add_privacy_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
