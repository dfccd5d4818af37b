// `intra365 policy …`: the tools of policy authors, which need no platform, and the commands that change what
// is in force.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// Adds lint, test, diff, apply and list below `policy`. `target` must outlive `app`.
void add_policy_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
