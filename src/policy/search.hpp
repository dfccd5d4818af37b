// What a search may find: the ids that a tenant knows and those that its policies name. Whether the answer is
// yes is for `Snapshot::decide`; a candidate is only worth asking about.
#pragma once
#include <set>
#include <string>

#include "policy/snapshot.hpp"

namespace intra365::policy {

/// Texts `type:id…` that patterns of this kind may fit, sorted, each once. `known` are the ids of that type
/// which exist; a pattern such as `user:*/health-records` makes one candidate of each of them.
std::set<std::string> candidates(const Snapshot& snapshot, bool subjects, std::string_view type,
                                 const std::vector<std::string>& known);

/// Every action that a policy names.
std::set<std::string> actions_of(const Snapshot& snapshot);

}  // namespace intra365::policy
