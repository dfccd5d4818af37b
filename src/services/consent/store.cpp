#include "services/consent/store.hpp"

#include <algorithm>
#include <span>

#include "consent/lifecycle.hpp"
#include "guard/epoch.hpp"
#include "services/consent/columns.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using postgres::Query;

#define HISTORY_COLUMNS                                                                                      \
  "sequence, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, recorded_at, " \
  "trace_id, valid_from, revision, method, notice_version, evidence, superseded_by, parent_id, "             \
  "delegation_depth"

constexpr Query consent_append{
    "consent_append", "select " CONSENT_COLUMNS " from intra365.append_consent_changes($1, $2::jsonb, $3)"};
constexpr Query consent_append_new{"consent_append_new",
                                   "select " CONSENT_COLUMNS
                                   " from intra365.append_new_consents($1, $2::jsonb, $3::text[])"};
constexpr Query consent_hold{"consent_hold",
                             "select intra365.hold_consents($1, $2::text[], $3::text[], $4::text[])"};
constexpr Query consent_get{"consent_get", "select " CONSENT_COLUMNS
                                           " from intra365.consent_records where tenant_id = $1 and "
                                           "($2::text is null or user_id = $2) and consent_id = $3"};
constexpr Query consent_above{
    "consent_above",
    "with recursive up as (select consent_id as of_id, mate_epoch as of_epoch, parent_id, 1 as depth from "
    "intra365.consent_records"
    "  where tenant_id = $1 and consent_id = any($2::text[]) and parent_id is not null"
    " union all select up.of_id, up.of_epoch, r.parent_id, up.depth + 1 from up join "
    "intra365.consent_records r"
    "  on r.tenant_id = $1 and r.consent_id = up.parent_id where r.parent_id is not null and up.depth < 10)"
    " select up.of_id, up.of_epoch, r.*, null::text[] as members from up join intra365.consent_records r on "
    "r.tenant_id = "
    "$1 and r.consent_id = "
    "up.parent_id"
    " order by up.of_id, up.depth"};
constexpr Query consent_revocable{
    "consent_revocable", "select " CONSENT_COLUMNS
                         " from intra365.consent_records where tenant_id = $1 and user_id = $2"
                         " and ($3::text is null or mate_id = $3) and status in ('active', 'suspended')"
                         " order by consent_id limit $4"};
constexpr Query consent_changes{
    "consent_changes",
    "select " HISTORY_COLUMNS
    " from intra365.consent_history where tenant_id = $1 and user_id = $2"
    " and consent_id in (with recursive up as (select consent_id, parent_id from intra365.consent_records"
    "  where tenant_id = $1 and user_id = $2 and mate_id = $3"
    " union select r.consent_id, r.parent_id from up join intra365.consent_records r"
    "  on r.tenant_id = $1 and r.consent_id = up.parent_id) select consent_id from up)"
    " and valid_from <= $4::timestamptz"
    " and recorded_at <= $5::timestamptz order by sequence desc limit 2000"};
constexpr Query consent_now{"consent_now", "select clock_timestamp() as now"};
constexpr Query consent_purposes{"consent_purposes",
                                 "select purpose, description, default_days, max_days, inheritable, opt_out"
                                 " from intra365.consent_purposes where tenant_id = $1 limit 2000"};
constexpr Query consent_scopes{
    "consent_scopes",
    "select scope, description from intra365.consent_scopes where tenant_id = $1 limit 2000"};
constexpr Query consent_settings{
    "consent_settings",
    "select catalogue_closed as closed from intra365.consent_settings where tenant_id = $1"};
constexpr Query consent_close_catalogue{
    "consent_close_catalogue",
    "insert into intra365.consent_settings (tenant_id, catalogue_closed) values ($1, $2)"
    " on conflict (tenant_id) do update set catalogue_closed = excluded.catalogue_closed"};
constexpr Query consent_put_purpose{
    "consent_put_purpose",
    "insert into intra365.consent_purposes (tenant_id, purpose, description, default_days, max_days, "
    "inheritable, opt_out)"
    " values ($1, $2, $3, $4, $5, $6, $7) on conflict (tenant_id, purpose) do update set"
    " description = excluded.description, default_days = excluded.default_days, max_days = "
    "excluded.max_days, inheritable = excluded.inheritable, opt_out = excluded.opt_out"};
