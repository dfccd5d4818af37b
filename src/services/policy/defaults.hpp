// The policies a tenant begins with: what the conversation of two Mates needs, and nothing more.
#pragma once
#include <vector>

#include "contract/operations/policy.hpp"

namespace intra365::services::policy {

/// One policy: Mates and people of the tenant may call a Mate where the person whose data it uses has
/// consented. A call without consent, and everything else, is denied until the operator allows it.
std::vector<intra365::policy::Policy> default_policies();

}  // namespace intra365::services::policy
