// `intra365 cel`: tries expressions as policies and filters have them.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// `exit_code` is set when a command of these has run. None of them talks to a platform.
void add_cel_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
