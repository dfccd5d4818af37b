// PostgreSQL as the services see it: transactions that commit whole and in order, with revisions and epochs,
// and everything that was ever true, for judging what others allow.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consent/lifecycle.hpp"
#include "guard/epoch.hpp"
#include "tests/sim/scheduler.hpp"

namespace intra365::sim {

class Truth {
 public:
  /// Whether a change raises the epochs of what hangs on it; forgotten only to see that it matters.
  enum class Below { raised, forgotten };
  /// `members`: the same for the consents of a household that somebody joins or leaves. `lines`: whether
  /// epochs are counted on a line of their own after `go_back`.
  Truth(const Scheduler& scheduler, Below below, Below members, bool lines)
      : scheduler_(scheduler), below_(below), raised_members_(members), lines_(lines) {}

  /// Records of a user or a group, as stored.
  std::vector<consent::Consent> of(const std::string& subject) const;
  /// What a delegated consent hangs on, the nearest first.
  std::vector<consent::Consent> above(const consent::Consent& record) const;
  /// As it holds now, with everything above it; nothing where the truth has gone back since it was read.
  std::optional<consent::Consent> effective(const consent::Consent& record) const;
  /// What append_consent_changes does: nothing is stored where a revision has moved on. Returns what was
  /// changed and everything delegated below it, with new epochs, as stored.
  std::vector<consent::Consent> append(const consent::HistoryEntry& change, consent::Consent record);
  /// Somebody who belongs to no household joins this one, or, where it is empty, leaves theirs. What
  /// raise_consent_household does: returns the newest record that each Mate has of it, with new epochs.
  std::vector<consent::Consent> move(const std::string& user, const std::string& household);
  std::string household_of(const std::string& user) const { return household_at(user, scheduler_.now()); }
  std::uint64_t mate_epoch(const std::string& mate) const;
  /// True when a group has a consent for this Mate that may hold.
  bool is_inherited(const std::string& mate) const;
  /// What consent_changed (`holding`, `whole`) and consent_all_changed select; at most a page.
  enum class Which { holding, whole, all };
  std::vector<consent::Consent> changed_since(const std::string& mate, std::uint64_t epoch,
                                              Which which) const;
  struct Asked {
    std::string user, mate;
    Scope scope;
    Purpose purpose;
    std::optional<ConsentId> by = {};  ///< by this consent; otherwise by any
  };
  /// Has the truth allowed this at some moment from `since` until now, or would have if that had not expired
  /// since then by its own clock?
  bool allowed_since(Micros since, const Asked& asked) const;
  /// Has it allowed this at every moment from `since` until now, if it was this late by then?
  bool allowed_throughout(Micros since, const Asked& asked, Timestamp wall) const;
  /// Does it allow this now, if it is this late?
  bool allows(const Asked& asked, Timestamp wall) const { return allows_at(scheduler_.now(), asked, wall); }

  /// A standby takes over that had heard nothing since `to`, or a backup of then is restored: what came after
  /// it was never there, and counting goes on from what was counted then.
  void go_back(Micros to);

  static constexpr std::size_t kPage = 3;  ///< small, so that answers have several

 private:
  struct State {
    Micros since;
    std::optional<consent::Consent> record;  ///< nothing: it was lost
  };
  using States = std::vector<State>;
  /// Whose it is; that never changes.
  static const consent::Consent& about(const States& states) { return *states.front().record; }
  struct Count {
    Micros since;
    std::uint64_t value;
  };
  using Counts = std::map<std::string, std::vector<Count>>;
  std::uint64_t raise(Counts& counts, const std::string& of);
  std::uint64_t base() const { return line_ << guard::kEpochCountBits; }
  consent::Consent& store(consent::Consent record);
  /// Stores this record with new epochs; returns it as it is told.
  consent::Consent raised(consent::Consent record);
  /// As it is read: with the members of its household.
  consent::Consent read(consent::Consent record) const;
  /// As it held at a time; nothing before it was made.
  std::optional<consent::Consent> effective_at(const States& states, Micros at) const;
  void raise_below(const std::string& id, std::vector<consent::Consent>& stored);
  std::string household_at(const std::string& user, Micros at) const;
  void raise_members(const std::string& household, std::vector<consent::Consent>& stored);
  /// When the answer may have become another one.
  std::vector<Micros> moments_since(Micros since, const Asked& asked) const;
  bool allows_at(Micros at, const Asked& asked, Timestamp wall) const;

  const Scheduler& scheduler_;
  Below below_, raised_members_;
  bool lines_;
  std::uint64_t line_ = 0;
  std::map<std::string, consent::Consent> records_;  ///< as they are now
  std::map<std::string, States> states_;             ///< and as they were
  struct Stay {
    Micros since;
    std::string household;
  };
  std::map<std::string, std::vector<Stay>> stays_;  ///< by person
  Counts user_epochs_, mate_epochs_;
};

}  // namespace intra365::sim
