#include "services/privacy/store.hpp"

namespace intra365::services::privacy {
namespace {

using postgres::Query;

#define REQUEST_COLUMNS                                                                    \
  "request_id, kind, state, user_id, text, received_at, due_at, resolved_at, resolution, " \
  "(state in ('open', 'working') and due_at < now()) as overdue"

constexpr Query personal_tables_query{"privacy_tables",
                                      "select distinct table_name as name from intra365.personal_columns"
                                      " where holds in ('user', 'subject') order by 1"};
constexpr Query rows_query{"privacy_export",
                           "select content, key from intra365.export_person($1, $2, $3, $4::jsonb, $5)"};
constexpr Query evidence_query{
    "privacy_evidence",
    "select distinct consent_id as name from intra365.consent_history where tenant_id = $1"
    " and user_id = $2 and evidence like 'evidence:%' and consent_id > $3 order by 1 limit 100"};
constexpr Query exists_query{
    "privacy_exists",
    "select exists (select from intra365.principals where tenant_id = $1 and principal_id = $2"
    " and kind = 'user') as yes"};
constexpr Query named_query{"privacy_named", "select intra365.is_named($1, $2, $3) as yes"};
constexpr Query held_query{"privacy_held", "select intra365.is_held($1, $2) as yes"};
constexpr Query add_query{
    "privacy_add",
    "insert into intra365.privacy_requests (tenant_id, request_id, kind, state, user_id, text, "
    "received_at, due_at, resolved_at, resolution)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning " REQUEST_COLUMNS};
constexpr Query list_query{"privacy_list",
                           "select " REQUEST_COLUMNS
                           " from intra365.privacy_requests where tenant_id = $1"
                           " and ($2::text is null or user_id = $2)"
                           " and ($3::bool is null or $3 = (state in ('open', 'working')))"
                           " order by state in ('open', 'working') desc, due_at, request_id limit 500"};
constexpr Query overdue_query{
    "privacy_overdue",
    "select count(*) as count from (select from intra365.privacy_requests where tenant_id = $1"
    " and ($2::text is null or user_id = $2) and state in ('open', 'working') and due_at < now()"
    " limit 100000) overdue"};
constexpr Query has_request_query{
    "privacy_has_request",
    "select exists (select from intra365.privacy_requests where tenant_id = $1 and request_id = $2) as yes"};
constexpr Query resolve_query{
    "privacy_resolve",
    "update intra365.privacy_requests set state = $3, resolution = $4, resolved_at = now()"
    " where tenant_id = $1 and request_id = $2 and state = 'open' returning " REQUEST_COLUMNS};
constexpr Query correct_query{
    "privacy_correct",
    "update intra365.users set display_name = case when $3::text is null then display_name else nullif($3, "
    "'') end,"
    " name_index = case when $3::text is null then name_index else $5::bytea end,"
    " country = case when $4::text is null then country else nullif($4, '') end"
    " where tenant_id = $1 and user_id = $2 returning user_id, display_name, country"};
// Groups come in the order of what they have in common, person by person as the index has them, so that a
// page reads the uses of those people only whom it is about.
#define ACCESS_KEY "user_id, actor, resource, consent, about, outcome, recorder, scopes"
#define ACCESS_SELECT                                                                                    \
  "select user_id, actor, resource, nullif(consent, '') as consent_id, nullif(about, '') as purpose,"    \
  " scopes, outcome, nullif(recorder, '') as recorded_by, intra365.clamped(sum(count)) as count,"        \
  " min(at) as first_at, max(at) as last_at from (select user_id, actor, resource, coalesce(consent_id," \
  " '') as consent, coalesce(purpose, '') as about, outcome, coalesce(source, '') as recorder, scopes,"  \
  " count, at from intra365.data_access_logs where tenant_id = $1 and at >= $2 and at < $3"              \
  " and ($4::text is null or actor = 'mate:' || $4 or resource = 'mate:' || $4"                          \
  " or starts_with(resource, 'mate:' || $4 || '/')) and "
#define ACCESS_PAGE                                                                                  \
  ") uses where (" ACCESS_KEY ") > ($5, $6, $7, $8, $9, $10, $11, $12::text[]) group by " ACCESS_KEY \
  " order by " ACCESS_KEY " limit $13"
constexpr Query access_query{"privacy_access", ACCESS_SELECT "user_id = $14" ACCESS_PAGE};
constexpr Query access_of_all_query{"privacy_access_of_all", ACCESS_SELECT "user_id >= $5" ACCESS_PAGE};
#undef ACCESS_PAGE
#undef ACCESS_SELECT
#undef ACCESS_KEY
constexpr Query begin_query{"privacy_begin_erasure",
                            "select intra365.begin_erasure($1, $2, $3, $4, $5, $6) as yes"};
constexpr Query working_query{
    "privacy_working",
    "select request_id, sealed_user from intra365.privacy_requests where tenant_id = $1 and state = 'working'"
    " and kind = 'erasure' and sealed_user is not null order by received_at limit 100"};
constexpr Query claim_query{"privacy_claim", "select * from intra365.claim_erasures(1, $1)"};
constexpr Query erasure_tables_query{
    "privacy_erasure_tables",
    // Consents before what ties them to the person; a row after those that refer to it.
    "select table_name as name from intra365.personal_columns group by 1"
    " having bool_or(holds in ('user', 'subject', 'text', 'mention'))"
    " order by array_position(array['consent_records', null, 'consent_epochs', 'users', 'principals'],"
    " case when table_name in ('consent_records', 'consent_epochs', 'users', 'principals') then table_name "
    "end)"
    ", table_name"};
constexpr Query standing_query{"privacy_standing", "select intra365.has_standing($1, $2) as yes"};
constexpr Query erase_query{"privacy_erase",
                            "select outcome, touched, reached from "
                            "intra365.erase_rows($1, $2, $3, $4, $5, $6::jsonb, $7)"};
constexpr Query report_query{
    "privacy_report",
    "update intra365.privacy_requests set rows_changed = rows_changed + $4, messages = messages + $5,"
    " next_sweep = now() + make_interval(secs => $6), held = $7,"
    " progress = case when not $8 then $9::jsonb end, state = case when $8 then 'done' else state end,"
    " resolved_at = case when $8 then now() end, sealed_user = case when $8 then null else sealed_user end"
    " where tenant_id = $1 and request_id = $2 and claim = $3 and state = 'working' returning request_id as "
    "name"};
constexpr Query progress_query{
    "privacy_progress",
    "select request_id, state, pseudonym, rows_changed as rows, messages, held"
    " from intra365.privacy_requests where tenant_id = $1 and request_id = $2 and kind = "
    "'erasure'"};

struct NameRow {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(NameRow, (), (name))
struct YesRow {
  bool yes = false;
};
BOOST_DESCRIBE_STRUCT(YesRow, (), (yes))

struct CountRow {
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(CountRow, (), (count))

using Cells = std::vector<platform::Vault::Cell>;

/// Whoever sweeps an erasure reports sooner than this, or loses it to another.
constexpr int kClaimSeconds = 120;
/// Rows looked at in one step: what a legal hold may have to wait for.
constexpr int kRowsPerStep = 2000;

/// A value of a row as JSON: what was text becomes text again.
Task<> open_member(platform::Vault& vault, TenantId tenant, const platform::SealedColumn& column,
                   std::string row, boost::json::value& value, SteadyTime deadline) {
  if (column.is_json)
    co_return co_await vault.open(std::move(tenant), column, std::move(row), value, deadline);
  auto text = std::string(value.get_string());
  Cells cells;
  cells.emplace_back(column, std::move(row), text);
  CO_CHECK(co_await vault.open(std::move(tenant), std::move(cells), deadline));
  value = text;
  co_return Result<void>{};
}

void add_cells(Cells& cells, wire::PersonRequest& request) {
  if (request.text) cells.emplace_back(platform::sealed::request_text, request.request_id, *request.text);
  if (request.resolution)
    cells.emplace_back(platform::sealed::request_resolution, request.request_id, *request.resolution);
}

}  // namespace

Task<> Store::open(TenantId tenant, std::vector<wire::PersonRequest>& requests, SteadyTime deadline) {
  Cells cells;
  for (auto& request : requests) add_cells(cells, request);
  co_return co_await vault_->open(std::move(tenant), std::move(cells), deadline);
}

Task<std::vector<std::string>> Store::personal_tables(TenantId tenant, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, personal_tables_query, postgres::bind(), deadline));
  CO_TRY(const auto found, rows.as<NameRow>());
  std::vector<std::string> names;
  for (const auto& row : found) names.push_back(row.name);
  co_return names;
}

Task<std::vector<KeyedRow>> Store::rows_of(TenantId tenant, UserId user, std::string table,
                                           std::optional<boost::json::value> after, int limit,
                                           SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, table, after, limit);
  CO_TRY(const auto rows, co_await database_.query(scope, rows_query, std::move(parameters), deadline));
  CO_TRY(auto found, rows.as<KeyedRow>());
  for (auto& one : found) {
    for (const auto* column : platform::sealed::all) {
      if (column->table != table || !one.content.is_object()) continue;
      auto& members = one.content.get_object();
      auto* value = members.if_contains(column->column);
      const auto* key = members.if_contains(column->key);
      if (value == nullptr || !value->is_string() || key == nullptr || !key->is_string()) continue;
      CO_CHECK(
          co_await open_member(*vault_, tenant, *column, std::string(key->get_string()), *value, deadline));
    }
  }
  co_return found;
}

