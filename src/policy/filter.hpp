// Policies as an SQL condition: which rows of a table of resources would be allowed. What is known is
// evaluated now; what a column holds is left to the database; what nobody knows lets nothing through.
#pragma once
#include "contract/operations/decisions.hpp"
#include "policy/snapshot.hpp"

namespace intra365::policy {

/// For rows that stand for `<resource_type>:<column of resource.id>`. The condition is never null for any
/// row, and where it says yes, `Snapshot::decide` allows. Values stand in `parameters`, never in the text;
/// columns are quoted.
Result<FilterReply> make_filter(const Snapshot& snapshot, const FilterRequest& request);

}  // namespace intra365::policy