constexpr Query consent_opted_out{"consent_opted_out",
                                  "select unnest(purposes) as purpose from intra365.consent_opt_outs where "
                                  "tenant_id = $1 and user_id = $2"};
constexpr Query consent_note_opt_out{
    "consent_note_opt_out",
    "insert into intra365.consent_opt_outs (tenant_id, user_id, purposes, method) values ($1, $2, $3, $4)"
    " on conflict (tenant_id, user_id) do update set purposes = excluded.purposes, changed_at = now()"};
constexpr Query consent_put_scope{
    "consent_put_scope",
    "insert into intra365.consent_scopes (tenant_id, scope, description) values ($1, $2, $3)"
    " on conflict (tenant_id, scope) do update set description = excluded.description"};
constexpr Query consent_find{
    "consent_find", "select " CONSENT_COLUMNS
                    " from intra365.consent_records where tenant_id = $1 and user_id = $2 and mate_id = $3"
                    " order by granted desc, mate_epoch desc limit 200"};
constexpr Query consent_user_epoch{
    "consent_user_epoch",
    "select epoch from intra365.consent_epochs where tenant_id = $1 and kind = 'user' and id = $2"};
constexpr Query consent_query{"consent_query",
                              "select " CONSENT_COLUMNS
                              " from intra365.consent_records where tenant_id = $1"
                              " and ($2::text is null or user_id = $2) and ($3::text is null or mate_id = $3)"
                              " and ($4::bool is null or $4 = " CONSENT_HOLDS
                              ")"
                              " and consent_id > $5 order by consent_id limit $6"};
constexpr Query consent_history{"consent_history",
                                "select " HISTORY_COLUMNS
                                " from intra365.consent_history where tenant_id = $1"
                                " and ($2::text is null or user_id = $2) and ($3::text is null or mate_id = "
                                "$3) and ($4::text is null or consent_id = $4)"
                                " and sequence > $5 order by sequence limit $6"};
constexpr platform::Read consent_history_read{consent_history, std::chrono::seconds(2)};
constexpr Query consent_which_exist{
    "consent_which_exist",
    "select consent_id as of_id from intra365.consent_records where tenant_id = $1 and consent_id = "
    "any($2::text[])"};
constexpr Query consent_changed{
    "consent_changed",
    "select " CONSENT_COLUMNS
    " from intra365.consent_records where tenant_id = $1 and mate_id = $2 and mate_epoch > $3"
    " and case when $5 then $3 > 0 or status <> 'superseded'"
    "  else position(':' in user_id) = 0 and ($3 > 0 or granted) end order by mate_epoch limit $4"};
constexpr Query consent_all_changed{
    "consent_all_changed",
    "select consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, "
    "'null'::jsonb as metadata, epoch, mate_epoch, status, revision, method, notice_version, superseded_by, "
    "parent_id, delegation_depth, " CONSENT_MEMBERS
    " from intra365.consent_records"
    " where tenant_id = $1 and mate_id = $2 and mate_epoch > $3 order by mate_epoch limit $4"};
constexpr Query consent_mate_epochs{
    "consent_mate_epochs",
    "select w.id, greatest(e.epoch, intra365.epoch_base()) as epoch, clock_timestamp() as at from "
    "unnest($2::text[]) w(id)"
    " left join intra365.consent_epochs e on e.tenant_id = $1 and e.kind = 'mate' and e.id = w.id"};
struct OfRow {
  ConsentId of_id;
};
BOOST_DESCRIBE_STRUCT(OfRow, (), (of_id))

struct ChainRow {
  ConsentId of_id;
  std::uint64_t of_epoch = 0;
};
BOOST_DESCRIBE_STRUCT(ChainRow, (), (of_id, of_epoch))

struct NowRow {
  Timestamp now;
};
BOOST_DESCRIBE_STRUCT(NowRow, (), (now))

struct PurposeRow {
  Purpose purpose;
};
BOOST_DESCRIBE_STRUCT(PurposeRow, (), (purpose))

