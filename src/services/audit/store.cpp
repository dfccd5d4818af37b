#include "services/audit/store.hpp"

namespace intra365::services::audit {
namespace {

using postgres::Query;
using postgres::Scope;

constexpr Query kAppend{
    "audit_append",
    "select intra365.append_audit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"};
constexpr Query kFind{
    "audit_query",
    "select entry_id, at, source, actor, action, resource, outcome, code, user_id, consent_id, purpose, "
    "scopes, trace_id, count, duration_us"
    " from intra365.audit_logs where tenant_id = $1"
    " and ($2::text is null or trace_id = $2) and ($3::text is null or actor = $3) and ($4::text is null or "
    "action = $4)"
    " and ($5::text is null or outcome = $5) and ($6::text is null or user_id = $6)"
    " and ($7::timestamptz is null or at >= $7) and ($8::timestamptz is null or at < $8)"
    " and ($9::text is null or actor = $9 or user_id = $10 or source = $9 or resource = $9 or "
    "starts_with(resource, $9 || '/'))"
    " and ($11::timestamptz is null or (at, entry_id) < ($11, $12))"
    " and ($13::text is null or intra365.audit_words(action, resource, actor, outcome, code, purpose) @@ "
    "websearch_to_tsquery('pg_catalog.simple', translate(regexp_replace($13, '([[:alnum:]])[-_]', '\\1 ', "
    "'g'), ':/.', '   ')))"
    " order by at desc, entry_id desc limit $14"};
constexpr platform::Read kFindRead{kFind, std::chrono::seconds(2)};
// A block whose entries' time is over has links only. The hash in front of the page's first block comes
// along.
constexpr Query kCheck{"audit_check", R"(
with page as (
  select b.*, lag(b.hash) over (order by b.block) as before, lag(b.block) over (order by b.block) as block_before,
         sum(b.entries) over (order by b.block) as upto
    from intra365.audit_blocks b where b.tenant_id = $1 and b.block >= $2 - 1 order by b.block limit 5001
), chosen as (
  select *, first_at < (select retired_until from intra365.partition_policies where table_name = 'audit_logs') as retired
    from page where block >= $2 and (upto - entries <= $3 or block = $2)
), found as (
  select a.batch, count(*) as entries,
         sha256(string_agg(intra365.audit_recorded_digest(a), ''::bytea order by a.at, a.entry_id)) as digest
    from intra365.audit_logs a
   where a.tenant_id = $1 and a.batch between (select min(batch) from chosen) and (select max(batch) from chosen)
   group by a.batch
)
select c.block, c.entries, encode(c.hash, 'hex') as hash, c.retired,
       case when c.block > 1 and c.block_before is distinct from c.block - 1 then 'block_missing'
            when c.hash <> intra365.audit_block_hash(coalesce(c.before, ''), c.block, c.entries, c.digest) then 'block_altered'
            when not c.retired and (f.entries is distinct from c.entries or f.digest is distinct from c.digest) then 'entries_altered'
       end as problem
  from chosen c left join found f using (batch) order by c.block)"};
constexpr Query kHead{
    "audit_head",
    "select block, 0 as entries, encode(hash, 'hex') as hash, false as retired, null as problem "
    "from intra365.audit_heads where tenant_id = $1"};
constexpr Query kKnowsHash{"audit_knows_hash",
                           "select exists (select from intra365.audit_blocks where tenant_id = $1 and hash = "
                           "$2) as known"};
// Of the time from where the blocks before the page end to where those of the page end: the pages' times
// meet, so that together they are all of time, and each entry is read about once. Blocks come nearly in the
// order of their time; the latest of a thousand neighbours says how far they have come, however late some
// entries were. A block whose entries' time is over vouches for none but those of its own time.
constexpr Query kOutside{"audit_outside_chain", R"(
with page as (
  select coalesce((select max(last_at) from intra365.audit_blocks where tenant_id = $1 and block between $2 - 1000 and $2 - 1),
                  '-infinity') as after,
         coalesce((select max(last_at) from intra365.audit_blocks where tenant_id = $1 and block between $3 - 999 and $3),
                  'infinity') as upto
), found as (
  select a.batch, count(*) as entries, min(a.at) as first_at, max(a.at) as last_at from intra365.audit_logs a
   where a.tenant_id = $1 and a.at >= (select after from page) and a.at <= (select upto from page)
   group by a.batch
)
select coalesce(sum(f.entries), 0)::bigint as entries
  from found f left join lateral (
    select true as vouches from intra365.audit_blocks b where b.tenant_id = $1 and b.batch = f.batch
       and (b.first_at >= (select retired_until from intra365.partition_policies where table_name = 'audit_logs')
            or (f.first_at >= b.first_at and f.last_at <= b.last_at)) limit 1) as block on true
 where block.vouches is null)"};

constexpr Query kUnknownRedactions{"audit_unknown_redactions",
                                   "select intra365.unknown_redactions($1) as entries"};

#define HOLD_COLUMNS                                                                                 \
  "hold_id, user_id, nullif(from_at, '-infinity') as since, nullif(until_at, 'infinity') as until, " \
  "reason, placed_by, placed_at, released_at"
constexpr Query kPlaceHold{
    "audit_hold_place",
    "insert into intra365.legal_holds (tenant_id, hold_id, user_id, from_at, until_at, "
    "reason, placed_by) values ($1, $2, $3, coalesce($4, '-infinity'::timestamptz), "
    "coalesce($5, 'infinity'::timestamptz), $6, $7) returning " HOLD_COLUMNS};
constexpr Query kReleaseHold{
    "audit_hold_release",
    "update intra365.legal_holds set released_at = now(), released_by = $3 where "
    "tenant_id = $1 and hold_id = $2 and released_at is null returning " HOLD_COLUMNS};
constexpr Query kHolds{"audit_hold_list", "select " HOLD_COLUMNS
                                          " from intra365.legal_holds where tenant_id = $1 order by "
                                          "placed_at desc limit 500"};
#undef HOLD_COLUMNS
constexpr Query kReport{"audit_report",
                        "select day::text, action, outcome, decisions, duration_us, slowest_us from "
                        "intra365.own_decisions_by_day where day >= coalesce($1::date, (now() at time zone "
                        "'utc')::date - 30) and day <= coalesce($2::date, 'infinity') order by day desc, "
                        "decisions desc limit 10000"};
constexpr platform::Read kReportRead{kReport, std::chrono::seconds(5)};
constexpr Query kRefresh{"refresh_reports", "select intra365.refresh_reports()"};
constexpr Query kMaintain{"partition_step", "select action, partition_name from intra365.partition_step($1)"};

struct Known {
  bool known = false;
};
BOOST_DESCRIBE_STRUCT(Known, (), (known))
struct Count {
  std::int64_t entries = 0;
};
BOOST_DESCRIBE_STRUCT(Count, (), (entries))
/// The text of one column of an append.
template <class Value>
auto column(const std::vector<platform::AuditRecord>& records, Value value) {
  std::vector<std::decay_t<std::invoke_result_t<Value, const platform::AuditRecord&>>> values;
  values.reserve(records.size());
  for (const auto& record : records) values.push_back(value(record));
  return values;
}

template <class Id>
std::optional<std::string> text_of(const std::optional<Id>& id) {
  return id ? std::optional(id->str()) : std::nullopt;
}

}  // namespace

Task<> Store::append(const std::vector<platform::AuditRecord>& records, SteadyTime deadline) {
  if (records.empty()) co_return Result<void>{};
  using Record = platform::AuditRecord;
  auto parameters = postgres::bind(
      column(records, [](const Record& r) { return r.tenant.str(); }),
      column(records, [](const Record& r) { return r.entry.entry_id; }),
      column(records, [](const Record& r) { return r.entry.at; }),
      column(records, [](const Record& r) { return r.entry.source; }),
      column(records, [](const Record& r) { return r.entry.actor; }),
      column(records, [](const Record& r) { return r.entry.action; }),
      column(records, [](const Record& r) { return r.entry.resource; }),
      column(records, [](const Record& r) { return r.entry.outcome; }),
      column(records, [](const Record& r) { return r.entry.code; }),
      column(records, [](const Record& r) { return text_of(r.entry.user_id); }),
      column(records, [](const Record& r) { return text_of(r.entry.consent_id); }),
      column(records, [](const Record& r) { return text_of(r.entry.purpose); }),
      column(records, [](const Record& r) { return *postgres::detail::write(r.entry.scopes); }),
      column(records, [](const Record& r) { return r.entry.trace_id; }),
      column(records, [](const Record& r) { return static_cast<std::int64_t>(r.entry.count); }),
      column(records, [](const Record& r) { return r.entry.duration_us; }));
  Scope every_tenant;
  CO_CHECK(co_await database_.query(every_tenant, kAppend, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::vector<wire::Entry>> Store::find(TenantId tenant, wire::QueryRequest request, Reader reader,
                                           Cursor cursor, int limit, std::optional<SteadyTime> changed_at,
                                           SteadyTime deadline) {
  auto parameters = postgres::bind(tenant, request.trace_id, request.actor, request.action, request.outcome,
                                   request.user_id, request.since, request.until, reader.subject,
                                   reader.user_id, cursor.at, cursor.entry_id, request.text, limit);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await reads_->query(scope, kFindRead, std::move(parameters), changed_at, deadline));
  co_return rows.as<wire::Entry>();
}

Task<std::vector<CheckedBlock>> Store::check(TenantId tenant, std::int64_t from, SteadyTime deadline) {
  auto parameters = postgres::bind(tenant, from, entries_per_check);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kCheck, std::move(parameters), deadline));
  co_return rows.as<CheckedBlock>();
}

Task<std::optional<CheckedBlock>> Store::head(TenantId tenant, SteadyTime deadline) {
  auto parameters = postgres::bind(tenant);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kHead, std::move(parameters), deadline));
  co_return rows.as_optional<CheckedBlock>();
}

