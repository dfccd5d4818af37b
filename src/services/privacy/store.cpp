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
                           "select row from intra365.export_person($1, $2, $3, $4, $5) as row"};
constexpr Query evidence_query{
    "privacy_evidence",
    "select distinct consent_id as name from intra365.consent_history where tenant_id = $1"
    " and user_id = $2 and evidence like 'evidence:%' order by 1 limit 1000"};
constexpr Query exists_query{
    "privacy_exists",
    "select exists (select from intra365.principals where tenant_id = $1 and principal_id = $2"
    " and kind = 'user') as yes"};
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
constexpr Query access_query{
    "privacy_access",
    "select user_id, actor, resource, consent_id, purpose, scopes, outcome, sum(count)::bigint as count,"
    " min(at) as first_at, max(at) as last_at from intra365.data_access_logs where tenant_id = $1"
    " and ($2::text is null or user_id = $2) and ($3::text is null or actor = 'mate:' || $3)"
    " and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)"
    " group by user_id, actor, resource, consent_id, purpose, scopes, outcome order by last_at desc limit "
    "1000"};
constexpr Query begin_query{"privacy_begin_erasure",
                            "insert into intra365.privacy_requests (tenant_id, request_id, kind, state, "
                            "due_at, sealed_user, pseudonym, "
                            "next_sweep) values ($1, $2, 'erasure', 'working', $3, $4, $5, now())"};
constexpr Query claim_query{"privacy_claim", "select * from intra365.claim_erasures(10, 120)"};
constexpr Query shut_out_query{
    "privacy_shut_out",
    "update intra365.privacy_requests set shut_out = true where tenant_id = $1 and request_id = $2"};
// Whatever changes consents takes its locks in one order; an erasure changes them too.
constexpr Query hold_query{"privacy_hold_consents", "select intra365.hold_person_consents($1, $2)"};
constexpr Query erase_query{"privacy_erase", "select intra365.erase_person($1, $2, $3, $4, $5) as count"};
constexpr Query swept_query{
    "privacy_swept",
    "update intra365.privacy_requests set rows_changed = rows_changed + $3, messages = messages + $4,"
    " next_sweep = now() + interval '1 second', state = case when $5 then 'done' else state end,"
    " resolved_at = case when $5 then now() end, sealed_user = case when $5 then null else sealed_user end"
    " where tenant_id = $1 and request_id = $2"};
constexpr Query progress_query{
    "privacy_progress",
    "select request_id, state, pseudonym, rows_changed as rows, messages"
    " from intra365.privacy_requests where tenant_id = $1 and request_id = $2 and kind = "
    "'erasure'"};

struct NameRow {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(NameRow, (), (name))
struct JsonRow {
  boost::json::value row;
};
BOOST_DESCRIBE_STRUCT(JsonRow, (), (row))
struct YesRow {
  bool yes = false;
};
BOOST_DESCRIBE_STRUCT(YesRow, (), (yes))
struct CountRow {
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(CountRow, (), (count))

using Cells = std::vector<platform::Vault::Cell>;

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

Task<std::vector<boost::json::value>> Store::rows_of(TenantId tenant, UserId user, std::string table,
                                                     std::int64_t skip, int limit, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, table, skip, limit);
  CO_TRY(const auto rows, co_await database_.query(scope, rows_query, std::move(parameters), deadline));
  CO_TRY(auto found, rows.as<JsonRow>());
  std::vector<boost::json::value> values;
  for (auto& row : found) {
    for (const auto* column : platform::sealed::all) {
      if (column->table != table || !row.row.is_object()) continue;
      auto& members = row.row.get_object();
      auto* value = members.if_contains(column->column);
      const auto* key = members.if_contains(column->key);
      if (value == nullptr || !value->is_string() || key == nullptr || !key->is_string()) continue;
      CO_CHECK(
          co_await open_member(*vault_, tenant, *column, std::string(key->get_string()), *value, deadline));
    }
    values.push_back(std::move(row.row));
  }
  co_return values;
}

Task<std::vector<ConsentId>> Store::with_evidence(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, evidence_query, postgres::bind(tenant, user), deadline));
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

Task<std::vector<wire::AccessEntry>> Store::accesses(TenantId tenant, wire::AccessRequest request,
                                                     SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, request.user_id, request.mate_id, request.since, request.until);
  CO_TRY(const auto rows, co_await database_.query(scope, access_query, std::move(parameters), deadline));
  co_return rows.as<wire::AccessEntry>();
}

Task<> Store::begin_erasure(TenantId tenant, std::string request_id, postgres::Bytes sealed_user,
                            UserId pseudonym, Timestamp due_at, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, request_id, due_at, sealed_user, pseudonym);
  CO_CHECK(co_await database_.query(scope, begin_query, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::vector<Claimed>> Store::claim(SteadyTime deadline) {
  postgres::Scope platform_wide;
  CO_TRY(const auto rows, co_await database_.query(platform_wide, claim_query, postgres::bind(), deadline));
  co_return rows.as<Claimed>();
}

Task<> Store::note_shut_out(const Claimed& erasure, SteadyTime deadline) {
  postgres::Scope scope{erasure.tenant_id.str()};
  auto parameters = postgres::bind(erasure.tenant_id, erasure.request_id);
  CO_CHECK(co_await database_.query(scope, shut_out_query, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::int64_t> Store::erase(const Claimed& erasure, UserId user, SteadyTime deadline) {
  postgres::Scope scope{erasure.tenant_id.str()};
  std::vector<postgres::Statement> statements;
  statements.push_back({hold_query, postgres::bind(erasure.tenant_id, user)});
  statements.push_back({erase_query, postgres::bind(erasure.tenant_id, user, erasure.pseudonym,
                                                    erasure.request_id, erasure.sweep)});
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  CO_TRY(const auto count, results.at(1).as_optional<CountRow>());
  co_return count ? count->count : 0;
}

Task<> Store::swept(const Claimed& erasure, std::int64_t rows, std::int64_t messages, bool done,
                    SteadyTime deadline) {
  postgres::Scope scope{erasure.tenant_id.str()};
  auto parameters = postgres::bind(erasure.tenant_id, erasure.request_id, rows, messages, done);
  CO_CHECK(co_await database_.query(scope, swept_query, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::optional<Progress>> Store::progress(TenantId tenant, std::string request_id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, progress_query, postgres::bind(tenant, request_id), deadline));
  co_return rows.as_optional<Progress>();
}

}  // namespace intra365::services::privacy
