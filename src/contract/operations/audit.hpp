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
  std::uint64_t count = 1;
  std::optional<std::int64_t> duration_us;
  static constexpr std::array<std::string_view, 2> optional_fields{"count", "source"};
};
BOOST_DESCRIBE_STRUCT(Entry, (),
                      (entry_id, at, source, actor, action, resource, outcome, code, user_id, consent_id,
                       purpose, scopes, trace_id, count, duration_us))

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
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
  std::optional<int> limit;  ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(QueryRequest, (),
                      (trace_id, actor, action, outcome, user_id, since, until, limit, cursor))

struct QueryReply {
  std::vector<Entry> entries;  ///< newest first
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(QueryReply, (), (entries, next_cursor))

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

}  // namespace intra365::audit
