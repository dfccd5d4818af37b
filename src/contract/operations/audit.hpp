// Operations of the audit trail: append-only entries of every decision, and questions about them.
#pragma once
#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::audit {

using namespace std::chrono_literals;

/// One decision, or several alike ones folded together (`count` above 1). Never carries payloads.
struct Entry {
  std::string entry_id;  ///< UUID v7; the same entry sent twice is stored once
  Timestamp at;
  std::string source;    ///< `platform` or `mate:<id>`: who made the decision and says so
  std::string actor;     ///< `mate:<id>`, `user:<id>`, `service:<name>` or `guest`
  std::string action;    ///< operation name, or `call` / `data.access` for Mate-to-Mate traffic
  std::string resource;  ///< what it was about, e.g. `mate:image-analyzer/image-analysis/analyze-image`
  std::string outcome;   ///< `allowed`, `denied` or `failed`
  std::optional<std::string> code;  ///< error code when not allowed
  std::optional<UserId> user_id;
  std::optional<ConsentId> consent_id;
  std::optional<Purpose> purpose;
  std::vector<Scope> scopes;
  std::optional<std::string> trace_id;
  std::uint64_t count = 1;                  ///< 1 to 1,000,000,000
  std::optional<std::int64_t> duration_us;  ///< 0 to seven days
  static constexpr std::array<std::string_view, 2> optional_fields{"count", "source"};
};
BOOST_DESCRIBE_STRUCT(Entry, (),
                      (entry_id, at, source, actor, action, resource, outcome, code, user_id, consent_id,
                       purpose, scopes, trace_id, count, duration_us))

/// A Mate speaks of its own enforcement: `action` is `call` or `data.access`, `actor` whom it served or
/// refused
/// (`mate:<id>`, `user:<id>` or `guest`), `resource` the Mate itself or what begins with `mate:<its id>/`.
struct AppendRequest {
  std::vector<Entry> entries;  ///< at most 500
};
BOOST_DESCRIBE_STRUCT(AppendRequest, (), (entries))

struct AppendReply {
  std::uint64_t accepted = 0;  ///< durable when the reply arrives
};
BOOST_DESCRIBE_STRUCT(AppendReply, (), (accepted))

