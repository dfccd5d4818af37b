#include "tests/sim/truth.hpp"

#include "consent/groups.hpp"
#include "guard/consent_decision.hpp"

namespace intra365::sim {

using consent::Consent;

namespace {

/// The last entry of a history that has begun at this time; null before the first.
template <class Entry>
const Entry* entry_at(const std::vector<Entry>& history, Micros at) {
  const Entry* held = nullptr;
  for (const auto& one : history) {
    if (one.since <= at) held = &one;
  }
  return held;
}

}  // namespace

std::vector<Consent> Truth::of(const std::string& subject) const {
  std::vector<Consent> list;
  for (const auto& [id, record] : records_) {
    if (record.user_id.str() == subject) list.push_back(record);
  }
  return list;
}

std::vector<Consent> Truth::above(const Consent& record) const {
  std::vector<Consent> chain;
  for (auto parent = record.parent_id; parent; parent = chain.back().parent_id) {
    const auto found = records_.find(parent->str());
    if (found == records_.end()) break;
    chain.push_back(found->second);
  }
  return chain;
}

std::optional<Consent> Truth::effective(const Consent& record) const {
  if (!record.parent_id) return record;
  const auto now = records_.find(record.consent_id.str());
  if (now == records_.end() || guard::has_gone_back(record.mate_epoch, now->second.mate_epoch))
    return std::nullopt;
  return consent::effective(record, above(record));
}

Consent Truth::read(Consent record) const {
  if (const auto household = consent::household_of(record.user_id.str()); !household.empty()) {
    auto& members = record.members.emplace();
    for (const auto& [user, stays] : stays_) {
      if (stays.back().household == household.str()) members.push_back(UserId::trusted(user));
    }
  }
  return record;
}

std::string Truth::household_at(const std::string& user, Micros at) const {
  const auto found = stays_.find(user);
  const auto* stay = found == stays_.end() ? nullptr : entry_at(found->second, at);
  return stay == nullptr ? "" : stay->household;
}

std::uint64_t Truth::raise(Counts& counts, const std::string& of) {
  auto& history = counts[of];
  const auto next = std::max(history.empty() ? 0 : history.back().value, base()) + 1;
  history.push_back({scheduler_.now(), next});
  return next;
}

Consent& Truth::store(Consent record) {
  const auto id = record.consent_id.str();
  states_[id].push_back({scheduler_.now(), record});
  return records_[id] = std::move(record);
}

Consent Truth::raised(Consent record) {
  record.epoch = raise(user_epochs_, record.user_id.str());
  record.mate_epoch = raise(mate_epochs_, record.mate_id.str());
  return read(store(std::move(record)));
}

void Truth::go_back(Micros to) {
  const auto now = scheduler_.now();
  for (auto& [id, states] : states_) {
    const auto* held = entry_at(states, to);
    auto record = held == nullptr ? std::nullopt : held->record;
    if (record)
      records_[id] = *record;
    else
      records_.erase(id);
    states.push_back({now, std::move(record)});
  }
  for (auto& [user, stays] : stays_) stays.push_back({now, household_at(user, to)});
  for (auto* counts : {&user_epochs_, &mate_epochs_}) {
    for (auto& [of, history] : *counts) {
      const auto* held = entry_at(history, to);
      history.push_back({now, held == nullptr ? 0 : held->value});
    }
  }
  if (lines_) ++line_;
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

void Truth::raise_members(const std::string& household, std::vector<Consent>& stored) {
  const auto subject = consent::household_subject(consent::HouseholdId::trusted(household)).str();
  std::map<std::string, Consent> newest;  // by Mate
  for (const auto& [id, record] : records_) {
    if (record.user_id.str() != subject || record.status == consent::Status::superseded) continue;
    const auto [best, is_first] = newest.try_emplace(record.mate_id.str(), record);
    if (!is_first && best->second.mate_epoch < record.mate_epoch) best->second = record;
  }
  for (auto& [mate, record] : newest) stored.push_back(raised(std::move(record)));
}

bool Truth::is_inherited(const std::string& mate) const {
  for (const auto& [id, record] : records_) {
    if (record.mate_id.str() == mate && consent::group_of(record.user_id.str()) &&
        (record.status == consent::Status::active || record.status == consent::Status::suspended))
      return true;
  }
  return false;
}

std::vector<Consent> Truth::append(const consent::HistoryEntry& change, Consent record) {
  const auto known = records_.find(change.consent_id.str());
  const auto revision = known == records_.end() ? 0 : known->second.revision;
  if (revision + 1 != change.revision) return {};
  if (record.parent_id && !records_.contains(record.parent_id->str())) return {};
  std::vector<Consent> stored{raised(std::move(record))};
  if (below_ == Below::raised) raise_below(change.consent_id.str(), stored);
  return stored;
}

void Truth::raise_below(const std::string& id, std::vector<Consent>& stored) {
  std::vector<Consent> below;
  for (const auto& [other, record] : records_) {
    if (record.parent_id && record.parent_id->str() == id) below.push_back(record);
  }
  for (auto& record : below) {
    const auto below_it = record.consent_id.str();
    stored.push_back(raised(std::move(record)));
    raise_below(below_it, stored);
  }
}

std::uint64_t Truth::mate_epoch(const std::string& mate) const {
  const auto found = mate_epochs_.find(mate);
  return std::max(found == mate_epochs_.end() ? 0 : found->second.back().value, base());
}

std::vector<Consent> Truth::changed_since(const std::string& mate, std::uint64_t epoch, Which which) const {
  std::map<std::uint64_t, const Consent*> by_epoch;
  for (const auto& [id, record] : records_) {
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
    if (list.size() < kPage) list.push_back(read(*record));
  }
  return list;
}

std::optional<Consent> Truth::effective_at(const States& states, Micros at) const {
  const auto* state = entry_at(states, at);
  if (state == nullptr || !state->record) return std::nullopt;
  std::vector<Consent> chain;
  for (auto parent = state->record->parent_id; parent; parent = chain.back().parent_id)
    chain.push_back(*entry_at(states_.at(parent->str()), at)->record);  // made before what hangs on it
  return chain.empty() ? *state->record : consent::effective(*state->record, chain);
}

bool Truth::allowed_since(Micros since, const Asked& asked) const {
  return std::ranges::any_of(moments_since(since, asked),
                             [&](Micros at) { return allows_at(at, asked, kWallStart + since); });
}

bool Truth::allowed_throughout(Micros since, const Asked& asked, Timestamp wall) const {
  return std::ranges::all_of(moments_since(since, asked),
                             [&](Micros at) { return allows_at(at, asked, wall); });
}

std::vector<Micros> Truth::moments_since(Micros since, const Asked& asked) const {
  // A change of anything that it could follow from.
  std::vector<Micros> moments{since};
  const auto add = [&](const auto& of) {
    for (const auto& one : of) {
      if (one.since > since) moments.push_back(one.since);
    }
  };
  for (const auto& [id, states] : states_) {
    const auto& record = about(states);
    if (record.mate_id.str() != asked.mate) continue;
    if (record.user_id.str() != asked.user && !consent::group_of(record.user_id.str())) continue;
    add(states);
    for (auto parent = record.parent_id; parent; parent = about(states_.at(parent->str())).parent_id)
      add(states_.at(parent->str()));
  }
  if (const auto stays = stays_.find(asked.user); stays != stays_.end()) add(stays->second);
  return moments;
}

bool Truth::allows_at(Micros at, const Asked& asked, Timestamp wall) const {
  const auto household = household_at(asked.user, at);
  std::vector<Consent> held;
  held.reserve(states_.size());
  std::vector<const Consent*> own, inherited;
  for (const auto& [id, states] : states_) {
    const auto& record = about(states);
    if (record.mate_id.str() != asked.mate) continue;
    const auto group = consent::group_of(record.user_id.str());
    const bool is_ours =
        group == consent::InheritedFrom::organisation ||
        (group && !household.empty() && consent::household_of(record.user_id.str()).str() == household);
    if (!is_ours && record.user_id.str() != asked.user) continue;
    auto holds = effective_at(states, at);
    if (!holds) continue;
    held.push_back(*std::move(holds));
    (group ? inherited : own).push_back(&held.back());
  }
  const std::span scopes(&asked.scope, 1);
  if (asked.by) return guard::decide_by(*asked.by, own, inherited, scopes, asked.purpose, wall).allowed();
  return guard::decide_inherited(own, inherited, scopes, asked.purpose, wall).allowed();
}

}  // namespace intra365::sim
