// How change data capture is doing, and the tenant's rows as they change.
#pragma once
#include <string>
#include <vector>

#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::cdc {

using namespace std::chrono_literals;

/// A replication slot keeps the database's log until its reader has it: change data capture, backups,
/// standbys.
struct SlotHealth {
  std::string slot;
  bool active = false;                      ///< somebody reads it now
  std::int64_t retained_bytes = 0;          ///< of the log, because of this slot
  std::optional<std::int64_t> limit_bytes;  ///< beyond it the database gives the log up; absent: the disk is
  /// `filling` (more than half of the limit, or 8 GB where there is none), `losing` (the limit is passed, the
  /// next checkpoint takes it) or `lost` (what it stood for is gone); absent: well.
  std::optional<std::string> alarm;
};
BOOST_DESCRIBE_STRUCT(SlotHealth, (), (slot, active, retained_bytes, limit_bytes, alarm))

struct StatusReply {
  /// connecting, waiting (another process reads the slot), streaming, copying (tells rows that were there
  /// before), stopped
  std::string state;
  /// The code of what stands in the way now, such as `cdc.stream_full`; absent: nothing. It goes by itself
  /// once the reason has gone; nothing is lost meanwhile.
  std::optional<std::string> alarm;
  std::string confirmed_lsn;  ///< PostgreSQL may forget what is before it
  std::string server_lsn;
  std::int64_t lag_bytes = 0;                                             ///< what PostgreSQL keeps for us
  std::int64_t changes = 0, batches = 0, transactions = 0, restarts = 0;  ///< since this process started
  std::int64_t gaps = 0;            ///< times that changes could never be told; a snapshot followed each
  std::int64_t snapshots = 0;       ///< told to their end
  std::int64_t set_aside = 0;       ///< changes that were larger than a message
  std::int64_t left_out = 0;        ///< changes larger than what may be set aside
  std::int64_t malformed = 0;       ///< events that were none; they are set aside
  std::int64_t schema_changes = 0;  ///< of tables, as the stream told them
  std::vector<SlotHealth> slots;    ///< every slot of the database, the one that keeps the most first
};
BOOST_DESCRIBE_STRUCT(StatusReply, (),
                      (state, alarm, confirmed_lsn, server_lsn, lag_bytes, changes, batches, transactions,
                       restarts, gaps, snapshots, set_aside, left_out, malformed, schema_changes, slots))

struct ChangesRequest {
  std::string table;                  ///< without its schema
  std::optional<std::string> cursor;  ///< of the reply before; absent: from the beginning of what is kept
  std::optional<Timestamp> since;     ///< replays from this time on; instead of a cursor
  std::optional<int> limit;           ///< 1 to 500, 100 when absent
  std::optional<int> wait_ms;         ///< for something new where there is nothing, at most 5000
};
BOOST_DESCRIBE_STRUCT(ChangesRequest, (), (table, cursor, since, limit, wait_ms))

struct ChangesReply {
  /// In the order of the commits, and inside of each as they were made. Each has `id` and `operation`:
  /// `insert`, `update`, `delete` (with `key`, `row`, `old`, `unchanged`, `committedAt`, `xid`), `truncate`;
  /// `gap` and `snapshot.begin`, at which a follower forgets what it knew, `read` (a row that was there) and
  /// `snapshot.end`.
  std::vector<boost::json::value> changes;
  std::string cursor;        ///< goes on behind them
  std::uint64_t behind = 0;  ///< so many more are there now
};
BOOST_DESCRIBE_STRUCT(ChangesReply, (), (changes, cursor, behind))

inline constexpr auto changes = operation<ChangesRequest, ChangesReply>({
    .subject = "intra365.cdc.changes",
    .http = {Method::get, "/v1/changes/{table}"},
    .access = Access::change_reader,
    .deadline = 8000ms,
    .summary = "The tenant's rows of a published table as they changed, each change once and in order.",
    .example = R"({"table":"consent_records","limit":100})",
});
inline constexpr auto status = operation<Empty, StatusReply>({
    .subject = "intra365.cdc.status",
    .http = {Method::get, "/v1/cdc/status"},
    .access = Access::platform_operator,
    .deadline = 500ms,
    .audited = false,
    .summary = "How far the change stream is behind the database.",
    .example = R"({})",
});

}  // namespace intra365::cdc
