// `intra365 consent …`, about households, whose people inherit consents.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// Adds `household` to `consent`, which is below `app`.
void add_household_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