Task<bool> Store::knows_hash(TenantId tenant, std::string hash, SteadyTime deadline) {
  auto parameters = postgres::bind(tenant, postgres::Bytes{std::move(hash)});
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kKnowsHash, std::move(parameters), deadline));
  CO_TRY(const auto known, rows.as<Known>());
  co_return !known.empty() && known.front().known;
}

Task<std::int64_t> Store::outside_chain(TenantId tenant, std::int64_t from, std::optional<std::int64_t> to,
                                        SteadyTime deadline) {
  auto parameters = postgres::bind(tenant, from, to);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kOutside, std::move(parameters), deadline));
  CO_TRY(const auto counts, rows.as<Count>());
  co_return counts.empty() ? 0 : counts.front().entries;
}

Task<std::int64_t> Store::unknown_redactions(TenantId tenant, SteadyTime deadline) {
  auto parameters = postgres::bind(tenant);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, kUnknownRedactions, std::move(parameters), deadline));
  CO_TRY(const auto counts, rows.as<Count>());
  co_return counts.empty() ? 0 : counts.front().entries;
}

Task<wire::Hold> Store::place_hold(TenantId tenant, wire::PlaceHoldRequest request, std::string by,
                                   SteadyTime deadline) {
  auto parameters =
      postgres::bind(tenant, new_uuid(), request.user_id, request.since, request.until, request.reason, by);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kPlaceHold, std::move(parameters), deadline));
  CO_TRY(auto holds, rows.as<wire::Hold>());
  co_return std::move(holds.front());
}

