// The health of replication slots: a slot that nobody reads fills the disk, or loses what it stands for.
#pragma once
#include <map>

#include "contract/operations/cdc.hpp"
#include "platform/environment.hpp"

namespace intra365::services::events {

/// Where the database sets no limit (max_slot_wal_keep_size), a slot that keeps more than this raises the
/// alarm: nothing but a full disk would end it.
inline constexpr std::int64_t kAlarmBytes = 8LL << 30;

/// Every slot of the database but temporary ones, the one that keeps the most first. `alarm_bytes`: as
/// `kAlarmBytes`.
Task<std::vector<cdc::SlotHealth>> look_at_slots(postgres::Pool& database, std::int64_t alarm_bytes,
                                                 SteadyTime deadline);

/// Owned by one shard; not thread-safe.
class Slots {
 public:
  explicit Slots(platform::Environment& environment);

  Task<std::vector<cdc::SlotHealth>> look(SteadyTime deadline);
  /// Looks every few seconds until it is cancelled: metrics, and a log line when an alarm begins or ends.
  Task<> watch();

 private:
  void tell(const std::vector<cdc::SlotHealth>& slots);

  platform::Environment& environment_;
  std::map<std::string, std::string> alarms_;  ///< by slot, as they were told
  prometheus::Gauge& retained_;
  prometheus::Gauge& alarmed_;
};

}  // namespace intra365::services::events
