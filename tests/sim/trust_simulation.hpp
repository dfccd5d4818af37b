// The trust core in virtual time: people who grant and revoke, services in front of one truth, enforcement
// points with copies, and a network and machines that fail as a seed says. The leases, epochs, index and
// decisions are the real ones; only clocks, wires and the truth's storage are made up.
//
// What must hold, whatever fails: once a revocation is acknowledged and its bound has passed, nothing is
// allowed by that consent, ever; and nothing is allowed that nobody has granted. What must hold when nothing
// fails any more: what was granted is allowed again.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace intra365::sim {

/// A fault built in on purpose, to see that the simulation finds it.
enum class Break {
  nothing,
  ignore_lease,       ///< decide from the copy whether the lease lives or not
  count_from_answer,  ///< the lease counts from the answer's arrival
  renew_over_gaps,    ///< a gap that was noticed does not close the copy, and a sync does not fetch changes
};
std::optional<Break> break_of(std::string_view name);

struct Outcome {
  std::optional<std::string> violation;  ///< what was seen, at which virtual time
  std::uint64_t events = 0, allowed = 0, denied = 0, revocations = 0, lost = 0, crashes = 0;
  std::uint64_t last_allow_us = 0;  ///< the latest allow behind an acknowledged revocation
};

/// One run; the same seed gives the same run.
Outcome simulate(std::uint64_t seed, Break broken = Break::nothing);

}  // namespace intra365::sim
