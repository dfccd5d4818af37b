#include "services/consent/copies.hpp"

#include "contract/subjects.hpp"

namespace intra365::services::consent {
namespace {

constexpr std::size_t kPage = 5000;
constexpr auto kLoadTimeout = std::chrono::seconds(2);  // of one page
constexpr auto kRenewTimeout = std::chrono::milliseconds(800);

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
            if (tenant != nullptr && record) return changed(*tenant, *record);
            // Nobody knows what has changed: everything is asked for again.
            copies_.changed_unknown();
          }));
  return environment_.tasks.spawn(keep_fresh());
}

Copies::Fresh Copies::fresh(const TenantId& tenant, const MateId& mate) {
  auto found = copies_.fresh(tenant, mate, now());
  if (found.to_load)
    static_cast<void>(environment_.tasks.spawn(load(tenant, mate, std::move(found.to_load))));
  return {found.index, found.age};
}

void Copies::changed(const TenantId& tenant, const intra365::consent::Consent& record) {
  copies_.changed(tenant, record, environment_.clock.now());
}

Task<> Copies::load(TenantId tenant, MateId mate, guard::ConsentCopies::Pointer copy) {
  const auto loading = guard::ConsentCopies::begin_load(copy, now());
  if (!loading) co_return Result<void>{};
  const auto loaded = co_await contain(load_pages(std::move(tenant), mate, *loading));
  guard::ConsentCopies::end_load(
      *loading, loaded ? guard::ConsentCopies::Loaded::all : guard::ConsentCopies::Loaded::failed);
  if (!loaded)
    environment_.telemetry.log.write(platform::LogLevel::warning, "consents are not loaded",
                                     {{"mate", mate.str()}, {"code", loaded.error().code}});
  co_return loaded;
}

Task<> Copies::load_pages(TenantId tenant, MateId mate, guard::ConsentCopies::Load loading) {
  for (bool more = true; more;) {
    intra365::consent::SyncReply page;
    const auto since = loading.copy->consents.mate_epoch();
    CO_TRY(auto changed, co_await store_.all_changed_since(tenant, mate, since, static_cast<int>(kPage),
                                                           now() + kLoadTimeout));
    page.mate_epoch = changed.mate_epoch;
    page.consents = std::move(changed.records);
    page.more = page.consents.size() == kPage;
    const auto answered = guard::ConsentCopies::take_page(loading, since, page, environment_.clock.now());
    if (answered == guard::ConsentCopy::Answered::anew)
      co_return fail(postgres::errors::unavailable, "the database has gone back to an earlier state");
    more = answered == guard::ConsentCopy::Answered::more;
  }
  co_return Result<void>{};
}

Task<> Copies::keep_fresh() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto begun = now();
    auto rounds = copies_.to_renew(begun);
    for (auto& [tenant, used] : rounds) co_await contain(renew(tenant, std::move(used)));
    if (const auto next = begun + guard::kSyncPause; now() < next) co_await sleep_for(next - now());
  }
  co_return Result<void>{};
}

Task<> Copies::renew(TenantId tenant, std::vector<guard::ConsentCopies::Renewal> used) {
  std::vector<std::string> names;
  const auto asked_at = now();
  for (auto& one : used) {
    names.push_back(one.mate.str());
    guard::ConsentCopies::ask(one, asked_at);
  }
  CO_TRY(const auto epochs, co_await store_.mate_epochs(tenant, names, asked_at + kRenewTimeout));
  for (std::size_t i = 0; i < used.size(); ++i) {
    const auto found = epochs.find(names[i]);
    if (!guard::ConsentCopies::renew(used[i], found == epochs.end() ? 0 : found->second))
      // Not waited for: one Mate whose answer is lost must not let the leases of the others run out.
      static_cast<void>(environment_.tasks.spawn(load(tenant, used[i].mate, used[i].load.copy)));
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
