#include "services/consent/copies.hpp"

#include "contract/subjects.hpp"

namespace intra365::services::consent {
namespace {

constexpr std::size_t kPage = 5000;
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
            if (tenant != nullptr && record) return changed(*tenant, *record);
            // Nobody knows what has changed: everything is asked for again.
            for (auto& [id, mates] : copies_) {
              for (auto& [mate, copy] : mates) copy->lease.gap();
            }
          }));
  return environment_.tasks.spawn(keep_fresh());
}

Copies::Fresh Copies::fresh(const TenantId& tenant, const MateId& mate) {
  auto& mates = copies_[tenant];
  if (mates.size() >= kMaxCopies && !mates.contains(mate)) return {};
  auto& copy = mates[mate];
  if (!copy) copy = std::make_shared<Copy>(mate);
  const auto at = now();
  copy->used_at = at;
  if (copy->lease.alive(at))
    return {&copy->consents.index(),
            std::chrono::duration_cast<std::chrono::milliseconds>(at - copy->asked_at)};
  if (!copy->loading && copy->consents.index().size() <= kMaxRecords)
    static_cast<void>(environment_.tasks.spawn(load(tenant, mate, copy)));
  return {};
}

void Copies::changed(const TenantId& tenant, const intra365::consent::Consent& record) {
  const auto mates = copies_.find(tenant);
  if (mates == copies_.end()) return;
  const auto copy = mates->second.find(record.mate_id);
  if (copy == mates->second.end()) return;
  if (copy->second->consents.on_push(record, environment_.clock.now()) == guard::Push::gap)
    copy->second->lease.gap();
}

Task<> Copies::load(TenantId tenant, MateId mate, CopyPointer copy) {
  if (copy->loading) co_return Result<void>{};
  copy->loading = true;
  const auto round = copy->lease.begin(now());
  const auto loaded = co_await contain(load_pages(std::move(tenant), mate, copy, round.asked_at));
  copy->loading = false;
  if (!loaded) {
    environment_.telemetry.log.write(platform::LogLevel::warning, "consents are not loaded",
                                     {{"mate", mate.str()}, {"code", loaded.error().code}});
    co_return fail(loaded.error());
  }
  copy->loaded = true;
  if (copy->lease.end(round)) copy->asked_at = round.asked_at;
  co_return Result<void>{};
}

Task<> Copies::load_pages(TenantId tenant, MateId mate, CopyPointer copy, SteadyTime asked_at) {
  // The epoch is read first: what is read afterwards is at least as new.
  CO_TRY(const auto epoch, co_await store_.mate_epoch(tenant, mate, asked_at + kLoadTimeout));
  for (bool more = true; more;) {
    intra365::consent::SyncReply reply;
    reply.mate_epoch = epoch;
    CO_TRY(reply.consents, co_await store_.all_changed_since(tenant, mate, copy->consents.mate_epoch(),
                                                             static_cast<int>(kPage), now() + kLoadTimeout));
    reply.more = reply.consents.size() == kPage;
    more = copy->consents.on_answer(reply, environment_.clock.now());
  }
  co_return Result<void>{};
}

Task<> Copies::keep_fresh() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto begun = now();
    std::vector<std::pair<TenantId, std::vector<std::pair<MateId, CopyPointer>>>> rounds;
    for (const auto& [tenant, mates] : copies_) {
      std::vector<std::pair<MateId, CopyPointer>> used;
      for (const auto& [mate, copy] : mates) {
        if (copy->loaded && !copy->loading && begun - copy->used_at < kInUse) used.emplace_back(mate, copy);
      }
      if (!used.empty()) rounds.emplace_back(tenant, std::move(used));
    }
    for (auto& [tenant, used] : rounds) co_await contain(renew(tenant, std::move(used)));
    if (const auto next = begun + guard::kSyncPause; now() < next) co_await sleep_for(next - now());
  }
  co_return Result<void>{};
}

Task<> Copies::renew(TenantId tenant, std::vector<std::pair<MateId, CopyPointer>> used) {
  const auto asked_at = now();
  std::vector<std::string> names;
  std::vector<guard::SyncedLease::Round> rounds;
  for (const auto& [mate, copy] : used) {
    names.push_back(mate.str());
    rounds.push_back(copy->lease.begin(asked_at));
  }
  CO_TRY(const auto epochs, co_await store_.mate_epochs(tenant, names, asked_at + kRenewTimeout));
  for (std::size_t i = 0; i < used.size(); ++i) {
    const auto& copy = used[i].second;
    const auto found = epochs.find(names[i]);
    const bool current = (found == epochs.end() ? 0 : found->second) <= copy->consents.mate_epoch();
    if (current && copy->lease.end(rounds[i]))
      copy->asked_at = asked_at;
    else
      CO_CHECK(co_await load(tenant, used[i].first, copy));
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
