#include "services/audit/service.hpp"

#include "contract/errors.hpp"
#include "nats/jetstream.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> audit();
}

namespace intra365::services::audit {
namespace {

namespace wire = intra365::audit;
using platform::Caller;
using postgres::Query;

constexpr std::string_view kConsumer = "audit-to-postgres";
constexpr std::size_t kMessagesPerFetch = 50;
constexpr std::size_t kMaxAppend = 500;
constexpr auto kFetchWait = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::milliseconds(250);

constexpr Query audit_append{"audit_append", "select intra365.append_audit($1::jsonb) as count"};
constexpr Query audit_query{
    "audit_query",
    "select entry_id, at, source, actor, action, resource, outcome, code, user_id, consent_id, purpose, "
    "scopes, trace_id, count, duration_us"
    " from intra365.audit_logs where tenant_id = $1"
    " and ($2::text is null or trace_id = $2) and ($3::text is null or actor = $3) and ($4::text is null or "
    "action = $4)"
    " and ($5::text is null or outcome = $5) and ($6::text is null or user_id = $6)"
    " and ($7::timestamptz is null or at >= $7) and ($8::timestamptz is null or at < $8)"
    " and ($9::text is null or actor = $9 or user_id = $10 or source = $9 or resource like $9 || '/%' or "
    "resource = $9)"
    " and ($11::timestamptz is null or (at, entry_id) < ($11, $12)) order by at desc, entry_id desc limit "
    "$13"};

/// `<RFC 3339 time>~<entry id>` of the last entry of a page.
struct Cursor {
  std::optional<Timestamp> at;
  std::string entry_id;
};

Result<Cursor> read_cursor(const std::optional<std::string>& text) {
  if (!text) return Cursor{};
  const auto split = text->find('~');
  const auto at = parse_rfc3339(std::string_view(*text).substr(0, split));
  if (split == std::string::npos || !at || !is_token(std::string_view(*text).substr(split + 1)))
    return fail(errors::bad_value, "cursor: not one that was given out");
  return Cursor{*at, text->substr(split + 1)};
}

Result<void> check_entry(const wire::Entry& entry) {
  if (!is_token(entry.entry_id)) return fail(errors::bad_value, "entries: entryId must be an identifier");
  for (const auto* text : {&entry.actor, &entry.action, &entry.resource, &entry.outcome}) {
    if (text->empty() || text->size() > 512)
      return fail(errors::bad_value, "entries: actor, action, resource and outcome have 1 to 512 bytes");
  }
  if (entry.code.value_or("").size() > 128 || entry.trace_id.value_or("").size() > 64 ||
      entry.scopes.size() > 50)
    return fail(errors::bad_value, "entries: a field is too long");
  return {};
}

/// Owned by one shard; not thread-safe.
class Audit final : public platform::Service {
 public:
  explicit Audit(platform::Environment& environment) : environment_(environment) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::append, *this, &Audit::append), bind(wire::query, *this, &Audit::query)};
  }

  Task<> start() override {
    nats::ConsumerConfig consumer;
    consumer.durable_name = kConsumer;
    CO_CHECK(co_await environment_.jetstream.ensure_consumer(platform::audit_stream, consumer));
    co_return environment_.tasks.spawn(feed());
  }

 private:
  /// A Mate's own decisions. It speaks for itself only: the source is who its token says.
  Task<wire::AppendReply> append(const Caller& caller, const wire::AppendRequest& request) {
    if (request.entries.size() > kMaxAppend)
      co_return fail(errors::bad_value, "entries: at most 500 at once");
    std::vector<platform::AuditRecord> records;
    for (const auto& entry : request.entries) {
      CO_CHECK(check_entry(entry));
      platform::AuditRecord record{caller.tenant, entry};
      record.entry.source = caller.subject();
      records.push_back(std::move(record));
    }
    CO_TRY(const auto position, environment_.audit.record(std::move(records)));
    CO_CHECK(co_await environment_.audit.durable(position, caller.deadline));
    co_return wire::AppendReply{request.entries.size()};
  }

  Task<wire::QueryReply> query(const Caller& caller, const wire::QueryRequest& request) {
    const int limit = request.limit.value_or(50);
    if (limit < 1 || limit > 200) co_return fail(errors::bad_value, "limit: 1 to 200");
    CO_TRY(const auto cursor, read_cursor(request.cursor));
    // Everybody but the operator sees what they did, what was done to them, and what they recorded.
    const auto own = caller.is_operator() ? std::nullopt : std::optional(caller.subject());
    auto parameters = postgres::bind(caller.tenant, request.trace_id, request.actor, request.action,
                                     request.outcome, request.user_id, request.since, request.until, own,
                                     caller.kind == PrincipalKind::user ? caller.id : std::string(),
                                     cursor.at, cursor.entry_id, limit);
    postgres::Scope scope{caller.tenant.str()};
    CO_TRY(const auto rows,
           co_await environment_.database.query(scope, audit_query, std::move(parameters), caller.deadline));
    wire::QueryReply reply;
    CO_TRY(reply.entries, rows.as<wire::Entry>());
    if (reply.entries.size() == static_cast<std::size_t>(limit)) {
      reply.next_cursor = format_rfc3339(reply.entries.back().at) + "~" + reply.entries.back().entry_id;
    }
    co_return reply;
  }

  /// Carries the AUDIT stream into PostgreSQL. A message is acknowledged after its rows are committed; one
  /// that comes twice finds its rows there already.
  Task<> feed() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      const auto fetched = co_await environment_.jetstream.fetch(
          platform::audit_stream, kConsumer, kMessagesPerFetch, kFetchWait, nats::FetchUntil::available);
      if (!fetched) {
        co_await sleep_for(kRetry);
        continue;
      }
      for (const auto& delivered : *fetched) {
        postgres::Scope every_tenant;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        auto parameters = postgres::bind(std::string(delivered.message.payload()));
        const auto stored =
            co_await environment_.database.query(every_tenant, audit_append, std::move(parameters), deadline);
        if (stored) {
          environment_.jetstream.acknowledge(delivered);
          continue;
        }
        environment_.telemetry.log.write(platform::LogLevel::warning, "audit entries wait for the database",
                                         {{"code", stored.error().code}, {"detail", stored.error().detail}});
        environment_.jetstream.negative_acknowledge(delivered, std::chrono::seconds(1));
      }
    }
    co_return Result<void>{};
  }

  platform::Environment& environment_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "audit",
      .description = "Audit trail: every decision, append-only",
      .migrations = migrations::audit(),
      .make = [](platform::Environment& environment) { return std::make_unique<Audit>(environment); },
  };
}

}  // namespace intra365::services::audit
