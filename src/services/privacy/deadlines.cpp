#include "services/privacy/deadlines.hpp"

#include <prometheus/gauge.h>

namespace intra365::services::privacy {
namespace {

using postgres::Query;

constexpr auto kEvery = std::chrono::seconds(5);
constexpr auto kQueryTime = std::chrono::seconds(5);
constexpr int kSoonSeconds = 7 * 86'400;
constexpr int kToldAtOnce = 100;
constexpr int kMaxCounted = 100'000;

constexpr Query tell_query{"privacy_tell_due", "select intra365.tell_due_requests($1, $2) as count"};
constexpr Query overdue_query{"privacy_overdue_requests", "select intra365.overdue_requests($1) as count"};

struct CountRow {
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(CountRow, (), (count))

SteadyTime query_deadline() {
  return std::chrono::steady_clock::now() + kQueryTime;
}

}  // namespace

Deadlines::Deadlines(platform::Environment& environment)
    : environment_(environment),
      overdue_(environment.telemetry.metrics.gauge(
          "privacy_requests_overdue",
          "People's requests of all tenants that are open past their deadline, counted to 100,000")) {}

Task<> Deadlines::watch() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto looked = co_await contain(look());
    if (!looked)
      environment_.telemetry.log.write(platform::LogLevel::warning, "deadlines of requests are not told",
                                       {{"code", looked.error().code}});
    co_await sleep_for(kEvery);
  }
  co_return Result<void>{};
}

Task<> Deadlines::look() {
  const postgres::Scope platform_wide;
  for (bool more = true; more;) {
    auto parameters = postgres::bind(kSoonSeconds, kToldAtOnce);
    CO_TRY(const auto rows, co_await environment_.database.query(platform_wide, tell_query,
                                                                 std::move(parameters), query_deadline()));
    CO_TRY(const auto told, rows.as_optional<CountRow>());
    more = told && told->count == kToldAtOnce;
  }
  auto parameters = postgres::bind(kMaxCounted);
  CO_TRY(const auto rows, co_await environment_.database.query(platform_wide, overdue_query,
                                                               std::move(parameters), query_deadline()));
  CO_TRY(const auto overdue, rows.as_optional<CountRow>());
  if (overdue) overdue_.Set(static_cast<double>(overdue->count));
  co_return Result<void>{};
}

}  // namespace intra365::services::privacy
