#include "tests/sim/truth.hpp"

#include "consent/groups.hpp"
#include "guard/consent_decision.hpp"

namespace intra365::sim {

using consent::Consent;

std::vector<Consent> Truth::of(const std::string& subject) const {
  std::vector<Consent> list;
  for (const auto& [id, states] : states_) {
    if (states.back().record.user_id.str() == subject) list.push_back(states.back().record);
  }
  return list;
}

std::vector<Consent> Truth::above(const Consent& record) const {
  std::vector<Consent> chain;
  for (auto parent = record.parent_id; parent; parent = chain.back().parent_id)
    chain.push_back(states_.at(parent->str()).back().record);
  return chain;
}

Consent Truth::effective(const Consent& record) const {
  auto holds = record.parent_id ? consent::effective(record, above(record)) : record;
  if (const auto household = consent::household_of(record.user_id.str()); !household.empty()) {
    auto& members = holds.members.emplace();
    for (const auto& [user, stays] : stays_) {
      if (stays.back().household == household.str()) members.push_back(UserId::trusted(user));
    }
  }
  return holds;
}

std::string Truth::household_at(const std::string& user, Micros at) const {
  const auto found = stays_.find(user);
  if (found == stays_.end()) return "";
  std::string household;
  for (const auto& stay : found->second) {
    if (stay.since <= at) household = stay.household;
  }
  return household;
}

std::vector<Consent> Truth::move(const std::string& user, const std::string& household) {
  std::vector<Consent> raised;
  const auto before = household_of(user);
  if (before == household) return raised;
  stays_[user].push_back({scheduler_.now(), household});
  if (raised_members_ == Below::forgotten) return raised;
  raise_members(household.empty() ? before : household, raised);
  return raised;
}

void Truth::raise_members(const std::string& household, std::vector<Consent>& raised) {
  const auto subject = consent::household_subject(consent::HouseholdId::trusted(household)).str();
  std::map<std::string, States*> newest;  // by Mate
  for (auto& [id, states] : states_) {
    const auto& record = states.back().record;
    if (record.user_id.str() != subject || record.status == consent::Status::superseded) continue;
    auto& best = newest[record.mate_id.str()];
    if (best == nullptr || best->back().record.mate_epoch < record.mate_epoch) best = &states;
  }
  for (auto& [mate, states] : newest) {
    auto record = states->back().record;
    record.epoch = ++user_epochs_[subject];
    record.mate_epoch = ++mate_epochs_[mate];
    states->push_back({scheduler_.now(), record});
    raised.push_back(std::move(record));
  }
}

bool Truth::is_inherited(const std::string& mate) const {
  for (const auto& [id, states] : states_) {
    const auto& record = states.back().record;
    if (record.mate_id.str() == mate && consent::group_of(record.user_id.str()) &&
        (record.status == consent::Status::active || record.status == consent::Status::suspended))
      return true;
  }
  return false;
}

std::vector<Consent> Truth::append(const consent::HistoryEntry& change, Consent record) {
  const auto known = states_.find(change.consent_id.str());
  const auto revision = known == states_.end() ? 0 : known->second.back().record.revision;
  if (revision + 1 != change.revision) return {};
  record.epoch = ++user_epochs_[change.user_id.str()];
  record.mate_epoch = ++mate_epochs_[change.mate_id.str()];
  states_[change.consent_id.str()].push_back({scheduler_.now(), record});
  std::vector<Consent> stored{std::move(record)};
  if (below_ == Below::raised) raise_below(change.consent_id.str(), stored);
  return stored;
}

void Truth::raise_below(const std::string& id, std::vector<Consent>& raised) {
  for (auto& [below, states] : states_) {
    const auto& latest = states.back().record;
    if (!latest.parent_id || latest.parent_id->str() != id) continue;
    auto record = latest;
    record.epoch = ++user_epochs_[record.user_id.str()];
    record.mate_epoch = ++mate_epochs_[record.mate_id.str()];
    states.push_back({scheduler_.now(), record});
    raised.push_back(std::move(record));
    raise_below(below, raised);
  }
}

std::uint64_t Truth::mate_epoch(const std::string& mate) const {
  const auto found = mate_epochs_.find(mate);
  return found == mate_epochs_.end() ? 0 : found->second;
}

std::vector<Consent> Truth::changed_since(const std::string& mate, std::uint64_t epoch, Which which) const {
  std::map<std::uint64_t, const Consent*> by_epoch;
  for (const auto& [id, states] : states_) {
    const auto& record = states.back().record;
    const bool is_wanted = which == Which::all ||
                           (which == Which::whole && record.status != consent::Status::superseded) ||
                           (which == Which::whole && epoch > 0) ||
                           (which == Which::holding && !consent::group_of(record.user_id.str()) &&
                            (epoch > 0 || record.granted));
    if (record.mate_id.str() == mate && record.mate_epoch > epoch && is_wanted)
      by_epoch.emplace(record.mate_epoch, &record);
  }
  std::vector<Consent> list;
  for (const auto& [one, record] : by_epoch) {
    if (list.size() < kPage) list.push_back(*record);
  }
  return list;
}

const Truth::State* Truth::state_at(const States& states, Micros at) {
  const State* held = nullptr;
  for (const auto& state : states) {
    if (state.since <= at) held = &state;
  }
  return held;
}

std::optional<Consent> Truth::effective_at(const States& states, Micros at) const {
  const auto* state = state_at(states, at);
  if (state == nullptr) return std::nullopt;
  std::vector<Consent> chain;
  for (auto parent = state->record.parent_id; parent; parent = chain.back().parent_id)
    chain.push_back(state_at(states_.at(parent->str()), at)->record);  // made before what hangs on it
  return chain.empty() ? state->record : consent::effective(state->record, chain);
}

bool Truth::allowed_since(Micros since, const std::string& user, const std::string& mate, const Scope& scope,
                          const Purpose& purpose, Timestamp wall) const {
  if (allows_at(since, user, mate, scope, purpose, wall)) return true;
  // It may have held since a change of anything that it could follow from.
  std::vector<Micros> moments;
  const auto add = [&](const auto& of) {
    for (const auto& one : of) {
      if (one.since > since) moments.push_back(one.since);
    }
  };
  for (const auto& [id, states] : states_) {
    const auto& record = states.back().record;
    if (record.mate_id.str() != mate) continue;
    if (record.user_id.str() != user && !consent::group_of(record.user_id.str())) continue;
    add(states);
    for (const auto& one : above(record)) add(states_.at(one.consent_id.str()));
  }
  if (const auto stays = stays_.find(user); stays != stays_.end()) add(stays->second);
  return std::ranges::any_of(moments,
                             [&](Micros at) { return allows_at(at, user, mate, scope, purpose, wall); });
}

bool Truth::allows_at(Micros at, const std::string& user, const std::string& mate, const Scope& scope,
                      const Purpose& purpose, Timestamp wall) const {
  const auto household = household_at(user, at);
  std::vector<Consent> held;
  held.reserve(states_.size());
  std::vector<const Consent*> own, inherited;
  for (const auto& [id, states] : states_) {
    const auto& record = states.back().record;
    if (record.mate_id.str() != mate) continue;
    const auto group = consent::group_of(record.user_id.str());
    const bool is_ours =
        group == consent::InheritedFrom::organisation ||
        (group && !household.empty() && consent::household_of(record.user_id.str()).str() == household);
    if (!is_ours && record.user_id.str() != user) continue;
    auto holds = effective_at(states, at);
    if (!holds) continue;
    held.push_back(*std::move(holds));
    (group ? inherited : own).push_back(&held.back());
  }
  return guard::decide_inherited(own, inherited, std::span(&scope, 1), purpose, wall).allowed();
}

}  // namespace intra365::sim