Task<std::vector<ConsentId>> Store::with_evidence(TenantId tenant, UserId user, std::string after,
                                                  SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, evidence_query, postgres::bind(tenant, user, after), deadline));
  CO_TRY(const auto found, rows.as<NameRow>());
  std::vector<ConsentId> ids;
  for (const auto& row : found) ids.push_back(ConsentId::trusted(row.name));
  co_return ids;
}

Task<bool> Store::exists(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, exists_query, postgres::bind(tenant, user), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return answer && answer->yes;
}

Task<bool> Store::is_named(TenantId tenant, UserId user, Places places, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, places == Places::indexed);
  CO_TRY(const auto rows, co_await database_.query(scope, named_query, std::move(parameters), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return answer && answer->yes;
}

Task<bool> Store::is_held(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, held_query, postgres::bind(tenant, user), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return !answer || answer->yes;
}

Task<wire::PersonRequest> Store::add(TenantId tenant, wire::PersonRequest request, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  Cells cells;
  add_cells(cells, request);
  CO_CHECK(co_await vault_->seal(tenant, std::move(cells), deadline));
  auto parameters =
      postgres::bind(tenant, request.request_id, request.kind, request.state, request.user_id, request.text,
                     request.received_at, request.due_at, request.resolved_at, request.resolution);
  CO_TRY(const auto rows, co_await database_.query(scope, add_query, std::move(parameters), deadline));
  CO_TRY(auto added, rows.as<wire::PersonRequest>());
  CO_CHECK(co_await open(tenant, added, deadline));
  co_return std::move(added.front());
}

Task<std::vector<wire::PersonRequest>> Store::requests(TenantId tenant, std::optional<UserId> user,
                                                       std::optional<bool> open, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, open);
  CO_TRY(const auto rows, co_await database_.query(scope, list_query, std::move(parameters), deadline));
  CO_TRY(auto listed, rows.as<wire::PersonRequest>());
  CO_CHECK(co_await this->open(tenant, listed, deadline));
  co_return listed;
}

