// `intra365 consent …`, about what becomes of consents once they stand.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// Adds the verbs to `consent`, which is below `app`.
void add_consent_upkeep_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
