#include "platform/pipeline.hpp"

#include <charconv>

#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/operations/auth.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"
#include "replica/token_replica.hpp"

namespace intra365::platform {
namespace {

/// A caller may ask for less time than the operation has, never for more.
SteadyTime deadline_of(const OperationSpec& spec, std::string_view asked_ms) {
  auto limit = spec.deadline;
  std::int64_t asked = 0;
  const auto [end, error] = std::from_chars(asked_ms.data(), asked_ms.data() + asked_ms.size(), asked);
  if (error == std::errc{} && end == asked_ms.data() + asked_ms.size() && asked >= 0)
    limit = std::min(limit, std::chrono::milliseconds(asked));
  return std::chrono::steady_clock::now() + limit;
}

/// By which others renew the leases of their own: it answers from the truth, and must not wait for ours.
bool renews_leases(const OperationSpec& spec) {
  return spec.subject == auth::sync.spec.subject;
}

void become(Caller& caller, const guard::Identity& identity) {
  caller.kind = identity.kind;
  caller.id = identity.id;
  caller.roles = identity.roles;
  caller.scopes = identity.scopes;
  caller.token_id = identity.token_id;
  caller.tenant = identity.tenant;
}

}  // namespace

Pipeline::Pipeline(Environment& environment, std::vector<BoundOperation> operations)
    : environment_(environment), operations_(std::move(operations)) {
  for (const auto& operation : operations_)
    metrics_.push_back(environment_.telemetry.metrics.operation(*operation.spec));
}

Pipeline::Passage::Passage(const OperationSpec& spec, const nats::MessageView& message)
    : began(std::chrono::steady_clock::now()) {
  caller.note = &note;
  caller.trace = TraceContext::parse_or_new(message.headers.get(headers::traceparent)).child();
  caller.deadline = deadline_of(spec, message.headers.get(headers::deadline_ms));
}

nats::ServiceAnswer Pipeline::handle(std::size_t index, const nats::MessageView& message) {
  if (operations_[index].invoke_now) {
    if (auto reply = handle_now(index, message)) return *std::move(reply);
  }
  return handle_later(index, nats::Message(message));
}

std::optional<nats::ServiceReply> Pipeline::handle_now(std::size_t index, const nats::MessageView& message) {
  const auto& operation = operations_[index];
  Passage passage(*operation.spec, message);
  auto& caller = passage.caller;
  if (!check_sizes(message)) return std::nullopt;
  const auto known = authenticate_now(*operation.spec, message, caller);
  if (!known || !*known || !check_role(*operation.spec, caller)) return std::nullopt;
  auto outcome = operation.invoke_now(caller, message.payload);
  if (!outcome) return std::nullopt;
  const auto took = std::chrono::steady_clock::now() - passage.began;
  const auto written = write_audit(*operation.spec, caller, *outcome ? nullptr : &outcome->error(), took);
  if (!written && *outcome) outcome = fail(written.error());
  return reply_of(index, passage, *std::move(outcome), took);
}

asio::awaitable<nats::ServiceReply> Pipeline::handle_later(std::size_t index, nats::Message message) {
  const auto& operation = operations_[index];
  Passage passage(*operation.spec, message.view());
  auto& caller = passage.caller;
  auto outcome = co_await contain(answer(operation, message.view(), caller));
  const auto took = std::chrono::steady_clock::now() - passage.began;
  const auto written = write_audit(*operation.spec, caller, outcome ? nullptr : &outcome.error(), took);
  if (written && *written && outcome) {
    // A little more than the operation's own time: the change is made, only its record is under way.
    const auto durable = co_await contain(environment_.audit.durable(
        **written,
        std::max(caller.deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(500))));
    if (!durable) outcome = fail(durable.error());
  }
  if (!written && outcome) outcome = fail(written.error());
  // In front of the answer, on the same connection. A failure may have changed something, too.
  if (operation.spec->effect == Effect::changes) environment_.reads.tell_change(caller);
  co_return reply_of(index, passage, std::move(outcome), took);
}

nats::ServiceReply Pipeline::reply_of(std::size_t index, const Passage& passage, Result<std::string> outcome,
                                      std::chrono::nanoseconds took) {
  metrics_[index].finished(took, outcome ? nullptr : &outcome.error());
  if (outcome) return {*std::move(outcome), 0, {}};
  const auto& error = outcome.error();
  const auto trace = passage.caller.trace.trace_id();
  if (error.kind == ErrorKind::internal) {
    environment_.telemetry.log.write(LogLevel::error, "operation failed",
                                     {{"operation", operations_[index].spec->name()},
                                      {"code", error.code},
                                      {"detail", error.detail},
                                      {"traceId", trace}});
    // What went wrong inside is for the log; the caller gets the code and the trace id to ask with.
    return {error_body(Error(ErrorKind::internal, error.code, std::string(errors::internal.meaning)), trace),
            500, error.code};
  }
  return {error_body(error, trace), http_status(error.kind), error.code};
}

Result<void> Pipeline::check_sizes(const nats::MessageView& message) {
  if (message.headers.block().size() > kMaxHeaderBytes) return fail(errors::headers_too_large);
  if (message.payload.size() > kMaxBodyBytes) return fail(errors::body_too_large);
  return {};
}

Result<void> Pipeline::check_role(const OperationSpec& spec, const Caller& caller) {
  if (caller.is_service() || allows(caller.roles, spec.access)) return {};
  if (caller.kind == PrincipalKind::guest) return fail(errors::no_token);
  return fail(errors::role_required,
              "'" + std::string(spec.name()) + "' needs the role " + std::string(to_string(spec.access)));
}

Task<std::string> Pipeline::answer(const BoundOperation& operation, const nats::MessageView& message,
                                   Caller& caller) {
  CO_CHECK(check_sizes(message));
  CO_CHECK(co_await authenticate(*operation.spec, message, caller));
  CO_CHECK(check_role(*operation.spec, caller));
  caller.changed_at = environment_.reads.changed_at(caller);
  co_return co_await with_deadline(caller.deadline, operation.invoke(caller, std::string(message.payload)));
}

Result<bool> Pipeline::authenticate_now(const OperationSpec& spec, const nats::MessageView& message,
                                        Caller& caller) {
  const auto scoped = subjects::split_account(message.subject);
  if (!scoped) return fail(errors::unknown_operation);
  caller.account = scoped->account;

  if (scoped->account == subjects::platform_account) {
    // Only services are inside the platform's account: the server keeps everybody else out of this subject.
    const auto service = message.headers.get(service_header);
    if (!is_token(service)) return fail(errors::no_token, "a platform service must name itself");
    if (const auto tenant = message.headers.get(tenant_header); !tenant.empty()) {
      TRY(caller.tenant, TenantId::parse(tenant));
    }
    caller.kind = PrincipalKind::service;
    caller.id = service;
    return true;
  }

  const auto* tenant = environment_.tenants.find(scoped->account);
  const auto authorization = message.headers.get(headers::authorization);
  if (authorization.empty() && spec.access == Access::guest) {
    // A guest belongs to no tenant; one that is asked for by a tenant's account does.
    if (tenant != nullptr) caller.tenant = *tenant;
    return true;
  }
  auto& tokens = environment_.tokens;
  TRY(const auto* identity, renews_leases(spec) ? tokens.verify_header_without_lease(authorization)
                                                : tokens.verify_header(authorization));
  become(caller, *identity);
  // The token says who; the account, put there by the server, says from which tenant. Both must agree.
  if (tenant == nullptr) return false;
  if (*tenant != caller.tenant) return fail(errors::wrong_tenant);
  return true;
}

Task<> Pipeline::authenticate(const OperationSpec& spec, const nats::MessageView& message, Caller& caller) {
  auto known = authenticate_now(spec, message, caller);
  if (!known && known.error().is(errors::lease_expired)) {
    co_await environment_.tokens.until_alive(caller.deadline);
    known = authenticate_now(spec, message, caller);
  }
  CO_TRY(const bool done, std::move(known));
  if (done) co_return Result<void>{};
  auto tenant = co_await environment_.tenants.tenant_of(caller.account, caller.deadline);
  if (!tenant) co_return fail(std::move(tenant).error());
  if (*tenant != caller.tenant) co_return fail(errors::wrong_tenant);
  co_return Result<void>{};
}

Result<std::optional<std::uint64_t>> Pipeline::write_audit(const OperationSpec& spec, const Caller& caller,
                                                           const Error* error,
                                                           std::chrono::nanoseconds took) {
  const bool refused =
      error != nullptr && (error->kind == ErrorKind::denied || error->kind == ErrorKind::unauthenticated);
  if (!spec.audited && !refused) return std::nullopt;
  if (caller.tenant.empty() && !refused) return std::nullopt;

  AuditRecord record;
  record.tenant = caller.tenant.empty() ? TenantId::trusted("platform") : caller.tenant;
  auto& entry = record.entry;
  entry.at = environment_.clock.now();
  entry.source = "platform";
  entry.actor = caller.subject();
  entry.action = spec.name();
  const auto& note = *caller.note;
  entry.resource = note.resource.empty() ? "operation:" + std::string(spec.name()) : note.resource;
  entry.outcome = refused || !note.refusal.empty() ? "denied" : error == nullptr ? "allowed" : "failed";
  if (error != nullptr)
    entry.code = error->code;
  else if (!note.refusal.empty())
    entry.code = note.refusal;
  entry.user_id = note.user_id;
  entry.consent_id = note.consent_id;
  entry.purpose = note.purpose;
  entry.scopes = note.scopes;
  entry.trace_id = std::string(caller.trace.trace_id());
  entry.duration_us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  if (spec.effect != Effect::changes) {
    CHECK(environment_.audit.record_alike(std::move(record)));
    return std::nullopt;
  }
  entry.entry_id = new_uuid();
  std::vector<AuditRecord> records;
  records.push_back(std::move(record));
  TRY(const auto position, environment_.audit.record(std::move(records)));
  return error == nullptr ? std::optional(position) : std::nullopt;
}

}  // namespace intra365::platform
