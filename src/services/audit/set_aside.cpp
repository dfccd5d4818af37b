#include "services/audit/set_aside.hpp"

#include "crypto/encoding.hpp"
#include "services/audit/model.hpp"

namespace intra365::services::audit {
namespace {

using postgres::Query;
using postgres::Scope;

constexpr Query kKeep{
    "audit_set_aside",
    "insert into intra365.audit_set_aside (tenant_id, set_aside_id, reason, user_id, entry) select $1, $2, "
    "$3, $4, $5"
    " where not exists (select from intra365.audit_set_aside where tenant_id = $1 and set_aside_id = $2)"};
constexpr Query kKeepUnreadable{
    "audit_set_aside_unreadable",
    "insert into intra365.system_events (event_id, type, source, details, message) values ($1, "
    "'audit.set_aside', 'audit', $2, $3)"};
constexpr Query kList{
    "audit_set_aside_list",
    "select set_aside_id, at, reason, left(entry, 2000) as entry from intra365.audit_set_aside"
    " where tenant_id = $1 order by at, set_aside_id limit 100"};
constexpr Query kCount{"audit_set_aside_count",
                       "select count(*) as entries from intra365.audit_set_aside where tenant_id = $1"};
constexpr Query kWaiting{
    "audit_set_aside_waiting",
    "select set_aside_id, entry from intra365.audit_set_aside where tenant_id = $1"
    " and ($2::text is null or set_aside_id = $2) order by tried_at, set_aside_id limit 200"};
constexpr Query kRemove{"audit_set_aside_remove",
                        "delete from intra365.audit_set_aside where tenant_id = $1 and set_aside_id = $2"};
constexpr Query kNoteRefusal{"audit_set_aside_note_refusal",
                             "update intra365.audit_set_aside set tried_at = now(), reason = $3"
                             " where tenant_id = $1 and set_aside_id = $2"};

struct Count {
  std::int64_t entries = 0;
};
BOOST_DESCRIBE_STRUCT(Count, (), (entries))

std::string text_of(const Error& error) {
  return error.code + ": " + error.detail;
}

}  // namespace

Task<> SetAside::keep(TenantId tenant, std::optional<UserId> user_id, std::string entry, const Error& reason,
                      SteadyTime deadline) {
  auto id = crypto::hex(crypto::sha256(entry));
  auto parameters = postgres::bind(tenant, std::move(id), text_of(reason), user_id, std::move(entry));
  Scope scope{tenant.str()};
  CO_CHECK(co_await database_.query(scope, kKeep, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<> SetAside::keep_unreadable(std::string message, const Error& reason, SteadyTime deadline) {
  auto text = legible(message);
  boost::json::object details{{"reason", text_of(reason)}};
  if (text != message) details["bytes"] = crypto::base64(message);
  boost::json::value kept(std::move(details));
  auto parameters = postgres::bind(new_uuid(), kept, std::move(text));
  Scope no_tenant;
  CO_CHECK(co_await database_.query(no_tenant, kKeepUnreadable, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<wire::SetAsideReply> SetAside::list(TenantId tenant, SteadyTime deadline) {
  wire::SetAsideReply reply;
  Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant);
  CO_TRY(const auto rows, co_await database_.query(scope, kList, std::move(parameters), deadline));
  CO_TRY(reply.entries, rows.as<wire::SetAside>());
  CO_TRY(reply.total, co_await count(tenant, deadline));
  co_return reply;
}

Task<std::int64_t> SetAside::count(TenantId tenant, SteadyTime deadline) {
  Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant);
  CO_TRY(const auto rows, co_await database_.query(scope, kCount, std::move(parameters), deadline));
  CO_TRY(const auto counted, rows.as_optional<Count>());
  co_return counted ? counted->entries : 0;
}

Task<std::vector<Waiting>> SetAside::waiting(TenantId tenant, std::optional<std::string> set_aside_id,
                                             SteadyTime deadline) {
  Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, set_aside_id);
  CO_TRY(const auto rows, co_await database_.query(scope, kWaiting, std::move(parameters), deadline));
  co_return rows.as<Waiting>();
}

Task<> SetAside::remove(TenantId tenant, std::string set_aside_id, SteadyTime deadline) {
  Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, set_aside_id);
  CO_CHECK(co_await database_.query(scope, kRemove, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<> SetAside::note_refusal(TenantId tenant, std::string set_aside_id, const Error& reason,
                              SteadyTime deadline) {
  Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, set_aside_id, text_of(reason));
  CO_CHECK(co_await database_.query(scope, kNoteRefusal, std::move(parameters), deadline));
  co_return Result<void>{};
}

}  // namespace intra365::services::audit
