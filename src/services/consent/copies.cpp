#include "services/consent/copies.hpp"

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
              for (auto& [mate, part] : held->parts) part.lease.fall_behind();
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
  if (part->second.epochs.pushed(record.mate_epoch) == guard::Push::gap) part->second.lease.fall_behind();
}

Task<> Copies::load(TenantId id, TenantPointer tenant, MateId mate) {
  auto& part = tenant->parts[mate];
  if (part.loading) co_return Result<void>{};
  part.loading = true;
  const auto question = part.lease.ask(now());
  part.epochs.sync_begins();
  const auto reached = co_await contain(load_pages(std::move(id), tenant, mate, question.asked_at));
  part.loading = false;
  // What was pushed meanwhile is in the index; where something before it is missing, the copy is closed.
  if (!part.epochs.sync_ended(reached ? *reached : part.epochs.at())) part.lease.fall_behind();
  if (!reached) {
    environment_.telemetry.log.write(platform::LogLevel::warning, "consents are not loaded",
                                     {{"mate", mate.str()}, {"code", reached.error().code}});
    co_return fail(reached.error());
  }
  part.loaded = true;
  if (part.lease.renew(question)) part.asked_at = question.asked_at;
  co_return Result<void>{};
}

Task<std::uint64_t> Copies::load_pages(TenantId id, TenantPointer tenant, MateId mate, SteadyTime asked_at) {
  auto& part = tenant->parts[mate];  // parts are never taken out, and a map's elements do not move
  CO_TRY(const auto epoch, co_await store_.mate_epoch(id, mate, asked_at + kLoadTimeout));
  for (auto after = part.loaded ? part.epochs.at() : 0; !part.loaded || after < epoch;) {
    CO_TRY(const auto page, co_await store_.all_changed_since(id, mate, after, kPage, now() + kLoadTimeout));
    for (const auto& record : page) {
      tenant->index.apply(record);
      after = record.mate_epoch;
    }
    if (page.size() < kPage) break;
  }
  if (tenant->index.size() > kMaxRecords) tenants_.erase(id);
  co_return epoch;
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
  std::unordered_map<std::string, guard::Lease::Question> questions;
  std::vector<std::string> used;
  for (const auto& [mate, part] : tenant->parts) {
    if (!part.loaded || part.loading || asked_at - part.used_at >= kInUse) continue;
    used.push_back(mate.str());
    questions[mate.str()] = part.lease.ask(asked_at);
  }
  if (used.empty()) co_return Result<void>{};
  CO_TRY(const auto epochs, co_await store_.mate_epochs(id, used, asked_at + kRenewTimeout));
  for (const auto& mate : used) {
    auto& part = tenant->parts[MateId::trusted(mate)];
    const auto found = epochs.find(mate);
    const bool current = (found == epochs.end() ? 0 : found->second) <= part.epochs.at();
    if (current && part.lease.renew(questions[mate]))
      part.asked_at = asked_at;
    else
      CO_CHECK(co_await load(id, tenant, MateId::trusted(mate)));
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
