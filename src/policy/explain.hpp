// Why a decision is what it is, in as much detail as an administrator may see, and in as little as the person
// should. Who may see which is the caller's business.
#pragma once
#include "policy/snapshot.hpp"

namespace intra365::policy {

/// Explains what `snapshot` answers. Its time grows with the number of rules in scope; not for the hot path.
Explanation explain_decision(const Snapshot& snapshot, const Question& question);

}  // namespace intra365::policy
