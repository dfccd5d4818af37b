// The policies a tenant begins with: policies/*.yaml, as they stand in the tree.
#pragma once
#include <vector>

#include "contract/operations/policy.hpp"

namespace intra365::services::policy {

/// What the conversation of two Mates needs, and nothing more. Read from the files this program was built
/// with; a test holds them to their own cases.
std::vector<intra365::policy::Policy> default_policies();

}  // namespace intra365::services::policy
