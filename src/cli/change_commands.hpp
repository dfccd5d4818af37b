// `intra365 events …`: what changes, row by row.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

void add_change_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
