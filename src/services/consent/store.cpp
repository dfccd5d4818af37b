#include "services/consent/store.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using postgres::Query;

#define CONSENT_COLUMNS                                                                                     \
  "consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata, " \
  "epoch, mate_epoch"

constexpr Query consent_grant{"consent_grant", "select " CONSENT_COLUMNS
                                               " from intra365.grant_consent($1, $2, $3, $4, $5::text[], "
                                               "$6::text[], $7::timestamptz, $8::jsonb, $9, $10)"};
constexpr Query consent_revoke{
    "consent_revoke", "select " CONSENT_COLUMNS " from intra365.revoke_consent($1, $2, $3, $4, $5, $6)"};
constexpr Query consent_find{
    "consent_find", "select " CONSENT_COLUMNS
                    " from intra365.consent_records where tenant_id = $1 and user_id = $2 and mate_id = $3"
                    " order by granted desc, mate_epoch desc limit 200"};
constexpr Query consent_user_epoch{
    "consent_user_epoch",
    "select epoch from intra365.consent_epochs where tenant_id = $1 and kind = $2 and id = $3"};
constexpr Query consent_query{
    "consent_query",
    "select " CONSENT_COLUMNS
    " from intra365.consent_records where tenant_id = $1"
    " and ($2::text is null or user_id = $2) and ($3::text is null or mate_id = $3)"
    " and ($4::bool is null or $4 = (granted and (expires_at is null or expires_at > now())))"
    " and consent_id > $5 order by consent_id limit $6"};
constexpr Query consent_history{"consent_history",
                                "select sequence, consent_id, user_id, mate_id, event, actor, purposes, "
                                "scopes, expires_at, epoch, recorded_at, trace_id"
                                " from intra365.consent_history where tenant_id = $1"
                                " and ($2::text is null or user_id = $2) and ($3::text is null or mate_id = "
                                "$3) and ($4::text is null or consent_id = $4)"
                                " and sequence > $5 order by sequence limit $6"};
constexpr Query consent_changed{
    "consent_changed",
    "select " CONSENT_COLUMNS
    " from intra365.consent_records where tenant_id = $1 and mate_id = $2 and mate_epoch > $3"
    " and ($3 > 0 or granted) order by mate_epoch limit $4"};
constexpr Query consent_all_changed{
    "consent_all_changed",
    "select consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, "
    "'null'::jsonb as metadata, epoch, mate_epoch from intra365.consent_records"
    " where tenant_id = $1 and mate_id = $2 and mate_epoch > $3 order by mate_epoch limit $4"};
constexpr Query consent_mate_epochs{
    "consent_mate_epochs",
    "select id, epoch from intra365.consent_epochs where tenant_id = $1 and kind = 'mate' and id = "
    "any($2::text[])"};
constexpr Query consent_tell_expired{"consent_tell_expired",
                                     "select * from intra365.tell_expired_consents($1)"};

struct EpochRow {
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(EpochRow, (), (epoch))

struct MateEpochRow {
  std::string id;
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(MateEpochRow, (), (id, epoch))

Result<std::uint64_t> epoch_of(const postgres::Rows& rows) {
  TRY(const auto row, rows.as_optional<EpochRow>());
  return row ? row->epoch : 0;
}

}  // namespace

Task<wire::Consent> Store::grant(TenantId tenant, ConsentId id, wire::GrantRequest request, Author author,
                                 SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters =
      postgres::bind(tenant, id, request.user_id, request.mate_id, request.purposes, request.scopes,
                     request.expires_at, request.metadata, author.actor, author.trace_id);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_grant, std::move(parameters), deadline));
  CO_TRY(auto granted, rows.as<wire::Consent>());
  if (granted.size() != 1) co_return fail(postgres::errors::bad_row, "consent_grant returned no record");
  co_return std::move(granted.front());
}

Task<std::vector<wire::Consent>> Store::revoke(TenantId tenant, UserId user, wire::RevokeRequest request,
                                               Author author, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters =
      postgres::bind(tenant, request.consent_id, user, request.mate_id, author.actor, author.trace_id);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_revoke, std::move(parameters), deadline));
  co_return rows.as<wire::Consent>();
}

Task<Store::Pair> Store::find(TenantId tenant, UserId user, MateId mate, SteadyTime deadline) {
  // The epoch is read first: the records are then at least as new as it says.
  std::vector<postgres::Statement> statements;
  statements.push_back({consent_user_epoch, postgres::bind(tenant, std::string("user"), user)});
  statements.push_back({consent_find, postgres::bind(tenant, user, mate)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  Pair pair;
  CO_TRY(pair.epoch, epoch_of(results.at(0)));
  CO_TRY(pair.records, results.at(1).as<wire::Consent>());
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
                                                     SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, view.user_id, view.mate_id, consent,
                                   page.after.empty() ? std::string("0") : page.after, page.limit);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_history, std::move(parameters), deadline));
  co_return rows.as<wire::HistoryEntry>();
}

Task<std::uint64_t> Store::mate_epoch(TenantId tenant, MateId mate, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, std::string("mate"), mate);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_user_epoch, std::move(parameters), deadline));
  co_return epoch_of(rows);
}

Task<std::vector<wire::Consent>> Store::changed_since(TenantId tenant, MateId mate, std::uint64_t mate_epoch,
                                                      int limit, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, mate, mate_epoch, limit);
  CO_TRY(const auto rows, co_await database_.query(scope, consent_changed, std::move(parameters), deadline));
  co_return rows.as<wire::Consent>();
}

Task<std::vector<wire::Consent>> Store::all_changed_since(TenantId tenant, MateId mate,
                                                          std::uint64_t mate_epoch, int limit,
                                                          SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, mate, mate_epoch, limit);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_all_changed, std::move(parameters), deadline));
  co_return rows.as<wire::Consent>();
}

Task<std::unordered_map<std::string, std::uint64_t>> Store::mate_epochs(TenantId tenant,
                                                                        std::vector<std::string> mates,
                                                                        SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, mates);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_mate_epochs, std::move(parameters), deadline));
  CO_TRY(const auto listed, rows.as<MateEpochRow>());
  std::unordered_map<std::string, std::uint64_t> epochs;
  for (const auto& row : listed) epochs[row.id] = row.epoch;
  co_return epochs;
}

Task<std::vector<Expired>> Store::tell_expired(int limit, SteadyTime deadline) {
  postgres::Scope platform_wide;
  CO_TRY(const auto rows,
         co_await database_.query(platform_wide, consent_tell_expired, postgres::bind(limit), deadline));
  co_return rows.as<Expired>();
}

}  // namespace intra365::services::consent
