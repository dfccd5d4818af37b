#include "services/privacy/sealing.hpp"

namespace intra365::services::privacy {
namespace {

using platform::SealedColumn;
using platform::Vault;
using postgres::Query;

constexpr auto kPause = std::chrono::seconds(2);
constexpr auto kStepTime = std::chrono::seconds(30);
constexpr int kPage = 200;
constexpr int kMaxCounted = 100'000;

constexpr Query claim_query{"sealing_claim", "select tenant_id from intra365.claim_sealing(20)"};
constexpr Query values_query{"sealing_values",
                             "select key, value from intra365.values_to_seal($1, $2, $3, $4, $5, $6)"};
constexpr Query seal_query{"sealing_seal",
                           "select intra365.seal_value($1, $2, $3, $4, $5, $6, $7::bytea) as yes"};
constexpr Query destroy_query{"sealing_destroy_keys", "select intra365.destroy_keys($1) as count"};
constexpr Query count_query{"sealing_waiting",
                            "select count(*) as count from intra365.values_to_seal($1, $2, $3, $4, '', $5)"};
constexpr Query keys_query{"sealing_keys",
                           "select number, made_at, checked_at, destroyed_at from intra365.tenant_keys where "
                           "tenant_id = $1 and kind = 'seal' order by number desc limit 100"};

struct TenantRow {
  TenantId tenant_id;
};
BOOST_DESCRIBE_STRUCT(TenantRow, (), (tenant_id))
struct ValueRow {
  std::string key, value;
};
BOOST_DESCRIBE_STRUCT(ValueRow, (), (key, value))
struct CountRow {
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(CountRow, (), (count))

SteadyTime in(std::chrono::nanoseconds time) {
  return std::chrono::steady_clock::now() + time;
}

}  // namespace

Task<> Sealing::run(Vault& vault) {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  postgres::Scope platform_wide;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    std::vector<TenantRow> due;
    const auto rows =
        co_await environment_.database.query(platform_wide, claim_query, postgres::bind(), in(kStepTime));
    if (rows) {
      if (auto found = rows->as<TenantRow>()) due = *std::move(found);
    }
    for (const auto& row : due) {
      const auto done = co_await contain(look_through(vault, row.tenant_id));
      if (!done) {
        environment_.telemetry.log.write(platform::LogLevel::warning, "values wait for their seal",
                                         {{"tenant", row.tenant_id.str()}, {"code", done.error().code}});
      }
    }
    if (due.empty()) co_await sleep_for(kPause);
  }
  co_return Result<void>{};
}

Task<> Sealing::look_through(Vault& vault, TenantId tenant) {
  CO_TRY(const auto prefix, co_await vault.newest_prefix(tenant, in(kStepTime)));
  for (const auto* column : platform::sealed::all)
    CO_CHECK(co_await seal_column(vault, tenant, *column, prefix));
  postgres::Scope scope{tenant.str()};
  CO_CHECK(co_await environment_.database.query(scope, destroy_query, postgres::bind(tenant), in(kStepTime)));
  co_return Result<void>{};
}

/// A value that the tenant's keys do not open stays as it is, and the tenant's old keys with it.
Task<> Sealing::seal_column(Vault& vault, TenantId tenant, const SealedColumn& column, std::string prefix) {
  const std::string table(column.table), name(column.column);
  postgres::Scope scope{tenant.str()};
  std::string after;
  bool more = true;
  Result<void> outcome;
  while (more) {
    auto asked = postgres::bind(tenant, table, name, prefix, after, kPage);
    CO_TRY(const auto rows,
           co_await environment_.database.query(scope, values_query, std::move(asked), in(kStepTime)));
    CO_TRY(auto found, rows.as<ValueRow>());
    more = found.size() == kPage;
    std::vector<postgres::Statement> statements;
    for (auto& row : found) {
      after = row.key;
      auto value = row.value;
      std::vector<Vault::Cell> cells;
      cells.emplace_back(column, row.key, value);
      const auto opened = co_await vault.open(tenant, cells, in(kStepTime));
      if (!opened) {
        outcome = opened;
        continue;
      }
      postgres::Bytes index;
      if (column.table == platform::sealed::user_name.table) {
        CO_TRY(index.value, co_await vault.index(tenant, column, value, in(kStepTime)));
      }
      CO_CHECK(co_await vault.seal(tenant, std::move(cells), in(kStepTime)));
      statements.push_back(
          {seal_query, postgres::bind(tenant, table, name, row.key, row.value, value, index)});
    }
    if (!statements.empty())
      CO_CHECK(co_await environment_.database.atomically(scope, std::move(statements), in(kStepTime)));
  }
  co_return outcome;
}

Task<wire::SealingReply> Sealing::state(Vault& vault, TenantId tenant, SteadyTime deadline) {
  CO_TRY(const auto prefix, co_await vault.newest_prefix(tenant, deadline));
  std::vector<postgres::Statement> statements;
  statements.push_back({keys_query, postgres::bind(tenant)});
  for (const auto* column : platform::sealed::all)
    statements.push_back({count_query, postgres::bind(tenant, std::string(column->table),
                                                      std::string(column->column), prefix, kMaxCounted)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results,
         co_await environment_.database.atomically(scope, std::move(statements), deadline));
  wire::SealingReply reply;
  CO_TRY(reply.keys, results.at(0).as<wire::SealingKey>());
  for (std::size_t i = 0; i < std::size(platform::sealed::all); ++i) {
    CO_TRY(const auto counted, results.at(i + 1).as_optional<CountRow>());
    auto& column = reply.columns.emplace_back();
    column.table = platform::sealed::all[i]->table;
    column.column = platform::sealed::all[i]->column;
    column.waiting = counted ? counted->count : 0;
  }
  co_return reply;
}

}  // namespace intra365::services::privacy
