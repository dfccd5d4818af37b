#include "services/consent/cache_repair.hpp"

#include <prometheus/counter.h>

#include <algorithm>
#include <unordered_map>

#include "contract/errors.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using postgres::Query;

constexpr int kPage = 500;
/// Changes are in the bucket within milliseconds of their commit; what differs for longer is a difference.
constexpr auto kSettle = std::chrono::milliseconds(500);
constexpr auto kPause = std::chrono::minutes(10);
constexpr auto kTurn = std::chrono::seconds(10);
/// A comparison that has not said for so long that it is at it has died.
constexpr auto kDead = std::chrono::seconds(30);
/// Stands in the bucket once every tenant was tried: where it is missing, the bucket is new or was emptied.
constexpr std::string_view kCompared = "compared";
constexpr auto kQueryTime = std::chrono::seconds(5);
constexpr auto kRoundTime = std::chrono::minutes(30);

constexpr Query consent_cache_turn{
    "consent_cache_turn",
    "update intra365.consent_cache_rounds set started_at = now(), alive_at = now(), finished_at = null"
    " where started_at < now() - make_interval(secs => $1)"
    " or ($2 and (finished_at is not null or alive_at < now() - make_interval(secs => $3))) returning id"};
constexpr Query consent_cache_alive{"consent_cache_alive",
                                    "update intra365.consent_cache_rounds set alive_at = now()"};
constexpr Query consent_cache_found{
    "consent_cache_found",
    "update intra365.consent_cache_rounds set finished_at = now(), checked = $1, missing = $2, altered = $3,"
    " unknown = $4"};
constexpr Query consent_cache_alarm{"consent_cache_alarm",
                                    "insert into intra365.system_events (event_id, type, source, details) "
                                    "values ($1, 'consent.cache_differed',"
                                    " 'consent', $2::jsonb)"};
constexpr Query consent_tenants{"consent_tenants", "select * from intra365.tenants_with_consents($1, $2)"};

struct TenantRow {
  TenantId tenant_id;
};
BOOST_DESCRIBE_STRUCT(TenantRow, (), (tenant_id))

SteadyTime in(std::chrono::steady_clock::duration time) {
  return std::chrono::steady_clock::now() + time;
}

std::uint64_t differences(const wire::ReconcileReply& findings) {
  return findings.missing + findings.altered + findings.unknown;
}

}  // namespace

CacheRepair::CacheRepair(platform::Environment& environment, Store& store, Cache& cache)
    : environment_(environment),
      store_(store),
      cache_(cache),
      bucket_(environment.jetstream, std::string(Cache::bucket)),
      missing_(environment.telemetry.metrics.counter("consent_cache_missing_total",
                                                     "Consents that were not in their cache, and put there")),
      altered_(environment.telemetry.metrics.counter("consent_cache_altered_total",
                                                     "Consents whose cache said something else")),
      unknown_(environment.telemetry.metrics.counter("consent_cache_unknown_total",
                                                     "Entries of the consent cache that nobody had decided")),
      rounds_(environment.telemetry.metrics.counter("consent_cache_rounds_total",
                                                    "Comparisons of the consent cache with the truth")) {}

Result<void> CacheRepair::start() {
  return environment_.tasks.spawn(keep_comparing());
}

Task<> CacheRepair::keep_comparing() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const postgres::Scope platform_wide;
    co_await contain(cache_.make_bucket());  // perhaps somebody deleted it
    const auto compared = co_await contain(bucket_.get(kCompared));
    auto parameters = postgres::bind(static_cast<int>(std::chrono::seconds(kPause).count()),
                                     compared && !*compared, static_cast<int>(kDead.count()));
    const auto turn = co_await environment_.database.query(platform_wide, consent_cache_turn,
                                                           std::move(parameters), in(kQueryTime));
    if (turn && turn->size() > 0) {
      const auto findings = co_await contain(compare_all());
      if (!findings)
        environment_.telemetry.log.write(
            platform::LogLevel::warning, "the consent cache was not compared",
            {{"code", findings.error().code}, {"detail", findings.error().detail}});
    }
    co_await sleep_for(kTurn);
  }
  co_return Result<void>{};
}