struct EpochRow {
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(EpochRow, (), (epoch))

struct MateEpochRow {
  std::string id;
  std::uint64_t epoch = 0;
  Timestamp at{};
};
BOOST_DESCRIBE_STRUCT(MateEpochRow, (), (id, epoch, at))

Result<std::uint64_t> epoch_of(const postgres::Rows& rows) {
  TRY(const auto row, rows.as_optional<EpochRow>());
  return row ? row->epoch : 0;
}

/// Consents that nobody has had yet, and that hang on no others.
bool is_new(const Append& one) {
  return std::ranges::all_of(one.changes, [](const Change& change) {
    return change.change.revision == 1 && !change.change.parent_id;
  });
}

postgres::Statement append_new(const TenantId& tenant, std::span<const Append* const> appends) {
  boost::json::array list;
  std::vector<std::string> traces;
  for (const auto* one : appends) {
    for (const auto& change : one->changes) {
      list.push_back(json::to_value(change));
      traces.push_back(one->trace_id);
    }
  }
  return {consent_append_new, postgres::bind(tenant, boost::json::value(std::move(list)), traces)};
}

postgres::Statement append_changes(const TenantId& tenant, const Append& one) {
  boost::json::array list;
  for (const auto& change : one.changes) list.push_back(json::to_value(change));
  return {consent_append, postgres::bind(tenant, boost::json::value(std::move(list)), one.trace_id)};
}

/// Holds whatever any of them locks, in the one order: each by itself would take its own in that order, and
/// after each other they would not.
postgres::Statement hold_all(const TenantId& tenant, std::span<const Append* const> appends) {
  std::vector<std::string> records, users, mates;
  for (const auto* one : appends) {
    for (const auto& change : one->changes) {
      if (change.change.revision > 1) records.push_back(change.change.consent_id.str());
      if (change.change.parent_id) records.push_back(change.change.parent_id->str());
      users.push_back(change.change.user_id.str());
      mates.push_back(change.change.mate_id.str());
    }
  }
  return {consent_hold, postgres::bind(tenant, records, users, mates)};
}

}  // namespace

Task<std::vector<std::vector<wire::Consent>>> Store::append(TenantId tenant,
                                                            std::vector<const Append*> appends,
                                                            SteadyTime deadline) {
  std::vector<const Append*> fresh, others;
  for (const auto* one : appends) (is_new(*one) ? fresh : others).push_back(one);
  std::vector<postgres::Statement> statements;
  if (appends.size() > 1 && !others.empty()) statements.push_back(hold_all(tenant, appends));
  const auto locks = statements.size();
  if (!fresh.empty()) statements.push_back(append_new(tenant, fresh));
  for (const auto* one : others) statements.push_back(append_changes(tenant, *one));
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));

  std::map<ConsentId, wire::Consent> made;
  if (!fresh.empty()) {
    CO_TRY(auto records, results.at(locks).as<wire::Consent>());
    for (auto& record : records) made.emplace(record.consent_id, std::move(record));
  }
  auto next = locks + (fresh.empty() ? 0 : 1);
  std::vector<std::vector<wire::Consent>> stored;
  for (const auto* one : appends) {
    auto& changed = stored.emplace_back();
    if (!is_new(*one)) {
      CO_TRY(changed, results.at(next++).as<wire::Consent>());
      continue;
    }
    for (const auto& change : one->changes) {
      const auto record = made.find(change.change.consent_id);
      if (record == made.end()) co_return fail(postgres::errors::bad_row, "consent_append_new left one out");
      changed.push_back(std::move(record->second));
    }
  }
  co_return stored;
}

Task<std::optional<wire::Consent>> Store::get(TenantId tenant, std::optional<UserId> user, ConsentId id,
                                              SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, id);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_get, std::move(parameters), deadline));
  co_return rows.as_optional<wire::Consent>();
}

