// PostgreSQL as the services see it: transactions that commit whole and in order, with revisions and epochs,
// and everything that was ever true, for judging what others allow.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consent/lifecycle.hpp"
#include "tests/sim/scheduler.hpp"

namespace intra365::sim {

class Truth {
 public:
  /// Whether a change raises the epochs of what hangs on it; forgotten only to see that it matters.
  enum class Below { raised, forgotten };
  explicit Truth(const Scheduler& scheduler, Below below = Below::raised)
      : scheduler_(scheduler), below_(below) {}

  /// Records of a user, as stored.
  std::vector<consent::Consent> of(const std::string& user) const;
  /// What a delegated consent hangs on, the nearest first.
  std::vector<consent::Consent> above(const consent::Consent& record) const;
  /// As it holds now, with everything above it.
  consent::Consent effective(const consent::Consent& record) const;
  /// What append_consent_changes does: nothing is stored where a revision has moved on. Returns what was
  /// changed and everything delegated below it, with new epochs, as stored.
  std::vector<consent::Consent> append(const consent::HistoryEntry& change, consent::Consent record);
  std::uint64_t mate_epoch(const std::string& mate) const;
  /// What consent_changed (`holding`) and consent_all_changed select; at most a page.
  enum class Which { holding, all };
  std::vector<consent::Consent> changed_since(const std::string& mate, std::uint64_t epoch,
                                              Which which) const;
  /// Has the truth allowed this at some moment from `since` until now?
  bool allowed_since(Micros since, const std::string& user, const std::string& mate, const Scope& scope,
                     const Purpose& purpose, Timestamp wall) const;

  static constexpr std::size_t kPage = 3;  ///< small, so that answers have several

 private:
  struct State {
    Micros since;
    consent::Consent record;
  };
  using States = std::vector<State>;
  /// As it held at a time; nothing before it was made.
  std::optional<consent::Consent> effective_at(const States& states, Micros at) const;
  static const State* state_at(const States& states, Micros at);
  void raise_below(const std::string& id, std::vector<consent::Consent>& raised);

  const Scheduler& scheduler_;
  Below below_;
  std::map<std::string, States> states_;
  std::map<std::string, std::uint64_t> user_epochs_, mate_epochs_;
};

}  // namespace intra365::sim
