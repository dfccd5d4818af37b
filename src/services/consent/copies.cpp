#include "services/consent/copies.hpp"

#include <algorithm>

#include "contract/subjects.hpp"

namespace intra365::services::consent {
namespace {

constexpr int kPage = 5000;
constexpr auto kLoadTimeout = std::chrono::seconds(5);
constexpr auto kRenewTimeout = std::chrono::milliseconds(800);
/// A Mate that nobody has asked about for this long costs nothing more than its memory.
constexpr auto kInUse = std::chrono::seconds(30);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Result<void> Copies::start() {
  TRY(pushes_,
      environment_.nats.subscribe(
          subjects::in_any_account(subjects::any_guard_consent), [this](const nats::MessageView& message) {
            const auto scoped = subjects::split_account(message.subject);
            const auto* tenant = scoped ? environment_.tenants.find(scoped->account) : nullptr;
            const auto record =
                json::decode<intra365::consent::Consent>(message.payload, json::Unknown::ignore);
            if (tenant != nullptr && record) return on_push(*tenant, *record);
            // Nobody knows what has changed: everything is asked for again.
            for (auto& [id, held] : tenants_) {
              for (auto& [mate, part] : held->parts) fall_behind(part);
            }
          }));
  return environment_.tasks.spawn(keep_fresh());
}

Copies::Fresh Copies::fresh(const TenantId& id, const MateId& mate) {
  auto& tenant = tenants_[id];
  if (!tenant) tenant = std::make_shared<Tenant>();
  auto& part = tenant->parts[mate];
  const auto at = now();
  part.used_at = at;
  if (part.lease.alive(at))
    return {&tenant->index, std::chrono::duration_cast<std::chrono::milliseconds>(at - part.asked_at)};
  if (!part.loading) static_cast<void>(environment_.tasks.spawn(load(id, tenant, mate)));
  return {};
}

void Copies::changed(const TenantId& tenant, const intra365::consent::Consent& record) {
  on_push(tenant, record);
}

void Copies::on_push(const TenantId& id, const intra365::consent::Consent& record) {
  const auto tenant = tenants_.find(id);
  if (tenant == tenants_.end()) return;
  const auto part = tenant->second->parts.find(record.mate_id);
  if (part == tenant->second->parts.end()) return;
  // A record replaces only an older one of itself, so it may be applied before those it overtook.
  tenant->second->index.apply(record);
  auto& known = part->second;
  if (record.mate_epoch == known.epoch + 1)
    known.epoch = record.mate_epoch;
  else if (record.mate_epoch > known.epoch && known.loading && known.ahead.size() < kMaxAhead)
    known.ahead.push_back(record.mate_epoch);  // what lies between is perhaps being loaded
  else if (record.mate_epoch > known.epoch)
    fall_behind(known);
}

/// The index has everything up to `epoch`, and what was pushed meanwhile, as far as that has no gap.
void Copies::catch_up(Part& part, std::uint64_t epoch) {
  part.epoch = std::max(part.epoch, epoch);
  std::ranges::sort(part.ahead);
  for (const auto one : part.ahead) {
    if (one == part.epoch + 1) part.epoch = one;
    if (one > part.epoch) {
      fall_behind(part);
      break;
    }
  }
  part.ahead.clear();
}

Task<> Copies::load(TenantId id, TenantPointer tenant, MateId mate) {
  auto& part = tenant->parts[mate];
  if (part.loading) co_return Result<void>{};
  part.loading = true;
  const auto loaded = co_await contain(load_pages(std::move(id), tenant, mate));
  part.loading = false;
  if (!loaded)
    environment_.telemetry.log.write(platform::LogLevel::warning, "consents are not loaded",
                                     {{"mate", mate.str()}, {"code", loaded.error().code}});
  co_return loaded;
}

Task<> Copies::load_pages(TenantId id, TenantPointer tenant, MateId mate) {
  auto& part = tenant->parts[mate];  // parts are never taken out, and a map's elements do not move
  const auto asked_at = now();
  const auto gaps = part.gaps;
  CO_TRY(const auto epoch, co_await store_.mate_epoch(id, mate, asked_at + kLoadTimeout));
  for (auto after = part.loaded ? part.epoch : 0; !part.loaded || after < epoch;) {
    CO_TRY(const auto page, co_await store_.all_changed_since(id, mate, after, kPage, now() + kLoadTimeout));
    for (const auto& record : page) {
      tenant->index.apply(record);
      after = record.mate_epoch;
    }
    if (page.size() < kPage) break;
  }
  part.loaded = true;
  catch_up(part, epoch);
  part.asked_at = asked_at;
  if (gaps == part.gaps) part.lease.renew(asked_at);
  if (tenant->index.size() > kMaxRecords) tenants_.erase(id);
  co_return Result<void>{};
}

Task<> Copies::keep_fresh() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto next = now() + guard::kSyncPause;
    const auto tenants = tenants_;
    for (const auto& [id, tenant] : tenants) co_await contain(renew(id, tenant));
    if (now() < next) co_await sleep_for(next - now());
  }
  co_return Result<void>{};
}

Task<> Copies::renew(TenantId id, TenantPointer tenant) {
  const auto asked_at = now();
  std::vector<std::string> used;
  for (const auto& [mate, part] : tenant->parts) {
    if (part.loaded && !part.loading && asked_at - part.used_at < kInUse) used.push_back(mate.str());
  }
  if (used.empty()) co_return Result<void>{};
  std::unordered_map<std::string, std::uint64_t> gaps;
  for (const auto& mate : used) gaps[mate] = tenant->parts[MateId::trusted(mate)].gaps;
  CO_TRY(const auto epochs, co_await store_.mate_epochs(id, used, asked_at + kRenewTimeout));
  for (const auto& mate : used) {
    auto& part = tenant->parts[MateId::trusted(mate)];
    const auto found = epochs.find(mate);
    const auto epoch = found == epochs.end() ? 0 : found->second;
    if (epoch > part.epoch || gaps[mate] != part.gaps) {
      CO_CHECK(co_await load(id, tenant, MateId::trusted(mate)));
      continue;
    }
    part.asked_at = asked_at;
    part.lease.renew(asked_at);
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