struct QueryRequest {
  std::optional<std::string> trace_id;
  std::optional<std::string> actor;
  std::optional<std::string> action;
  std::optional<std::string> outcome;
  std::optional<UserId> user_id;
  /// Words that all stand in action, resource, actor, outcome, code or purpose; `or`, `-not` and "a phrase"
  /// as in a web search.
  std::optional<std::string> text;
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
  std::optional<int> limit;  ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(QueryRequest, (),
                      (trace_id, actor, action, outcome, user_id, text, since, until, limit, cursor))

struct QueryReply {
  std::vector<Entry> entries;  ///< newest first
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(QueryReply, (), (entries, next_cursor))

/// The tenant's entries are one chain of blocks, each with a hash over everything before it.
struct VerifyRequest {
  std::optional<std::int64_t> from_block;  ///< 1 when absent; a reply's `nextBlock` goes on
  std::optional<std::string> head;         ///< a hash noted earlier: the chain must still contain it
};
BOOST_DESCRIBE_STRUCT(VerifyRequest, (), (from_block, head))

struct VerifyProblem {
  std::int64_t block = 0;  ///< 0: of no block
  std::string code;        ///< `block_missing`, `block_altered`, `entries_altered`, `head_altered`,
                           ///< `head_unknown`, `entries_slipped_in`, `redaction_unknown`
  std::string detail;
};
BOOST_DESCRIBE_STRUCT(VerifyProblem, (), (block, code, detail))

struct VerifyReply {
  bool intact = false;  ///< of the blocks looked at
  std::int64_t blocks = 0, entries = 0;
  std::int64_t retired_blocks = 0;         ///< their entries' time was over; only their links were looked at
  std::string head;                        ///< hash of the last block, hex; note it somewhere else
  std::vector<VerifyProblem> problems;     ///< at most 100
  std::optional<std::int64_t> next_block;  ///< there are more blocks
};
BOOST_DESCRIBE_STRUCT(VerifyReply, (), (intact, blocks, entries, retired_blocks, head, problems, next_block))

struct ReportRequest {
  std::optional<std::string> since;  ///< first day, such as 2026-11-01; 30 days ago when absent
  std::optional<std::string> until;  ///< last day; today when absent
};
BOOST_DESCRIBE_STRUCT(ReportRequest, (), (since, until))

/// What was decided on a day (UTC).
struct DayOfDecisions {
  std::string day;
  std::string action, outcome;
  std::int64_t decisions = 0;
  std::optional<std::int64_t> duration_us;  ///< of all of them together
  std::optional<std::int64_t> slowest_us;
};
BOOST_DESCRIBE_STRUCT(DayOfDecisions, (), (day, action, outcome, decisions, duration_us, slowest_us))

struct ReportReply {
  std::vector<DayOfDecisions> days;  ///< newest first, at most 10,000
};
BOOST_DESCRIBE_STRUCT(ReportReply, (), (days))

/// What retention must not remove.
struct Hold {
  std::string hold_id;
  std::optional<UserId> user_id;   ///< one person's entries; else all of the tenant
  std::optional<Timestamp> since;  ///< else from the beginning
  std::optional<Timestamp> until;  ///< else without end
  std::string reason;
  std::string placed_by;
  Timestamp placed_at;
  std::optional<Timestamp> released_at;
};
BOOST_DESCRIBE_STRUCT(Hold, (), (hold_id, user_id, since, until, reason, placed_by, placed_at, released_at))

struct PlaceHoldRequest {
  std::string reason;  ///< 1 to 1000 characters
  std::optional<UserId> user_id;
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
};
BOOST_DESCRIBE_STRUCT(PlaceHoldRequest, (), (reason, user_id, since, until))

struct HoldRequest {
  std::string hold_id;
};
BOOST_DESCRIBE_STRUCT(HoldRequest, (), (hold_id))

struct HoldReply {
  Hold hold;
};
BOOST_DESCRIBE_STRUCT(HoldReply, (), (hold))

struct HoldsReply {
  std::vector<Hold> holds;  ///< newest first, at most 500
};
BOOST_DESCRIBE_STRUCT(HoldsReply, (), (holds))

/// An entry that the database refused, with why: it is not in the trail.
struct SetAside {
  std::string set_aside_id;
  Timestamp at;  ///< when it was set aside
  std::string reason;
  std::string entry;  ///< JSON; the first 2,000 characters
};
BOOST_DESCRIBE_STRUCT(SetAside, (), (set_aside_id, at, reason, entry))

struct SetAsideReply {
  std::vector<SetAside> entries;  ///< oldest first, at most 100
  std::int64_t total = 0;
};
BOOST_DESCRIBE_STRUCT(SetAsideReply, (), (entries, total))

struct RetryRequest {
  std::optional<std::string> set_aside_id;  ///< one of them; else 200, the longest untried first
};
BOOST_DESCRIBE_STRUCT(RetryRequest, (), (set_aside_id))

struct RetryReply {
  std::int64_t stored = 0;  ///< they are in the trail now
  std::int64_t left = 0;    ///< of the tenant, still set aside
};
BOOST_DESCRIBE_STRUCT(RetryReply, (), (stored, left))

inline constexpr auto append = operation<AppendRequest, AppendReply>({
    .subject = "intra365.audit.append",
    .access = Access::mate,
    .deadline = 5000ms,
    .audited = false,
    .summary = "A Mate's enforcement point records its decisions; the reply says they are durable.",
    .example = R"({"entries":[]})",
});
inline constexpr auto query = operation<QueryRequest, QueryReply>({
    .subject = "intra365.audit.query",
    .http = {Method::get, "/v1/audit"},
    .access = Access::anyone,
    .deadline = 2000ms,
    .summary = "Audit entries: the operator sees the tenant's, everybody else what concerns them.",
    .example = R"({"traceId":"4bf92f3577b34da6a3ce929d0e0e4736"})",
});
inline constexpr auto verify = operation<VerifyRequest, VerifyReply>({
    .subject = "intra365.audit.verify",
    .http = {Method::get, "/v1/audit/verify"},
    .access = Access::operator_,
    .deadline = 60'000ms,
    .summary =
        "Computes the tenant's chain of audit entries anew: was anything changed, removed or slipped in?",
    .example = R"({"fromBlock":1})",
});
inline constexpr auto report = operation<ReportRequest, ReportReply>({
    .subject = "intra365.audit.report",
    .http = {Method::get, "/v1/audit/report"},
    .access = Access::operator_,
    .deadline = 5000ms,
    .summary = "How often what was decided, day by day; at most some minutes behind.",
    .example = R"({"since":"2026-11-01"})",
});
inline constexpr auto hold_place = operation<PlaceHoldRequest, HoldReply>({
    .subject = "intra365.audit.hold.place",
    .http = {Method::post, "/v1/audit/holds"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Keeps audit and data-access entries beyond their retention, until the hold is released.",
    .example = R"({"reason":"case 4711","userId":"alice"})",
});
inline constexpr auto hold_release = operation<HoldRequest, HoldReply>({
    .subject = "intra365.audit.hold.release",
    .http = {Method::delete_, "/v1/audit/holds/{holdId}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Ends a legal hold; retention removes what is over its time.",
    .example = R"({"holdId":"h1"})",
});
inline constexpr auto hold_list = operation<Empty, HoldsReply>({
    .subject = "intra365.audit.hold.list",
    .http = {Method::get, "/v1/audit/holds"},
    .access = Access::operator_,
    .summary = "The tenant's legal holds, released ones too.",
    .example = R"({})",
});

inline constexpr auto set_aside_list = operation<Empty, SetAsideReply>({
    .subject = "intra365.audit.set_aside.list",
    .http = {Method::get, "/v1/audit/set-aside"},
    .access = Access::operator_,
    .summary = "The tenant's entries that the database refused: they are kept, but not in the trail.",
    .example = R"({})",
});
inline constexpr auto set_aside_retry = operation<RetryRequest, RetryReply>({
    .subject = "intra365.audit.set_aside.retry",
    .http = {Method::post, "/v1/audit/set-aside/retry"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .deadline = 10'000ms,
    .summary = "Brings entries that were set aside into the trail, once what refused them is mended.",
    .example = R"({})",
});

}  // namespace intra365::audit
