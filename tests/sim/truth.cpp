#include "tests/sim/truth.hpp"

#include "guard/consent_decision.hpp"

namespace intra365::sim {

using consent::Consent;

std::vector<Consent> Truth::of(const std::string& user) const {
  std::vector<Consent> list;
  for (const auto& [id, states] : states_) {
    if (states.back().record.user_id.str() == user) list.push_back(states.back().record);
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
  return record.parent_id ? consent::effective(record, above(record)) : record;
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
    if (record.mate_id.str() == mate && record.mate_epoch > epoch &&
        (epoch > 0 || record.granted || which == Which::all))
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
  for (const auto& [id, states] : states_) {
    if (states.back().record.user_id.str() != user || states.back().record.mate_id.str() != mate) continue;
    // It may have held since a change of its own, or of anything above it.
    std::vector<Micros> moments{since};
    const auto add = [&](const States& of) {
      for (const auto& state : of) {
        if (state.since > since) moments.push_back(state.since);
      }
    };
    add(states);
    for (const auto& one : above(states.back().record)) add(states_.at(one.consent_id.str()));
    for (const auto moment : moments) {
      const auto held = effective_at(states, moment);
      if (!held) continue;
      const auto* record = &*held;
      if (guard::decide_consent(std::span(&record, 1), std::span(&scope, 1), purpose, wall).allowed())
        return true;
    }
  }
  return false;
}

}  // namespace intra365::sim
