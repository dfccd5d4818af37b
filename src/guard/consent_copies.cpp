#include "guard/consent_copies.hpp"

namespace intra365::guard {
namespace {

/// After a load has failed, doubled with each that fails again.
constexpr std::chrono::milliseconds kFirstPause{100}, kLongestPause{1'000};
constexpr std::chrono::minutes kTooManyPause{10};

bool has_records(const ConsentCopies::Copy& copy) {
  return copy.consents.index().size() > 0;
}

}  // namespace

const ConsentCopies::Pointer& ConsentCopies::use(Tenant& tenant, const MateId& mate, BootTime now) {
  auto found = tenant.places.find(mate);
  if (found == tenant.places.end()) {
    make_room(tenant);
    tenant.on_trial.push_front(std::make_shared<Copy>(mate, limits_.lease_time));
    found = tenant.places.emplace(mate, Place{tenant.on_trial.begin()}).first;
  }
  auto& place = found->second;
  if (place.on_trial && has_records(**place.at)) admit(tenant, place);
  auto& order = place.on_trial ? tenant.on_trial : tenant.with_records;
  order.splice(order.begin(), order, place.at);
  (*place.at)->used_at = now;
  return *place.at;
}

void ConsentCopies::admit(Tenant& tenant, Place& place) {
  tenant.with_records.splice(tenant.with_records.begin(), tenant.on_trial, place.at);
  place.on_trial = false;
}

void ConsentCopies::make_room(Tenant& tenant) {
  // What is being loaded will show whether it has records; there are never more of them than `loads`.
  for (auto looked = tenant.on_trial.size(); looked > 0 && tenant.on_trial.size() >= limits_.on_trial;
       --looked) {
    const auto& last = tenant.on_trial.back();
    if (has_records(*last))
      admit(tenant, tenant.places.at(last->mate));
    else if (last->loading)
      tenant.on_trial.splice(tenant.on_trial.begin(), tenant.on_trial, std::prev(tenant.on_trial.end()));
    else
      forget_last(tenant, tenant.on_trial);
  }
  while (tenant.with_records.size() > limits_.copies) forget_last(tenant, tenant.with_records);
}

void ConsentCopies::forget_last(Tenant& tenant, Order& order) {
  tenant.places.erase(order.back()->mate);
  order.pop_back();
}

void ConsentCopies::forget_unused(Tenant& tenant, Order& order, BootTime now) {
  while (!order.empty() && !order.back()->loading && now - order.back()->used_at > kKept)
    forget_last(tenant, order);
}

ConsentCopies::Fresh ConsentCopies::fresh(const TenantId& tenant, const MateId& mate, Instant now) {
  const auto& copy = use(tenants_[tenant], mate, now.boot);
  if (copy->lease.alive(now.boot))
    return {&copy->consents.index(),
            std::chrono::duration_cast<std::chrono::milliseconds>(now.boot - copy->asked_at),
            copy->consents.time(now),
            {}};
  Fresh none;
  if (may_load(*copy, now.boot)) none.to_load = copy;
  return none;
}

void ConsentCopies::changed(const TenantId& tenant, const consent::Consent& record, Instant now) {
  const auto known = tenants_.find(tenant);
  if (known == tenants_.end()) return;
  const auto place = known->second.places.find(record.mate_id);
  if (place == known->second.places.end()) return;
  auto& copy = **place->second.at;
  if (copy.consents.on_push(record, now) == Push::gap) copy.lease.gap();
}

void ConsentCopies::changed_unknown() {
  for (auto& [id, tenant] : tenants_) {
    for (auto& [mate, place] : tenant.places) (*place.at)->lease.gap();
  }
}

std::size_t ConsentCopies::size(const TenantId& tenant) const {
  const auto known = tenants_.find(tenant);
  return known == tenants_.end() ? 0 : known->second.places.size();
}

bool ConsentCopies::may_load(const Copy& copy, BootTime now) const {
  return !copy.loading && loads_ < limits_.loads && now >= copy.load_again_at;
}

std::optional<ConsentCopies::Load> ConsentCopies::begin_load(const Pointer& copy, BootTime now) {
  if (!may_load(*copy, now)) return std::nullopt;
  copy->loading = true;
  ++loads_;
  return Load{copy, copy->lease.begin(now)};
}

ConsentCopies::Taken ConsentCopies::take_page(const Load& load, std::uint64_t asked_since,
                                              const consent::SyncReply& page, Instant now) {
  auto& copy = *load.copy;
  const auto answered = copy.consents.on_answer(asked_since, page, now);
  if (answered == ConsentCopy::Answered::anew) {
    copy.lease.gap();
    return Taken::anew;
  }
  if (copy.consents.index().size() > limits_.records) {
    give_up(copy);
    copy.load_again_at = now.boot + kTooManyPause;
    return Taken::too_many;
  }
  return answered == ConsentCopy::Answered::all ? Taken::all : Taken::more;
}

void ConsentCopies::give_up(Copy& copy) {
  copy.consents = ConsentCopy(copy.mate, Holding::everything);
  copy.loaded = false;
  copy.lease.gap();
}

void ConsentCopies::end_load(const Load& load, Loaded how, BootTime now) {
  auto& copy = *load.copy;
  copy.loading = false;
  --loads_;
  if (how == Loaded::failed) {  // no answer is no news: the lease runs out by itself
    copy.load_pause = std::clamp(copy.load_pause * 2, kFirstPause, kLongestPause);
    copy.load_again_at = std::max(copy.load_again_at, now + copy.load_pause);
    return;
  }
  copy.load_pause = {};
  if (how == Loaded::anew) return;
  copy.loaded = true;
  if (copy.lease.end(load.round)) copy.asked_at = load.round.asked_at;
}

std::vector<std::pair<TenantId, std::vector<ConsentCopies::Renewal>>> ConsentCopies::to_renew(BootTime now) {
  std::vector<std::pair<TenantId, std::vector<Renewal>>> rounds;
  for (auto& [id, tenant] : tenants_) {
    std::vector<Renewal> used;
    for (auto* order : {&tenant.with_records, &tenant.on_trial}) {
      forget_unused(tenant, *order, now);
      for (const auto& copy : *order) {
        if (copy->loaded && !copy->loading && now - copy->used_at < kInUse)
          used.push_back({copy->mate, {copy, {}}, 0});
      }
    }
    if (!used.empty()) rounds.emplace_back(id, std::move(used));
  }
  return rounds;
}

bool ConsentCopies::renew(const Renewal& renewal, std::uint64_t mate_epoch, Timestamp truth_time,
                          Instant now) {
  auto& copy = *renewal.load.copy;
  copy.consents.hear(truth_time, now.boot);
  if (mate_epoch > copy.consents.mate_epoch() || has_gone_back(renewal.had, mate_epoch) ||
      !copy.lease.end(renewal.load.round))
    return false;
  copy.asked_at = renewal.load.round.asked_at;
  copy.consents.prune(now);  // keeps every no, so that there is nothing to ask for
  return true;
}

}  // namespace intra365::guard
