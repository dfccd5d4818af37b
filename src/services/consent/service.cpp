#include "services/consent/service.hpp"

#include "contract/errors.hpp"
#include "contract/subjects.hpp"
#include "services/consent/cache.hpp"
#include "services/consent/copies.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> consent();
}

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using platform::Caller;

constexpr int kSyncPage = 500;
constexpr int kExpiryBatch = 200;
constexpr auto kExpiryPause = std::chrono::seconds(1);

Result<Page> read_page(std::optional<int> limit, const std::optional<std::string>& cursor) {
  if (limit && (*limit < 1 || *limit > 200)) return fail(intra365::errors::bad_value, "limit: 1 to 200");
  if (cursor && !is_token(*cursor))
    return fail(intra365::errors::bad_value, "cursor: not one that was given out");
  return Page{limit.value_or(50), cursor.value_or("")};
}

/// Owned by one shard; not thread-safe.
class Consents final : public platform::Service {
 public:
  explicit Consents(platform::Environment& environment)
      : environment_(environment), store_(environment), copies_(environment, store_), cache_(environment) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::grant, *this, &Consents::grant),
            bind(wire::revoke, *this, &Consents::revoke),
            bind(wire::verify, *this, &Consents::verify, &Consents::verify_now),
            bind(wire::query, *this, &Consents::query),
            bind(wire::audit, *this, &Consents::audit),
            bind(wire::sync, *this, &Consents::sync)};
  }

  Task<> start() override {
    CO_CHECK(co_await cache_.start());
    CO_CHECK(copies_.start());
    co_return environment_.tasks.spawn(watch_expiry());
  }

 private:
  Task<wire::Consent> grant(const Caller& caller, const wire::GrantRequest& request) {
    note(caller, request.user_id, request.scopes, request.mate_id);
    CO_CHECK(check_grant(caller, request, environment_.clock.now()));
    const auto id = ConsentId::trusted(new_uuid());
    const Author author{caller.subject(), std::string(caller.trace.trace_id())};
    CO_TRY(auto record, co_await store_.grant(caller.tenant, id, request, author, caller.deadline));
    caller.note->consent_id = record.consent_id;
    co_await spread(caller.tenant, record, caller.trace);
    co_return record;
  }

  Task<wire::RevokeReply> revoke(const Caller& caller, const wire::RevokeRequest& request) {
    caller.note->consent_id = request.consent_id;
    CO_TRY(const auto user, check_revoke(caller, request));
    caller.note->user_id = user;
    const Author author{caller.subject(), std::string(caller.trace.trace_id())};
    CO_TRY(auto revoked, co_await store_.revoke(caller.tenant, user, request, author, caller.deadline));
    if (revoked.empty()) co_return fail(errors::unknown_consent);
    wire::RevokeReply reply;
    reply.propagation = {true, true, true, guard::kLeaseDuration.count()};
    std::uint64_t cached = 0;
    for (const auto& record : revoked) {
      const auto reached = co_await spread(caller.tenant, record, caller.trace);
      cached = reached.cached;
      reply.propagation.published = reply.propagation.published && reached.published;
      reply.epoch = std::max(reply.epoch, record.epoch);
    }
    CO_TRY(reply.propagation.cached, co_await cache_.written(cached, std::chrono::steady_clock::now() +
                                                                         std::chrono::milliseconds(500)));
    reply.consents = std::move(revoked);
    co_return reply;
  }

  /// From memory, where a copy may be used and has seen what was asked for.
  std::optional<Result<wire::VerifyReply>> verify_now(const Caller& caller,
                                                      const wire::VerifyRequest& request) {
    if (const auto checked = check_verify(caller, request); !checked) return fail(checked.error());
    if (request.strict.value_or(false)) return std::nullopt;
    const auto copy = copies_.fresh(caller.tenant, request.mate_id);
    if (copy.index == nullptr) return std::nullopt;
    wire::VerifyReply reply;
    reply.epoch = copy.index->epoch(request.user_id, request.mate_id);
    if (request.min_epoch.value_or(0) > reply.epoch) return std::nullopt;
    const auto answer = copy.index->decide(request.user_id, request.mate_id, request.scopes, request.purpose,
                                           environment_.clock.now());
    reply.code = answer.code;
    reply.cache_age_ms = copy.age.count();
    if (answer.allowed()) reply.consent_id = copy.index->id(answer.record);
    return verified(caller, request, std::move(reply));
  }

  /// From PostgreSQL.
  Task<wire::VerifyReply> verify(const Caller& caller, const wire::VerifyRequest& request) {
    CO_CHECK(check_verify(caller, request));
    CO_TRY(const auto pair,
           co_await store_.find(caller.tenant, request.user_id, request.mate_id, caller.deadline));
    if (request.min_epoch.value_or(0) > pair.epoch) co_return fail(errors::stale);
    std::vector<const wire::Consent*> records;
    for (const auto& record : pair.records) records.push_back(&record);
    const auto decision =
        guard::decide_consent(records, request.scopes, request.purpose, environment_.clock.now());
    wire::VerifyReply reply;
    reply.code = decision.code;
    reply.epoch = pair.epoch;
    if (decision.allowed()) reply.consent_id = decision.consent->consent_id;
    co_return verified(caller, request, std::move(reply));
  }

  /// Completes an answer, and notes it for the audit trail.
  static wire::VerifyReply verified(const Caller& caller, const wire::VerifyRequest& request,
                                    wire::VerifyReply reply) {
    note(caller, request.user_id, request.scopes, request.mate_id);
    caller.note->purpose = request.purpose;
    caller.note->consent_id = reply.consent_id;
    reply.allowed = reply.code == wire::DecisionCode::granted;
    if (!reply.allowed) caller.note->refusal = guard::error_of(reply.code).code;
    return reply;
  }

  Task<wire::QueryReply> query(const Caller& caller, const wire::QueryRequest& request) {
    caller.note->user_id = request.user_id;
    CO_TRY(const auto page, read_page(request.limit, request.cursor));
    CO_TRY(const auto view, view_of(caller, request.user_id, request.mate_id));
    CO_TRY(auto consents, co_await store_.query(caller.tenant, view, request.active, page, caller.deadline));
    std::optional<std::string> cursor;
    if (consents.size() == static_cast<std::size_t>(page.limit)) cursor = consents.back().consent_id.str();
    co_return wire::QueryReply{std::move(consents), std::move(cursor)};
  }

  Task<wire::AuditReply> audit(const Caller& caller, const wire::AuditRequest& request) {
    caller.note->user_id = request.user_id;
    CO_TRY(const auto page, read_page(request.limit, request.cursor));
    if (page.after.find_first_not_of("0123456789") != std::string::npos || page.after.size() > 18)
      co_return fail(intra365::errors::bad_value, "cursor: not one that was given out");
    CO_TRY(const auto view, view_of(caller, request.user_id, request.mate_id));
    CO_TRY(auto entries,
           co_await store_.history(caller.tenant, view, request.consent_id, page, caller.deadline));
    std::optional<std::string> cursor;
    if (entries.size() == static_cast<std::size_t>(page.limit))
      cursor = std::to_string(entries.back().sequence);
    co_return wire::AuditReply{std::move(entries), std::move(cursor)};
  }

  Task<wire::SyncReply> sync(const Caller& caller, const wire::SyncRequest& request) {
    if (!caller.is_mate(request.mate_id) && !caller.is_service()) co_return fail(intra365::errors::not_yours);
    wire::SyncReply reply;
    CO_TRY(reply.mate_epoch, co_await store_.mate_epoch(caller.tenant, request.mate_id, caller.deadline));
    if (reply.mate_epoch != request.mate_epoch) {
      CO_TRY(reply.consents, co_await store_.changed_since(caller.tenant, request.mate_id, request.mate_epoch,
                                                           kSyncPage, caller.deadline));
      reply.more = reply.consents.size() == kSyncPage;
      for (auto& record : reply.consents)
        record.metadata = nullptr;  // evidence is not for enforcement points
    }
    co_return reply;
  }

  struct Reached {
    bool published = false;
    std::uint64_t cached = 0;  ///< its position in the cache's queue
  };

  /// After the commit: this process's own copy, the push, the cache. None of them is the truth, so none may
  /// fail the change; what is lost here the leases and syncs make good within their bound.
  asio::awaitable<Reached> spread(TenantId tenant, const wire::Consent& record, TraceContext trace) {
    Reached reached;
    copies_.changed(tenant, record);
    reached.cached = cache_.put(tenant, record);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    auto slim = record;
    slim.metadata = nullptr;
    if (const auto account = co_await environment_.tenants.account_of(tenant, deadline)) {
      const auto subject = subjects::in_account(*account, subjects::guard_consent(record.mate_id));
      reached.published = environment_.nats.publish(subject, json::encode(slim)).has_value();
    }
    if (!reached.published) {
      environment_.telemetry.log.write(platform::LogLevel::warning, "consent change is spread by sync only",
                                       {{"traceId", trace.trace_id()}});
    }
    co_return reached;
  }

  Task<> watch_expiry() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      const auto expired = co_await store_.tell_expired(
          kExpiryBatch, std::chrono::steady_clock::now() + std::chrono::seconds(2));
      if (!expired || expired->size() < kExpiryBatch) co_await sleep_for(kExpiryPause);
    }
    co_return Result<void>{};
  }

  static void note(const Caller& caller, const UserId& user, const std::vector<Scope>& scopes,
                   const MateId& mate) {
    caller.note->user_id = user;
    caller.note->scopes = scopes;
    caller.note->resource = "mate:" + mate.str();
  }

  platform::Environment& environment_;
  Store store_;
  Copies copies_;
  Cache cache_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "consent",
      .description = "Consent management: what people allow whom, for what, until when",
      .migrations = migrations::consent(),
      .make = [](platform::Environment& environment) { return std::make_unique<Consents>(environment); },
  };
}

}  // namespace intra365::services::consent
