// The health of replication slots: a slot that nobody reads fills the disk, or loses what it stands for.
#pragma once
#include <map>

#include "contract/operations/cdc.hpp"
#include "platform/environment.hpp"

namespace intra365::services::events {

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
