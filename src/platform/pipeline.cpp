#include "platform/pipeline.hpp"

#include <charconv>

#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"

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

void become(Caller& caller, const guard::Identity& identity) {
  caller.kind = identity.kind;
  caller.id = identity.id;
  caller.roles = identity.roles;
  caller.scopes = identity.scopes;
  caller.token_id = identity.token_id;
}

}  // namespace

Pipeline::Pipeline(Environment& environment, std::vector<BoundOperation> operations)
    : environment_(environment), operations_(std::move(operations)) {
  for (const auto& operation : operations_)
    metrics_.push_back(environment_.telemetry.metrics.operation(*operation.spec));
}

asio::awaitable<nats::ServiceReply> Pipeline::handle(std::size_t index, nats::Message message) {
  const auto& operation = operations_[index];
  const auto began = std::chrono::steady_clock::now();
  AuditNote note;
  Caller caller;
  caller.note = &note;
  caller.trace = TraceContext::parse_or_new(message.headers().get(headers::traceparent)).child();
  caller.deadline = deadline_of(*operation.spec, message.headers().get(headers::deadline_ms));

  auto outcome = co_await contain(answer(operation, message, caller));
  const auto took = std::chrono::steady_clock::now() - began;
  if (auto audited =
          co_await contain(write_audit(*operation.spec, caller, outcome ? nullptr : &outcome.error(), took));
      !audited && outcome) {
    outcome = fail(std::move(audited).error());
  }
  metrics_[index].finished(took, outcome ? nullptr : &outcome.error());
  if (outcome) co_return nats::ServiceReply{*std::move(outcome), 0, {}};

  const auto& error = outcome.error();
  if (error.kind == ErrorKind::internal) {
    environment_.telemetry.log.write(LogLevel::error, "operation failed",
                                     {{"operation", operation.spec->name()},
                                      {"code", error.code},
                                      {"detail", error.detail},
                                      {"traceId", caller.trace.trace_id()}});
    // What went wrong inside is for the log; the caller gets the code and the trace id to ask with.
    co_return nats::ServiceReply{
        error_body(Error(ErrorKind::internal, error.code, std::string(errors::internal.meaning)),
                   caller.trace.trace_id()),
        500, error.code};
  }
  co_return nats::ServiceReply{error_body(error, caller.trace.trace_id()), http_status(error.kind),
                               error.code};
}

Task<std::string> Pipeline::answer(const BoundOperation& operation, const nats::Message& message,
                                   Caller& caller) {
  if (message.headers().block().size() > kMaxHeaderBytes) co_return fail(errors::headers_too_large);
  if (message.payload().size() > kMaxBodyBytes) co_return fail(errors::body_too_large);
  CO_CHECK(co_await authenticate(*operation.spec, message, caller));
  if (!caller.is_service() && !allows(caller.roles, operation.spec->access)) {
    if (caller.kind == PrincipalKind::guest) co_return fail(errors::no_token);
    co_return fail(errors::role_required, "'" + std::string(operation.spec->name()) + "' needs the role " +
                                              std::string(to_string(operation.spec->access)));
  }
  co_return co_await with_deadline(caller.deadline, operation.invoke(caller, std::string(message.payload())));
}

Task<> Pipeline::authenticate(const OperationSpec& spec, const nats::Message& message, Caller& caller) {
  const auto scoped = subjects::split_account(message.subject());
  if (!scoped) co_return fail(errors::unknown_operation);
  caller.account = scoped->account;

  if (scoped->account == subjects::platform_account) {
    // Only services are inside the platform's account: the server keeps everybody else out of this subject.
    const auto service = message.headers().get(service_header);
    if (!is_token(service)) co_return fail(errors::no_token, "a platform service must name itself");
    if (const auto tenant = message.headers().get(tenant_header); !tenant.empty()) {
      CO_TRY(caller.tenant, TenantId::parse(tenant));
    }
    caller.kind = PrincipalKind::service;
    caller.id = service;
    co_return Result<void>{};
  }

  const auto authorization = message.headers().get(headers::authorization);
  if (authorization.empty() && spec.access == Access::guest) {
    // A guest belongs to no tenant; one that is asked for by a tenant's account does.
    if (const auto* tenant = environment_.tenants.find(scoped->account)) caller.tenant = *tenant;
    co_return Result<void>{};
  }
  CO_TRY(const auto* identity, environment_.tokens.verify_header(authorization));
  const auto verified = *identity;  // a copy: what follows may suspend
  become(caller, verified);
  caller.tenant = verified.tenant;
  // The token says who; the account, put there by the server, says from which tenant. Both must agree.
  auto account_tenant =
      co_await environment_.tenants.tenant_of(std::string(scoped->account), caller.deadline);
  if (!account_tenant) co_return fail(std::move(account_tenant).error());
  if (*account_tenant != verified.tenant) co_return fail(errors::wrong_tenant);
  co_return Result<void>{};
}

Task<> Pipeline::write_audit(const OperationSpec& spec, const Caller& caller, const Error* error,
                             std::chrono::nanoseconds took) {
  const bool refused =
      error != nullptr && (error->kind == ErrorKind::denied || error->kind == ErrorKind::unauthenticated);
  if (!spec.audited && !refused) co_return Result<void>{};
  if (caller.tenant.empty() && !refused) co_return Result<void>{};

  AuditRecord record;
  record.tenant = caller.tenant.empty() ? TenantId::trusted("platform") : caller.tenant;
  record.entry.entry_id = new_uuid();
  record.entry.at = environment_.clock.now();
  record.entry.source = "platform";
  record.entry.actor = caller.subject();
  record.entry.action = spec.name();
  const auto& note = *caller.note;
  record.entry.resource = note.resource.empty() ? "operation:" + std::string(spec.name()) : note.resource;
  record.entry.outcome = refused || !note.refusal.empty() ? "denied"
                         : error == nullptr               ? "allowed"
                                                          : "failed";
  if (error != nullptr)
    record.entry.code = error->code;
  else if (!note.refusal.empty())
    record.entry.code = note.refusal;
  record.entry.user_id = note.user_id;
  record.entry.consent_id = note.consent_id;
  record.entry.purpose = note.purpose;
  record.entry.scopes = note.scopes;
  record.entry.trace_id = std::string(caller.trace.trace_id());
  record.entry.duration_us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  std::vector<AuditRecord> records;
  records.push_back(std::move(record));
  CO_TRY(const auto position, environment_.audit.record(std::move(records)));
  if (spec.effect == Effect::changes && error == nullptr) {
    // A little more than the operation's own time: the change is made, only its record is under way.
    CO_CHECK(co_await environment_.audit.durable(
        position,
        std::max(caller.deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(500))));
  }
  co_return Result<void>{};
}

}  // namespace intra365::platform
