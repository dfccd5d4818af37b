#include "services/events/slots.hpp"

#include <prometheus/gauge.h>

namespace intra365::services::events {
namespace {

constexpr auto kEvery = std::chrono::seconds(5);
constexpr auto kQueryTime = std::chrono::seconds(5);

constexpr postgres::Query kLook{"slots_look", R"(
select slot_name as slot, active, retained_bytes, limit_bytes,
       case when wal_status = 'lost' then 'lost'
            when wal_status = 'unreserved' then 'losing'
            when retained_bytes > coalesce(limit_bytes / 2, $1) then 'filling' end as alarm
  from (select slot_name, active, wal_status, limit_bytes,
               greatest(coalesce(pg_wal_lsn_diff(
                 case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
                 restart_lsn), 0), 0)::bigint as retained_bytes
          from pg_replication_slots,
               (select nullif(setting::bigint, -1) * 1024 * 1024 as limit_bytes
                  from pg_settings where name = 'max_slot_wal_keep_size') as configured
         where not temporary) as slots
 order by retained_bytes desc, slot_name)"};

}  // namespace

Slots::Slots(platform::Environment& environment)
    : environment_(environment),
      retained_(environment.telemetry.metrics.gauge(
          "postgres_slot_retained_bytes",
          "Log that the database keeps for the slot that is furthest behind")),
      alarmed_(environment.telemetry.metrics.gauge(
          "postgres_slot_alarms", "Replication slots that fill up, lose their log, or have lost it")) {}

Task<std::vector<cdc::SlotHealth>> look_at_slots(postgres::Pool& database, std::int64_t alarm_bytes,
                                                 SteadyTime deadline) {
  postgres::Scope none;
  auto parameters = postgres::bind(alarm_bytes);
  CO_TRY(const auto rows, co_await database.query(none, kLook, std::move(parameters), deadline));
  co_return rows.as<cdc::SlotHealth>();
}

Task<std::vector<cdc::SlotHealth>> Slots::look(SteadyTime deadline) {
  return look_at_slots(environment_.database, kAlarmBytes, deadline);
}

Task<> Slots::watch() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    // A database that is away is told of by whoever needs it.
    const auto slots = co_await look(std::chrono::steady_clock::now() + kQueryTime);
    if (slots) tell(*slots);
    co_await sleep_for(kEvery);
  }
  co_return Result<void>{};
}

void Slots::tell(const std::vector<cdc::SlotHealth>& slots) {
  std::map<std::string, std::string> now;
  for (const auto& slot : slots) {
    if (slot.alarm) now[slot.slot] = *slot.alarm;
    const auto before = alarms_.find(slot.slot);
    const bool news =
        slot.alarm ? before == alarms_.end() || before->second != *slot.alarm : before != alarms_.end();
    if (!news) continue;
    environment_.telemetry.log.write(slot.alarm ? platform::LogLevel::error : platform::LogLevel::info,
                                     "replication slot",
                                     {{"slot", slot.slot},
                                      {"state", slot.alarm.value_or("well")},
                                      {"active", slot.active},
                                      {"retainedBytes", slot.retained_bytes},
                                      {"limitBytes", slot.limit_bytes.value_or(-1)}});
  }
  alarms_ = std::move(now);
  retained_.Set(slots.empty() ? 0 : static_cast<double>(slots.front().retained_bytes));
  alarmed_.Set(static_cast<double>(alarms_.size()));
}

}  // namespace intra365::services::events
