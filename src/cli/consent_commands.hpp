// `intra365 consent …`: what a person does with their consents, and what a tenant's operator asks consent
// for.
#pragma once
#include "cli/target.hpp"

namespace CLI {
class App;
}

namespace intra365::cli {

/// Adds the verbs below `consent`. `target` must outlive `app`.
void add_consent_commands(CLI::App& app, Target& target, int& exit_code);

}  // namespace intra365::cli