Task<std::int64_t> Store::overdue(TenantId tenant, std::optional<UserId> user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user);
  CO_TRY(const auto rows, co_await database_.query(scope, overdue_query, std::move(parameters), deadline));
  CO_TRY(const auto counted, rows.as_optional<CountRow>());
  co_return counted ? counted->count : 0;
}

Task<bool> Store::has_request(TenantId tenant, std::string request_id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, request_id);
  CO_TRY(const auto rows,
         co_await database_.query(scope, has_request_query, std::move(parameters), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return answer && answer->yes;
}

Task<std::optional<wire::PersonRequest>> Store::resolve(TenantId tenant, wire::ResolveRequest request,
                                                        SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  Cells cells;
  cells.emplace_back(platform::sealed::request_resolution, request.request_id, request.resolution);
  CO_CHECK(co_await vault_->seal(tenant, std::move(cells), deadline));
  auto parameters = postgres::bind(tenant, request.request_id, request.state, request.resolution);
  CO_TRY(const auto rows, co_await database_.query(scope, resolve_query, std::move(parameters), deadline));
  CO_TRY(auto resolved, rows.as<wire::PersonRequest>());
  CO_CHECK(co_await open(tenant, resolved, deadline));
  if (resolved.empty()) co_return std::optional<wire::PersonRequest>{};
  co_return std::optional(std::move(resolved.front()));
}

Task<std::optional<wire::CorrectReply>> Store::correct(TenantId tenant, wire::CorrectRequest request,
                                                       SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  std::optional<postgres::Bytes> index;
  if (request.display_name && !request.display_name->empty()) {
    postgres::Bytes digest;
    CO_TRY(digest.value,
           co_await vault_->index(tenant, platform::sealed::user_name, *request.display_name, deadline));
    index = std::move(digest);
    Cells cells;
    cells.emplace_back(platform::sealed::user_name, request.user_id.str(), *request.display_name);
    CO_CHECK(co_await vault_->seal(tenant, std::move(cells), deadline));
  }
  auto parameters = postgres::bind(tenant, request.user_id, request.display_name, request.country, index);
  CO_TRY(const auto rows, co_await database_.query(scope, correct_query, std::move(parameters), deadline));
  CO_TRY(auto corrected, rows.as_optional<wire::CorrectReply>());
  if (corrected && corrected->display_name) {
    Cells cells;
    cells.emplace_back(platform::sealed::user_name, request.user_id.str(), *corrected->display_name);
    CO_CHECK(co_await vault_->open(tenant, std::move(cells), deadline));
  }
  co_return corrected;
}

Task<std::vector<wire::AccessEntry>> Store::accesses(TenantId tenant, std::optional<UserId> user,
                                                     std::optional<MateId> mate, AccessPosition after,
                                                     int limit, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters =
      postgres::bind(tenant, after.since, after.until, mate, after.user_id, after.actor, after.resource,
                     after.consent, after.purpose, after.outcome, after.recorded_by, after.scopes, limit);
  if (user) parameters.add_text(user->str());
  CO_TRY(const auto rows, co_await database_.query(scope, user ? access_query : access_of_all_query,
                                                   std::move(parameters), deadline));
  co_return rows.as<wire::AccessEntry>();
}

Task<bool> Store::begin_erasure(TenantId tenant, std::string request_id, UserId user,
                                postgres::Bytes sealed_user, UserId pseudonym, Timestamp due_at,
                                SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, request_id, user, sealed_user, pseudonym, due_at);
  CO_TRY(const auto rows, co_await database_.query(scope, begin_query, std::move(parameters), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return answer && answer->yes;
}

Task<std::vector<Working>> Store::working(TenantId tenant, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, working_query, postgres::bind(tenant), deadline));
  co_return rows.as<Working>();
}

