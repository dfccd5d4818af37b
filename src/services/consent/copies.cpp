#include "services/consent/copies.hpp"

#include "contract/subjects.hpp"

namespace intra365::services::consent {
namespace {

constexpr std::size_t kPage = 5000;
constexpr auto kLoadTimeout = std::chrono::seconds(2);  // of one page
constexpr auto kRenewTimeout = std::chrono::milliseconds(800);
/// Between two warnings, each with how many loads have failed since the last.
constexpr auto kTellPause = std::chrono::seconds(5);

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
  auto found = copies_.fresh(tenant, mate, environment_.clock.instant());
  if (found.to_load)
    static_cast<void>(environment_.tasks.spawn(load(tenant, mate, std::move(found.to_load))));
  return {found.index, found.age, found.time};
}

void Copies::changed(const TenantId& tenant, const intra365::consent::Consent& record) {
  copies_.changed(tenant, record, environment_.clock.instant());
}

Task<> Copies::load(TenantId tenant, MateId mate, guard::ConsentCopies::Pointer copy) {
  const auto loading = copies_.begin_load(copy, BootClock::now());
  if (!loading) co_return Result<void>{};
  const auto loaded = co_await contain(load_pages(std::move(tenant), mate, *loading));
  copies_.end_load(*loading, loaded ? *loaded : guard::ConsentCopies::Loaded::failed, BootClock::now());
  if (loaded) co_return Result<void>{};
  tell_failure(mate, loaded.error());
  co_return fail(loaded.error());
}

Task<guard::ConsentCopies::Loaded> Copies::load_pages(TenantId tenant, MateId mate,
                                                      guard::ConsentCopies::Load loading) {
  using Taken = guard::ConsentCopies::Taken;
  for (auto taken = Taken::more; taken == Taken::more;) {
    intra365::consent::SyncReply page;
    const auto since = loading.copy->consents.mate_epoch();
    CO_TRY(auto changed, co_await store_.all_changed_since(tenant, mate, since, static_cast<int>(kPage),
                                                           now() + kLoadTimeout));
    page.mate_epoch = changed.mate_epoch;
    page.server_time = changed.at;
    page.consents = std::move(changed.records);
    page.more = page.consents.size() == kPage;
    taken = copies_.take_page(loading, since, page, environment_.clock.instant());
    if (taken == Taken::anew) co_return guard::ConsentCopies::Loaded::anew;
    if (taken == Taken::too_many)
      co_return fail(intra365::errors::internal, "the Mate has more consents than are kept in memory");
  }
  co_return guard::ConsentCopies::Loaded::all;
}

void Copies::tell_failure(const MateId& mate, const Error& error) {
  ++failed_loads_;
  if (BootClock::now() < tell_again_at_) return;
  environment_.telemetry.log.write(
      platform::LogLevel::warning, "consents are not loaded",
      {{"mate", mate.str()}, {"code", error.code}, {"loads", std::to_string(failed_loads_)}});
  tell_again_at_ = BootClock::now() + kTellPause;
  failed_loads_ = 0;
}

Task<> Copies::keep_fresh() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto begun = now();
    for (auto& [tenant, used] : copies_.to_renew(BootClock::now())) {
      if (waiting_.insert(tenant).second) to_renew_.emplace_back(tenant, std::move(used));
    }
    start_lanes();
    if (const auto next = begun + guard::kSyncPause; now() < next) co_await sleep_for(next - now());
  }
  co_return Result<void>{};
}

void Copies::start_lanes() {
  // One for each that waits: a lane that is there already may be held up by a tenant whose answer is slow.
  for (auto left = to_renew_.size(); left > 0 && lanes_ < kLanes; --left) {
    ++lanes_;
    if (environment_.tasks.spawn(run_lane())) continue;
    --lanes_;
    break;
  }
}

Task<> Copies::run_lane() {
  while (!to_renew_.empty()) {
    auto next = std::move(to_renew_.front());
    to_renew_.pop_front();
    co_await contain(renew(next.first, std::move(next.second)));
    waiting_.erase(next.first);
  }
  --lanes_;
  co_return Result<void>{};
}

Task<> Copies::renew(TenantId tenant, std::vector<guard::ConsentCopies::Renewal> used) {
  std::vector<std::string> names;
  const auto asked_at = BootClock::now();
  for (auto& one : used) {
    names.push_back(one.mate.str());
    guard::ConsentCopies::ask(one, asked_at);
  }
  CO_TRY(const auto epochs, co_await store_.mate_epochs(tenant, names, now() + kRenewTimeout));
  const auto answered_at = environment_.clock.instant();
  truth_.hear(epochs.at, answered_at.boot);
  for (std::size_t i = 0; i < used.size(); ++i) {
    const auto found = epochs.by_mate.find(names[i]);
    const auto epoch = found == epochs.by_mate.end() ? 0 : found->second;
    if (!guard::ConsentCopies::renew(used[i], epoch, epochs.at, answered_at))
      // Not waited for: one Mate whose answer is lost must not let the leases of the others run out.
      static_cast<void>(environment_.tasks.spawn(load(tenant, used[i].mate, used[i].load.copy)));
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