Task<CacheRepair::Findings> CacheRepair::compare_all() {
  const postgres::Scope platform_wide;
  Findings all;
  std::string after;
  while (true) {
    auto page = postgres::bind(after, kPage);
    CO_TRY(const auto rows, co_await environment_.database.query(platform_wide, consent_tenants,
                                                                 std::move(page), in(kQueryTime)));
    CO_TRY(const auto tenants, rows.as<TenantRow>());
    for (const auto& row : tenants) {
      Findings findings;
      if (const auto compared = co_await contain(compare(row.tenant_id, findings, in(kRoundTime)));
          !compared) {
        // The others must not suffer for it.
        environment_.telemetry.log.write(platform::LogLevel::warning, "the consent cache was not compared",
                                         {{"tenant", row.tenant_id.str()},
                                          {"code", compared.error().code},
                                          {"detail", compared.error().detail}});
      }
      all.checked += findings.checked;
      all.missing += findings.missing;
      all.altered += findings.altered;
      all.unknown += findings.unknown;
    }
    if (tenants.size() < static_cast<std::size_t>(kPage)) break;
    after = tenants.back().tenant_id.str();
  }
  auto found = postgres::bind(all.checked, all.missing, all.altered, all.unknown);
  CO_CHECK(co_await environment_.database.query(platform_wide, consent_cache_found, std::move(found),
                                                in(kQueryTime)));
  CO_CHECK(co_await bucket_.put(kCompared, format_rfc3339(environment_.clock.now())));
  co_return all;
}

Task<wire::ReconcileReply> CacheRepair::reconcile(const platform::Caller& caller, const Empty&) {
  Findings findings;
  // The answer needs a moment of its own.
  CO_CHECK(co_await compare(caller.tenant, findings, caller.deadline - std::chrono::seconds(1)));
  co_return findings;
}

Task<wire::CacheReply> CacheRepair::cache(const platform::Caller& caller, const wire::CacheRequest& request) {
  View whose;
  whose.user_id = request.user_id.str();
  Page page;
  page.limit = kPage;
  wire::CacheReply reply;
  std::uint64_t position = 0;
  while (true) {
    CO_TRY(auto records, co_await store_.query(caller.tenant, whose, std::nullopt, page, caller.deadline));
    CO_CHECK(co_await store_.make_effective(caller.tenant, records, caller.deadline));
    for (const auto& record : records) position = cache_.put(caller.tenant, record);
    reply.records += records.size();
    if (records.size() < static_cast<std::size_t>(kPage)) break;
    page.after = records.back().consent_id.str();
  }
  CO_TRY(const bool written, co_await cache_.written(position, caller.deadline));
  if (!written) co_return fail(intra365::errors::deadline, "the consent cache is behind");
  co_return reply;
}

Task<> CacheRepair::compare(TenantId tenant, Findings& findings, SteadyTime deadline) {
  const auto began = std::chrono::steady_clock::now();
  const auto compared = co_await contain(compare_both(tenant, findings, deadline));
  // What was put right before something failed is told all the same.
  findings.took_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  rounds_.Increment();
  missing_.Increment(static_cast<double>(findings.missing));
  altered_.Increment(static_cast<double>(findings.altered));
  unknown_.Increment(static_cast<double>(findings.unknown));
  if (differences(findings) > 0) CO_CHECK(co_await alarm(tenant, findings));
  co_return compared;
}

Task<> CacheRepair::compare_both(TenantId tenant, Findings& findings, SteadyTime deadline) {
  CO_CHECK(co_await cache_.make_bucket());  // perhaps somebody deleted it
  // What stands there and should not comes first: it is what might be taken for a permission.
  CO_CHECK(co_await compare_entries(tenant, findings, deadline));
  co_return co_await compare_records(tenant, findings, deadline);
}

Task<> CacheRepair::say_alive() {
  const postgres::Scope platform_wide;
  CO_CHECK(co_await environment_.database.query(platform_wide, consent_cache_alive, postgres::bind(),
                                                in(kQueryTime)));
  co_return Result<void>{};
}

Task<> CacheRepair::compare_records(TenantId tenant, Findings& findings, SteadyTime deadline) {
  Page page;
  page.limit = kPage;
  while (true) {
    if (std::chrono::steady_clock::now() >= deadline) {
      findings.complete = false;
      break;
    }
    CO_CHECK(co_await say_alive());
    const View everything;
    CO_TRY(auto records, co_await store_.query(tenant, everything, std::nullopt, page, in(kQueryTime)));
    CO_CHECK(co_await store_.make_effective(tenant, records, in(kQueryTime)));
    std::vector<std::string> keys;
    for (const auto& record : records) keys.push_back(Cache::key_of(tenant, record.consent_id));
    CO_TRY(auto listed, co_await bucket_.get_all(keys));
    std::unordered_map<std::string, std::string> entries;
    for (auto& one : listed) {
      if (!one.deleted) entries[one.key] = std::move(one.value);
    }
    std::vector<ConsentId> suspects;
    for (const auto& record : records) {
      const auto entry = entries.find(Cache::key_of(tenant, record.consent_id));
      if (entry == entries.end() || entry->second != Cache::text_of(record))
        suspects.push_back(record.consent_id);
    }
    findings.checked += records.size();
    CO_CHECK(co_await put_right(tenant, std::move(suspects), findings, deadline));
    if (records.size() < static_cast<std::size_t>(kPage)) break;
    page.after = records.back().consent_id.str();
  }
  co_return Result<void>{};
}