Task<std::map<ConsentId, Store::Chain>> Store::above(TenantId tenant, std::vector<ConsentId> ids,
                                                     SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, ids);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_above, std::move(parameters), deadline));
  CO_TRY(const auto of, rows.as<ChainRow>());
  CO_TRY(auto records, rows.as<wire::Consent>());
  std::map<ConsentId, Chain> chains;
  for (std::size_t i = 0; i < of.size(); ++i) {
    auto& chain = chains[of[i].of_id];
    chain.mate_epoch = of[i].of_epoch;
    chain.records.push_back(std::move(records[i]));
  }
  co_return chains;
}

Task<> Store::make_effective(TenantId tenant, std::vector<wire::Consent>& records, SteadyTime deadline) {
  std::vector<ConsentId> delegated;
  for (const auto& one : records) {
    if (one.parent_id) delegated.push_back(one.consent_id);
  }
  if (delegated.empty()) co_return Result<void>{};
  CO_TRY(const auto chains, co_await above(std::move(tenant), std::move(delegated), deadline));
  for (auto& one : records) {
    if (!one.parent_id) continue;
    const auto chain = chains.find(one.consent_id);
    // Its own state and that of what it hangs on may stand on two lines of the truth: together they hold
    // nowhere.
    if (chain == chains.end() || guard::has_gone_back(one.mate_epoch, chain->second.mate_epoch))
      co_return fail(postgres::errors::unavailable, "a delegated consent is not there as it was read");
    one = wire::effective(std::move(one), chain->second.records);
  }
  co_return Result<void>{};
}

Task<std::vector<wire::Consent>> Store::revocable(TenantId tenant, wire::SubjectId of,
                                                  std::optional<MateId> mate, int limit,
                                                  SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, of, mate, limit);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_revocable, std::move(parameters), deadline));
  co_return rows.as<wire::Consent>();
}

Task<std::vector<wire::HistoryEntry>> Store::changes(TenantId tenant, wire::SubjectId user, MateId mate,
                                                     Timestamp valid_at, Timestamp known_at,
                                                     SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, mate, valid_at, known_at);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_changes, std::move(parameters), deadline));
  co_return rows.as<wire::HistoryEntry>();
}

Task<Timestamp> Store::now(SteadyTime deadline) {
  const postgres::Scope platform_wide;
  CO_TRY(const auto rows, co_await database_.query(platform_wide, consent_now, postgres::bind(), deadline));
  CO_TRY(const auto row, rows.as_optional<NowRow>());
  if (!row) co_return fail(postgres::errors::bad_row, "no time");
  co_return row->now;
}

