// The commands for people: `intra365 <noun> <verb>`. Each is a client of the platform like any other.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// Adds user, mate, tenant, consent, policy, audit, token and call. `target` must outlive `app`; `exit_code`
/// is set by the command that ran.
void add_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