Task<> CacheRepair::compare_entries(TenantId tenant, Findings& findings, SteadyTime deadline) {
  nats::KeyWatchOptions options;
  options.keys = {tenant.str() + ".>"};
  options.ignore_deletes = true;
  options.headers_only = true;
  CO_TRY(auto watcher, co_await bucket_.watch(std::move(options)));
  bool more = true;
  while (more) {
    std::vector<ConsentId> ids;
    std::vector<std::string> strangers;  // keys that no consent can have
    while (ids.size() < static_cast<std::size_t>(kPage)) {
      if (std::chrono::steady_clock::now() >= deadline) {
        findings.complete = false;
        co_return Result<void>{};
      }
      CO_TRY(const auto entry, co_await watcher.next(deadline));
      more = entry.has_value();
      if (!more) break;
      const auto id = ConsentId::parse(std::string_view(entry->key).substr(tenant.str().size() + 1));
      if (id)
        ids.push_back(*id);
      else
        strangers.push_back(entry->key);
    }
    for (const auto& key : strangers) {
      CO_CHECK(co_await bucket_.purge(key));
      ++findings.unknown;
    }
    findings.checked += ids.size() + strangers.size();
    CO_CHECK(co_await say_alive());
    std::vector<ConsentId> suspects;
    CO_TRY(const auto known, co_await store_.which_exist(tenant, ids, in(kQueryTime)));
    for (const auto& id : ids) {
      if (!std::ranges::binary_search(known, id)) suspects.push_back(id);
    }
    CO_CHECK(co_await put_right(tenant, std::move(suspects), findings, deadline));
  }
  co_return Result<void>{};
}

Task<> CacheRepair::put_right(TenantId tenant, std::vector<ConsentId> suspects, Findings& findings,
                              SteadyTime deadline) {
  if (suspects.empty()) co_return Result<void>{};
  co_await sleep_for(kSettle);
  for (const auto& id : suspects) {
    if (std::chrono::steady_clock::now() >= deadline) {
      findings.complete = false;
      break;
    }
    CO_CHECK(co_await put_right_one(tenant, id, findings, deadline));
  }
  co_return Result<void>{};
}

Task<> CacheRepair::put_right_one(TenantId tenant, ConsentId id, Findings& findings, SteadyTime) {
  const auto key = Cache::key_of(tenant, id);
  // The entry first, the record after it: a change between them makes the record newer, never older.
  CO_TRY(const auto entry, co_await bucket_.get(key));
  std::optional<UserId> of_anybody;
  CO_TRY(auto record, co_await store_.get(tenant, of_anybody, id, in(kQueryTime)));
  if (!record) {
    if (!entry) co_return Result<void>{};
    const auto removed = co_await bucket_.remove(key, entry->revision);
    if (!removed && !removed.error().is(nats::errors::wrong_revision)) co_return fail(removed.error());
    if (removed) ++findings.unknown;
    co_return Result<void>{};
  }
  std::vector<wire::Consent> effective;
  effective.push_back(*std::move(record));
  CO_CHECK(co_await store_.make_effective(tenant, effective, in(kQueryTime)));
  const auto text = Cache::text_of(effective.front());
  if (entry && entry->value == text) co_return Result<void>{};
  // A value that was written since has the change that came between, and is compared the next time.
  Result<std::uint64_t> written;
  if (entry)
    written = co_await bucket_.update(key, text, entry->revision);
  else
    written = co_await bucket_.create(key, text);
  if (!written && !written.error().is(nats::errors::wrong_revision)) co_return fail(written.error());
  if (written) ++(entry ? findings.altered : findings.missing);
  co_return Result<void>{};
}

Task<> CacheRepair::alarm(const TenantId& tenant, const Findings& findings) {
  const auto count = [](std::uint64_t number) { return static_cast<std::int64_t>(number); };
  environment_.telemetry.log.write(platform::LogLevel::error, "the consent cache differed from the truth",
                                   {{"tenant", tenant.str()},
                                    {"missing", count(findings.missing)},
                                    {"altered", count(findings.altered)},
                                    {"unknown", count(findings.unknown)}});
  const boost::json::value details = boost::json::object{{"tenant", tenant.str()},
                                                         {"missing", findings.missing},
                                                         {"altered", findings.altered},
                                                         {"unknown", findings.unknown}};
  const postgres::Scope platform_wide;
  auto parameters = postgres::bind(new_uuid(), details);
  CO_CHECK(co_await environment_.database.query(platform_wide, consent_cache_alarm, std::move(parameters),
                                                in(kQueryTime)));
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
