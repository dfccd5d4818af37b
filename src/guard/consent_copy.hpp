// One Mate's copy of its consents, and how pushes and answers of `consent.sync` keep it: the part of an
// enforcement point that the simulation runs as it is (tests/sim).
#pragma once
#include "guard/consent_index.hpp"
#include "guard/epoch.hpp"
#include "guard/lease.hpp"
#include "guard/truth_clock.hpp"

namespace intra365::guard {

/// What a copy has of what is over. A no of somebody's own outranks a yes of their groups, so only a copy
/// that has every no may decide by consents of groups. Most Mates have none: their copies begin with
/// `what_holds`, forget what is over, and deny whatever only a group allows.
enum class Holding { what_holds, everything };

/// True for a household's or the organisation's.
bool is_of_group(const consent::Consent& record);

/// A copy of `what_holds` that hears of a group's consent fetches everything beside itself (`second_*`), goes
/// on answering meanwhile, and is replaced once that has caught up.
///
/// INVARIANT: every change up to `mate_epoch` is in the copy, so what is older than that has nothing to add
/// (TrustSim.no_allow_after_the_bound, ConsentCopy.a_late_push_of_what_was_forgotten_changes_nothing).
/// Owned by one shard; not thread-safe.
class ConsentCopy {
 public:
  explicit ConsentCopy(MateId mate, Holding holding = Holding::what_holds)
      : mate_(std::move(mate)), current_(holding) {}

  /// A change that the service has told everybody about.
  Push on_push(const consent::Consent& record, Instant now);
  /// What to ask the service next.
  consent::SyncRequest question() const { return question_of(current_); }
  enum class Answered {
    all,   ///< everything is here
    more,  ///< there is more to ask for
    anew,  ///< the truth does not know what was here (guard/epoch.hpp): nothing is left, and all is to be
           ///< asked for. The lease must not be used until then
  };
  /// Takes the answer to `question`, which asked since `asked_since`.
  Answered on_answer(std::uint64_t asked_since, const consent::SyncReply& reply, Instant now);
  /// What to ask beside, once `question` has been answered to the end; nothing mostly.
  std::optional<consent::SyncRequest> second_question() const;
  /// Takes the answer to that; true when there is more to ask for, now or after the next round.
  bool on_second_answer(std::uint64_t asked_since, const consent::SyncReply& reply, Instant now);
  /// What forgetting has left.
  enum class Pruned {
    kept,     ///< everything that may matter
    emptied,  ///< nothing, because the clock was set back: what was forgotten as expired may hold again. All
              ///< is to be asked for, and the lease must not be used until then
  };
  /// Forgets what has been over for a day. Call it often; it looks through everything once a minute.
  Pruned prune(Instant now);

  const ConsentIndex& index() const { return current_.index; }
  /// The truth has said what time it is there, in another answer than those above.
  void hear(Timestamp truth_time, BootTime answered_at) { truth_.hear(truth_time, answered_at); }
  /// The time to decide an expiry by.
  Timestamp time(Instant now) const { return truth_.latest(now); }
  std::uint64_t mate_epoch() const { return current_.epoch; }
  /// False while there is more to ask for.
  bool is_whole() const { return current_.is_whole; }

 private:
  struct Copy {
    explicit Copy(Holding holding) : holding(holding) {}
    Holding holding;
    ConsentIndex index;
    std::uint64_t epoch = 0;
    std::uint64_t line = 0;  ///< of the truth that it is filled from, once it has an answer
    bool is_whole = false;
  };
  consent::SyncRequest question_of(const Copy& copy) const;
  static Answered take(Copy& copy, std::uint64_t asked_since, const consent::SyncReply& reply, Timestamp now);
  void want_everything();

  MateId mate_;
  Copy current_;
  std::optional<Copy> next_;  ///< everything, while it is being fetched
  TruthClock truth_;
  Timestamp looked_at_{}, forgot_until_{};  ///< what had ended before that may be forgotten
};

}  // namespace intra365::guard
