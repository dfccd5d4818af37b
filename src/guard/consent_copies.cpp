#include "guard/consent_copies.hpp"

namespace intra365::guard {

ConsentCopies::Fresh ConsentCopies::fresh(const TenantId& tenant, const MateId& mate, SteadyTime now) {
  auto& mates = copies_[tenant];
  if (mates.size() >= kMaxCopies && !mates.contains(mate)) return {};
  auto& copy = mates[mate];
  if (!copy) copy = std::make_shared<Copy>(mate, lease_time_);
  copy->used_at = now;
  if (copy->lease.alive(now))
    return {&copy->consents.index(),
            std::chrono::duration_cast<std::chrono::milliseconds>(now - copy->asked_at),
            {}};
  Fresh none;
  if (!copy->loading && copy->consents.index().size() <= kMaxRecords) none.to_load = copy;
  return none;
}

void ConsentCopies::changed(const TenantId& tenant, const consent::Consent& record, Timestamp now) {
  const auto mates = copies_.find(tenant);
  if (mates == copies_.end()) return;
  const auto copy = mates->second.find(record.mate_id);
  if (copy == mates->second.end()) return;
  if (copy->second->consents.on_push(record, now) == Push::gap) copy->second->lease.gap();
}

void ConsentCopies::changed_unknown() {
  for (auto& [id, mates] : copies_) {
    for (auto& [mate, copy] : mates) copy->lease.gap();
  }
}

std::optional<ConsentCopies::Load> ConsentCopies::begin_load(const Pointer& copy, SteadyTime now) {
  if (copy->loading) return std::nullopt;
  copy->loading = true;
  return Load{copy, copy->lease.begin(now)};
}

ConsentCopy::Answered ConsentCopies::take_page(const Load& load, std::uint64_t asked_since,
                                               const consent::SyncReply& page, Timestamp now) {
  const auto answered = load.copy->consents.on_answer(asked_since, page, now);
  if (answered == ConsentCopy::Answered::anew) load.copy->lease.gap();
  return answered;
}

void ConsentCopies::end_load(const Load& load, Loaded how) {
  load.copy->loading = false;
  if (how == Loaded::failed) return;  // no answer is no news: the lease runs out by itself
  load.copy->loaded = true;
  if (load.copy->lease.end(load.round)) load.copy->asked_at = load.round.asked_at;
}

std::vector<std::pair<TenantId, std::vector<ConsentCopies::Renewal>>> ConsentCopies::to_renew(
    SteadyTime now) const {
  std::vector<std::pair<TenantId, std::vector<Renewal>>> rounds;
  for (const auto& [tenant, mates] : copies_) {
    std::vector<Renewal> used;
    for (const auto& [mate, copy] : mates) {
      if (copy->loaded && !copy->loading && now - copy->used_at < kInUse)
        used.push_back({mate, {copy, {}}, 0});
    }
    if (!used.empty()) rounds.emplace_back(tenant, std::move(used));
  }
  return rounds;
}

bool ConsentCopies::renew(const Renewal& renewal, std::uint64_t mate_epoch) {
  auto& copy = *renewal.load.copy;
  if (mate_epoch > copy.consents.mate_epoch() || has_gone_back(renewal.had, mate_epoch) ||
      !copy.lease.end(renewal.load.round))
    return false;
  copy.asked_at = renewal.load.round.asked_at;
  return true;
}

}  // namespace intra365::guard
