#include "services/consent/spread.hpp"

#include <algorithm>

#include "contract/subjects.hpp"
#include "guard/lease.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;

constexpr auto kReadTime = std::chrono::milliseconds(500), kCacheTime = std::chrono::milliseconds(500);
constexpr auto kRetry = std::chrono::milliseconds(200);
constexpr int kMostTries = 25;

SteadyTime in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

bool is_delegated(const wire::Consent& record) {
  return record.parent_id.has_value();
}

/// Takes what hangs on others out of `records`.
Records take_delegated(Records& records) {
  const auto first = std::stable_partition(records.begin(), records.end(),
                                           [](const auto& one) { return !is_delegated(one); });
  Records delegated(std::make_move_iterator(first), std::make_move_iterator(records.end()));
  records.erase(first, records.end());
  return delegated;
}

}  // namespace

asio::awaitable<std::vector<Result<Told>>> Spread::tell(TenantId tenant, std::vector<Changed> changes) {
  // One question for all that hangs on others; what hangs on nothing need not wait for its answer.
  const auto account = co_await account_of(tenant);
  std::vector<Told> told(changes.size());
  Records delegated;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    told[i].published = account.has_value();
    told[i].stored = std::move(changes[i].stored);
    auto holding = told[i].stored;
    for (auto& one : take_delegated(holding)) delegated.push_back(std::move(one));
    tell_all(tenant, account, std::move(holding), changes[i].trace_id, told[i]);
  }
  Result<void> effective;
  if (!delegated.empty())
    effective = co_await contain(store_.make_effective(tenant, delegated, in(kReadTime)));

  std::vector<Result<Told>> outcomes;
  auto next = delegated.begin();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto count = std::ranges::count_if(told[i].stored, is_delegated);
    Records own(std::make_move_iterator(next), std::make_move_iterator(next + count));
    next += count;
    if (effective || own.empty()) {
      tell_all(tenant, account, std::move(own), changes[i].trace_id, told[i]);
      outcomes.emplace_back(std::move(told[i]));
    } else {
      outcomes.emplace_back(fail(effective.error()));
      static_cast<void>(
          environment_.tasks.spawn(tell_later(tenant, std::move(own), std::move(changes[i].trace_id))));
    }
  }
  co_return outcomes;
}

Task<> Spread::tell_later(TenantId tenant, Records delegated, std::string trace_id) {
  for (int n = 0; n < kMostTries; ++n) {
    co_await sleep_for(kRetry);
    auto holding = delegated;
    if (!co_await contain(store_.make_effective(tenant, holding, in(kReadTime)))) continue;
    const auto account = co_await account_of(tenant);
    Told told;
    tell_all(tenant, account, std::move(holding), trace_id, told);
    co_return Result<void>{};
  }
  environment_.telemetry.log.write(platform::LogLevel::warning, "consent change is spread by sync only",
                                   {{"traceId", trace_id}});
  co_return Result<void>{};
}

asio::awaitable<Spread::Account> Spread::account_of(TenantId tenant) {
  co_return co_await contain(environment_.tenants.account_of(std::move(tenant), in(kReadTime)));
}

void Spread::tell_all(const TenantId& tenant, const Account& account, Records holding,
                      const std::string& trace_id, Told& told) {
  for (auto& record : holding) {
    copies_.changed(tenant, record);
    renewals_.changed(record);
    told.cached = cache_.put(tenant, record);
    bool published = false;
    if (account) {
      auto slim = record;
      slim.metadata = nullptr;  // evidence is not for enforcement points
      const auto subject = subjects::in_account(*account, subjects::guard_consent(record.mate_id));
      published = environment_.nats.publish(subject, json::encode(slim)).has_value();
    }
    if (published) {
      propagation_.told(tenant, record);
    } else {
      told.published = false;
      environment_.telemetry.log.write(platform::LogLevel::warning, "consent change is spread by sync only",
                                       {{"traceId", trace_id}});
    }
    told.holding.push_back(std::move(record));
  }
}

Task<wire::Propagation> Spread::reached(bool published, std::uint64_t cached) {
  wire::Propagation propagation;
  propagation.committed = true;
  propagation.published = published;
  propagation.bound_ms = guard::kLeaseDuration.count();
  CO_TRY(propagation.cached, co_await cache_.written(cached, in(kCacheTime)));
  co_return propagation;
}

}  // namespace intra365::services::consent