Task<std::optional<wire::Hold>> Store::release_hold(TenantId tenant, std::string hold_id, std::string by,
                                                    SteadyTime deadline) {
  auto parameters = postgres::bind(tenant, hold_id, by);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kReleaseHold, std::move(parameters), deadline));
  co_return rows.as_optional<wire::Hold>();
}

Task<std::vector<wire::Hold>> Store::holds(TenantId tenant, SteadyTime deadline) {
  auto parameters = postgres::bind(tenant);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, kHolds, std::move(parameters), deadline));
  co_return rows.as<wire::Hold>();
}

Task<std::vector<wire::DayOfDecisions>> Store::report(TenantId tenant, std::optional<std::string> since,
                                                      std::optional<std::string> until,
                                                      std::optional<SteadyTime> changed_at,
                                                      SteadyTime deadline) {
  auto parameters = postgres::bind(since, until);
  Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await reads_->query(scope, kReportRead, std::move(parameters), changed_at, deadline));
  co_return rows.as<wire::DayOfDecisions>();
}

Task<> Store::refresh_reports(SteadyTime deadline) {
  Scope every_tenant;
  CO_CHECK(co_await database_.query(every_tenant, kRefresh, {}, deadline));
  co_return Result<void>{};
}

Task<std::optional<PartitionStep>> Store::maintain(std::vector<std::string> skip, SteadyTime deadline) {
  auto parameters = postgres::bind(skip);
  Scope every_tenant;
  CO_TRY(const auto rows, co_await database_.query(every_tenant, kMaintain, std::move(parameters), deadline));
  co_return rows.as_optional<PartitionStep>();
}

}  // namespace intra365::services::audit
