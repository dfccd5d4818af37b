// What a change of policies would change: the same questions, asked before and after.
#pragma once
#include "policy/suite.hpp"

namespace intra365::policy {

/// A decision of the past, or a probe an author wrote. `decision` is what was answered, where that is known.
struct RecordedDecision : Probe {
  std::optional<Decision> decision;
};
BOOST_DESCRIBE_STRUCT(RecordedDecision, (Probe), (decision))

struct Change {
  std::string name;  ///< of the probe, or its number
  Decision before = Decision::deny, after = Decision::deny;
  std::vector<Reason> because_before, because_after;
};
BOOST_DESCRIBE_STRUCT(Change, (), (name, before, after, because_before, because_after))

struct DiffReport {
  std::vector<Change> changes;  ///< decisions that turn around
  std::size_t asked = 0, other_reasons = 0;
  std::size_t not_reproduced = 0;  ///< recorded decisions that the policies before do not give today
};
BOOST_DESCRIBE_STRUCT(DiffReport, (), (changes, asked, other_reasons, not_reproduced))

Result<DiffReport> diff(const Snapshot& before, const Snapshot& after,
                        const std::vector<RecordedDecision>& recorded);
/// A list of recorded decisions, or the cases of a suite, in YAML or JSON.
Result<std::vector<RecordedDecision>> read_recorded(std::string_view yaml);

}  // namespace intra365::policy