Task<wire::CatalogueReply> Store::catalogue(TenantId tenant, SteadyTime deadline) {
  std::vector<postgres::Statement> statements;
  statements.push_back({consent_purposes, postgres::bind(tenant)});
  statements.push_back({consent_scopes, postgres::bind(tenant)});
  statements.push_back({consent_settings, postgres::bind(tenant)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  wire::CatalogueReply reply;
  CO_TRY(reply.purposes, results.at(0).as<wire::PurposeEntry>());
  CO_TRY(reply.scopes, results.at(1).as<wire::ScopeEntry>());
  CO_TRY(const auto settings, results.at(2).as_optional<wire::CatalogueRequest>());
  reply.closed = settings && settings->closed;
  co_return reply;
}

Task<> Store::close_catalogue(TenantId tenant, bool closed, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, closed);
  CO_CHECK(co_await database_.query(scope, consent_close_catalogue, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<> Store::put(TenantId tenant, wire::PurposeEntry entry, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, entry.purpose, entry.description, entry.default_days,
                                   entry.max_days, entry.inheritable, entry.opt_out);
  CO_CHECK(co_await database_.query(scope, consent_put_purpose, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::vector<Purpose>> Store::opted_out(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_opted_out, std::move(parameters), deadline));
  CO_TRY(const auto listed, rows.as<PurposeRow>());
  std::vector<Purpose> purposes;
  for (const auto& row : listed) purposes.push_back(row.purpose);
  co_return purposes;
}

Task<> Store::note_opt_out(TenantId tenant, UserId user, std::vector<Purpose> purposes,
                           wire::OptOutMethod method, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, purposes, method);
  CO_CHECK(co_await database_.query(scope, consent_note_opt_out, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<> Store::put(TenantId tenant, wire::ScopeEntry entry, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, entry.scope, entry.description);
  CO_CHECK(co_await database_.query(scope, consent_put_scope, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<Store::Pair> Store::find(TenantId tenant, UserId user, MateId mate, SteadyTime deadline) {
  // The epoch is read first: the records are then at least as new as it says.
  std::vector<postgres::Statement> statements;
  statements.push_back({consent_user_epoch, postgres::bind(tenant, user)});
  statements.push_back({consent_find, postgres::bind(tenant, user, mate)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  Pair pair;
  CO_TRY(pair.epoch, epoch_of(results.at(0)));
  CO_TRY(pair.records, results.at(1).as<wire::Consent>());
  CO_CHECK(co_await make_effective(tenant, pair.records, deadline));
  co_return pair;
}

Task<std::vector<wire::Consent>> Store::query(TenantId tenant, View view, std::optional<bool> active,
                                              Page page, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, view.user_id, view.mate_id, active, page.after, page.limit);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_query, std::move(parameters), deadline));
  co_return rows.as<wire::Consent>();
}

Task<std::vector<wire::HistoryEntry>> Store::history(TenantId tenant, View view,
                                                     std::optional<ConsentId> consent, Page page,
                                                     std::optional<SteadyTime> changed_at,
                                                     SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, view.user_id, view.mate_id, consent,
                                   page.after.empty() ? std::string("0") : page.after, page.limit);
  CO_TRY(const auto rows,
         co_await reads_.query(scope, consent_history_read, std::move(parameters), changed_at, deadline));
  co_return rows.as<wire::HistoryEntry>();
}

Task<std::vector<ConsentId>> Store::which_exist(TenantId tenant, std::vector<ConsentId> ids,
                                                SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, ids);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_which_exist, std::move(parameters), deadline));
  CO_TRY(const auto found, rows.as<OfRow>());
  std::vector<ConsentId> known;
  for (const auto& row : found) known.push_back(row.of_id);
  std::ranges::sort(known);
  co_return known;
}

Task<Store::Changed> Store::changed_since(TenantId tenant, MateId mate, std::uint64_t mate_epoch, int limit,
                                          guard::Holding holding, SteadyTime deadline) {
  const bool whole = holding == guard::Holding::everything;
  postgres::Statement page{consent_changed, postgres::bind(tenant, mate, mate_epoch, limit, whole)};
  co_return co_await changed(std::move(tenant), std::move(mate), std::move(page), deadline);
}

Task<Store::Changed> Store::all_changed_since(TenantId tenant, MateId mate, std::uint64_t mate_epoch,
                                              int limit, SteadyTime deadline) {
  postgres::Statement page{consent_all_changed, postgres::bind(tenant, mate, mate_epoch, limit)};
  co_return co_await changed(std::move(tenant), std::move(mate), std::move(page), deadline);
}

Task<Store::Changed> Store::changed(TenantId tenant, MateId mate, postgres::Statement page,
                                    SteadyTime deadline) {
  // The epoch first, so that the records are at least as new as it says; in one transaction, so that both are
  // of one line of the truth.
  std::vector<std::string> names(1, mate.str());
  std::vector<postgres::Statement> statements;
  statements.push_back({consent_mate_epochs, postgres::bind(tenant, names)});
  statements.push_back(std::move(page));
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  Changed changed;
  CO_TRY(const auto epoch, results.at(0).as_optional<MateEpochRow>());
  if (!epoch) co_return fail(postgres::errors::bad_row, "no epoch");
  changed.mate_epoch = epoch->epoch;
  changed.at = epoch->at;
  CO_TRY(changed.records, results.at(1).as<wire::Consent>());
  CO_CHECK(co_await make_effective(tenant, changed.records, deadline));
  co_return changed;
}

Task<Store::MateEpochs> Store::mate_epochs(TenantId tenant, std::vector<std::string> mates,
                                           SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, mates);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_mate_epochs, std::move(parameters), deadline));
  CO_TRY(const auto listed, rows.as<MateEpochRow>());
  MateEpochs epochs;
  for (const auto& row : listed) {
    epochs.by_mate[row.id] = row.epoch;
    epochs.at = row.at;
  }
  co_return epochs;
}

}  // namespace intra365::services::consent
