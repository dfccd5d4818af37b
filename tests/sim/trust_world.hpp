// A small world in one thread under virtual time: a truth that commits, and may go back to an earlier state
// of itself, services that may crash, a network that drops, delays, reorders and partitions, and enforcement
// points that restart and whose clocks are set. What decides in it is the real code: the rules of a consent's
// life and of handing it on, the lease, a Mate's copy with its index, and the copies from which a consent
// service verifies.
//
// What is not in it: NATS and PostgreSQL themselves (tests/e2e has them), and coroutines; timers and messages
// are events.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "guard/lease.hpp"

namespace intra365::sim {

/// What to break on purpose, to see that the world notices.
enum class Break {
  nothing,
  lease,       ///< an enforcement point trusts its copy for an hour
  renewal,     ///< a lease counts from the answer, not from the question
  copies,      ///< a consent service trusts its copies for an hour
  delegation,  ///< a change of a consent is not passed down to what was handed on from it
  household,   ///< who leaves a household is not passed on to those who hold its consents
  clock,       ///< the truth does not say what time it is, so a clock that is behind is believed
  use,         ///< a running use takes what its copy lacks for a no, whether or not that is all there
  line,        ///< epochs count on as if nothing had happened when the truth goes back
};
std::optional<Break> read_break(const std::string& name);

struct Options {
  std::uint64_t seed = 1;
  Break broken = Break::nothing;
};

struct Outcome {
  std::uint64_t events = 0, decisions = 0, allowed = 0, changes = 0, delegated = 0, moves = 0, inherited = 0,
                uses = 0, parts = 0, ended = 0, rewinds = 0, conflicts = 0, lost = 0;
  /// Empty, or the first rule that did not hold, with the virtual time and what was seen.
  std::string violation;
};

/// One run from a seed: 20 s of virtual time with faults, then 4 s without. The same seed gives the same run.
///
/// What must hold: whenever an enforcement point or a service allows, the truth has allowed at some moment of
/// the second before (guard::kLeaseDuration) - so after a revocation's bound, or an expiry by the truth's
/// clock, not one allow. A use that goes on is held to the consent it began under, and is not ended while
/// that has allowed it all the time. And once the faults are over, every enforcement point decides as the
/// truth does.
Outcome run(const Options& options);

}  // namespace intra365::sim