Task<std::optional<Claimed>> Store::claim(SteadyTime deadline) {
  postgres::Scope platform_wide;
  auto parameters = postgres::bind(kClaimSeconds);
  CO_TRY(const auto rows,
         co_await database_.query(platform_wide, claim_query, std::move(parameters), deadline));
  co_return rows.as_optional<Claimed>();
}

Task<std::vector<std::string>> Store::erasure_tables(SteadyTime deadline) {
  postgres::Scope platform_wide;
  CO_TRY(const auto rows, co_await database_.query(platform_wide, erasure_tables_query, {}, deadline));
  CO_TRY(const auto found, rows.as<NameRow>());
  std::vector<std::string> names;
  for (const auto& row : found) names.push_back(row.name);
  co_return names;
}

Task<bool> Store::has_standing(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, standing_query, postgres::bind(tenant, user), deadline));
  CO_TRY(const auto answer, rows.as_optional<YesRow>());
  co_return !answer || answer->yes;
}

Task<Step> Store::erase_rows(const Claimed& erasure, UserId user, std::string table,
                             std::optional<boost::json::value> after, SteadyTime deadline) {
  postgres::Scope scope{erasure.tenant_id.str()};
  auto parameters = postgres::bind(erasure.tenant_id, user, erasure.pseudonym, erasure.request_id, table,
                                   after, kRowsPerStep);
  CO_TRY(const auto rows, co_await database_.query(scope, erase_query, std::move(parameters), deadline));
  CO_TRY(auto step, rows.as_optional<Step>());
  if (!step) co_return fail(postgres::errors::bad_row, "erase_rows returned nothing");
  co_return *std::move(step);
}

Task<bool> Store::report(const Claimed& erasure, const Report& report, SteadyTime deadline) {
  postgres::Scope scope{erasure.tenant_id.str()};
  const auto next =
      std::chrono::duration<double>(report.next.value_or(std::chrono::seconds(kClaimSeconds))).count();
  auto parameters =
      postgres::bind(erasure.tenant_id, erasure.request_id, erasure.claim, report.rows, report.messages, next,
                     report.held, report.done, json::to_value(report.walk));
  CO_TRY(const auto rows, co_await database_.query(scope, report_query, std::move(parameters), deadline));
  co_return rows.size() == 1;
}

Task<std::optional<Progress>> Store::progress(TenantId tenant, std::string request_id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, progress_query, postgres::bind(tenant, request_id), deadline));
  co_return rows.as_optional<Progress>();
}

}  // namespace intra365::services::privacy
