// One Mate's copy of its consents, and how pushes and answers of `consent.sync` keep it: the part of an
// enforcement point that the simulation runs as it is (tests/sim).
#pragma once
#include "guard/consent_index.hpp"
#include "guard/lease.hpp"

namespace intra365::guard {

/// INVARIANT: every change up to `mate_epoch` is in the copy, so what is older than that has nothing to add
/// (TrustSim.no_allow_after_the_bound, ConsentCopy.a_late_push_of_what_was_forgotten_changes_nothing).
/// Owned by one shard; not thread-safe.
class ConsentCopy {
 public:
  explicit ConsentCopy(MateId mate) : mate_(std::move(mate)) {}

  /// A change that the service has told everybody about.
  Push on_push(const consent::Consent& record, Timestamp now);
  /// What to ask the service next.
  consent::SyncRequest question() const;
  /// Takes the answer to `question`; true when there is more to ask for.
  bool on_answer(const consent::SyncReply& reply, Timestamp now);
  /// Forgets what has been over for a day; everything, to be asked for again, when the clock was set back.
  void prune(Timestamp now);

  const ConsentIndex& index() const { return index_; }
  std::uint64_t mate_epoch() const { return mate_epoch_; }

 private:
  MateId mate_;
  ConsentIndex index_;
  std::uint64_t mate_epoch_ = 0;
  Timestamp newest_{};  ///< of the last `prune`
};

}  // namespace intra365::guard
