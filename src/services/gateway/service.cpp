#include "services/gateway/service.hpp"

#include <atomic>

#include "consent/lifecycle.hpp"
#include "contract/catalog.hpp"
#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/operations/consent.hpp"
#include "contract/operations/policy.hpp"
#include "contract/operations/registry.hpp"
#include "contract/subjects.hpp"
#include "guard/consent_index.hpp"
#include "replica/token_replica.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/translate.hpp"

namespace intra365::services::gateway {
namespace {

constexpr auto kOperationTime = std::chrono::seconds(10);
constexpr std::chrono::milliseconds kCallTime = std::chrono::seconds(30);
/// What an HTTP client may hand on to a Mate.
constexpr std::string_view kPurposeHeader = "x-purpose";

std::atomic<std::uint16_t> listening{0};

/// What a call may use data for: the purpose that the client names, if it is one of the Mate's; else any of
/// the Mate's, since which of its actions uses what is known to the Mate alone.
Result<std::vector<Purpose>> purposes_of(const http::Request& request, const registry::DataAccess& access) {
  const auto text = request.header(kPurposeHeader);
  if (text.empty()) return access.purposes;
  TRY(auto named, Purpose::parse(text));
  const bool known = std::ranges::any_of(
      access.purposes, [&](const Purpose& one) { return consent::covers(one.str(), named.str()); });
  if (!known && !access.purposes.empty())
    return fail(errors::consent_purpose, "X-Purpose: the Mate has not registered it");
  return std::vector<Purpose>{std::move(named)};
}

}  // namespace

std::uint16_t listening_port() {
  return listening;
}

platform::ServiceModule module() {
  return {
      .name = "gateway",
      .description = "HTTP gateway: REST, calls to Mates, documents, health",
      .migrations = {},
      .make = [](platform::Environment& environment) { return std::make_unique<Gateway>(environment); },
  };
}

Gateway::Gateway(platform::Environment& environment)
    : environment_(environment),
      services_(environment.nats, "gateway"),
      doors_(environment),
      access_(environment),
      opt_outs_(environment, services_),
      stop_(std::make_shared<Stop>(environment.executor)) {
  for (const auto& operation : catalog()) {
    if (operation.spec->http.method != Method::none)
      add(to_string(operation.spec->http.method), operation.spec->http.path, {&operation, nullptr});
  }
  add("POST", "/v1/mates/{mateId}/call/{capability}/{action}", {nullptr, &Gateway::call_mate});
  add("GET", "/v1/consents/events", {nullptr, &Gateway::own_consent_events});
  add("GET", "/healthz", {nullptr, &Gateway::healthz});
  add("GET", "/readyz", {nullptr, &Gateway::readyz});
  add("GET", "/metrics", {nullptr, &Gateway::metrics});
  add("GET", "/openapi.json", {nullptr, &Gateway::openapi_document});
  add("GET", "/asyncapi.json", {nullptr, &Gateway::asyncapi_document});
  add("GET", "/docs", {nullptr, &Gateway::docs});
  add("GET", "/docs/{asset}", {nullptr, &Gateway::docs_asset});
  add("GET", "/.well-known/openid-configuration", {nullptr, &Gateway::discovery});
  add("GET", "/.well-known/oauth-authorization-server", {nullptr, &Gateway::discovery});
  add("GET", "/.well-known/jwks.json", {nullptr, &Gateway::jwks});
  add("GET", "/.well-known/gpc.json", {nullptr, &Gateway::gpc_support});
  add("GET", "/privacy/opt-out", {nullptr, &Gateway::opt_out_page});
  add("POST", "/privacy/opt-out", {nullptr, &Gateway::choose_opt_out});
  add("GET", "/.well-known/authzen-configuration", {nullptr, &Gateway::access_configuration});
  add("POST", "/access/v1/evaluation", {nullptr, &Gateway::access_evaluation});
  add("POST", "/access/v1/evaluations", {nullptr, &Gateway::access_evaluations});
  add("POST", "/access/v1/search/{searched}", {nullptr, &Gateway::access_search});
}

Gateway::~Gateway() = default;

void Gateway::add(std::string_view method, std::string_view path, Route route) {
  router_.add(method, path, routes_.size());
  routes_.push_back(route);
}

Task<> Gateway::start() {
  CO_CHECK(co_await access_.start());
  const auto& config = environment_.config.gateway;
  http::ServerOptions options;
  options.host = config.host;
  options.port = config.port;
  options.certificate_file = config.certificate_file;
  options.key_file = config.key_file;
  options.render_error = [](int, const Error& error) { return problem(error, {}); };
  server_.emplace(environment_.executor, std::move(options),
                  [this](http::Request request) { return answer(std::move(request)); });
  CO_CHECK(server_->start());
  listening = server_->port();
  co_return Result<void>{};
}

Task<> Gateway::stop() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  stop_->begin();
  if (server_) co_await server_->drain(deadline);
  co_await access_.stop();
  co_return co_await doors_.close(deadline);
}

asio::awaitable<http::Response> Gateway::answer(http::Request request) {
  Exchange exchange;
  exchange.trace = TraceContext::parse_or_new(request.header("traceparent")).child();
  exchange.request = std::move(request);
  // A HEAD is a GET whose body stays here.
  const auto method = exchange.request.method == "HEAD" ? std::string("GET") : exchange.request.method;
  exchange.match = router_.find(method, exchange.request.path);
  exchange.deadline = std::chrono::steady_clock::now() + kOperationTime;

  Result<http::Response> outcome =
      fail(errors::unknown_operation, "there is no " + exchange.request.path.substr(0, 200));
  if (exchange.match.kind == http::Router::Match::Kind::no_method) {
    auto response = problem(Error(errors::method_not_allowed), exchange.trace.trace_id());
    response.status = 405;
    std::string allowed;
    for (const auto& name : exchange.match.allowed) allowed.append(allowed.empty() ? "" : ", ").append(name);
    response.headers.emplace_back("Allow", allowed);
    co_return response;
  }
  if (exchange.match.kind == http::Router::Match::Kind::found) {
    const auto& route = routes_[exchange.match.index];
    if (route.operation != nullptr)
      outcome = co_await contain(run_operation(*route.operation, exchange));
    else
      outcome = co_await contain((this->*route.page)(exchange));
  }
  auto response = outcome ? *std::move(outcome) : problem(outcome.error(), exchange.trace.trace_id());
  response.headers.emplace_back("traceparent", exchange.trace.traceparent());
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  // Who sends an id of its own finds it again in the answer (AuthZEN asks for it).
  if (const auto id = exchange.request.header("x-request-id"); !id.empty() && id.size() <= 128)
    response.headers.emplace_back("X-Request-ID", id);
  co_return response;
}

Task<http::Response> Gateway::run_operation(const OperationInfo& operation, const Exchange& exchange) {
  CO_TRY(auto body, request_body(operation, exchange.match, exchange.request));
  const auto authorization = exchange.request.header("authorization");
  // The service decides; the gateway only has to find the tenant whose account the request belongs to.
  std::string account = "guest";
  if (!authorization.empty() || operation.spec->access != Access::guest) {
    if (!environment_.tokens.alive(environment_.clock.boot_now()))
      co_await environment_.tokens.until_alive(exchange.deadline);
    CO_TRY(const auto* verified, environment_.tokens.verify_header(authorization));
    const auto identity = *verified;
    const auto tenant = identity.tenant;
    co_await opt_outs_.heed(exchange.request, identity, exchange.trace);
    CO_TRY(account, co_await environment_.tenants.account_of(tenant, exchange.deadline));
  }
  nats::HeaderBlock block;
  if (!authorization.empty() && !block.add(headers::authorization, authorization))
    co_return fail(errors::malformed_token);
  block.add(headers::traceparent, exchange.trace.traceparent());
  const auto subject = subjects::in_account(account, operation.spec->subject);
  CO_TRY(const auto reply, co_await environment_.nats.request(subject, body, block, exchange.deadline));
  if (auto error = platform::reply_error(reply.view())) co_return fail(*std::move(error));
  co_return json_response(std::string(reply.payload()));
}

Task<http::Response> Gateway::call_mate(const Exchange& exchange) {
  const auto& parameters = exchange.match.parameters;
  CO_TRY(const auto mate, MateId::parse(parameters[0].second));
  CO_TRY(const auto capability, Capability::parse(parameters[1].second));
  CO_TRY(const auto action, Capability::parse(parameters[2].second));
  const auto authorization = exchange.request.header("authorization");
  if (!environment_.tokens.alive(environment_.clock.boot_now()))
    co_await environment_.tokens.until_alive(exchange.deadline);
  CO_TRY(const auto* verified, environment_.tokens.verify_header(authorization));
  const auto identity = *verified;
  const auto tenant = identity.tenant;
  const auto caller = identity.subject();
  co_await opt_outs_.heed(exchange.request, identity, exchange.trace);
  CO_TRY(const auto permitted, co_await permit(exchange, tenant, caller, mate));

  const auto format = asked_format(exchange.request.header("accept"));
  const std::chrono::milliseconds time = format ? kStreamTime : kCallTime;
  const auto deadline = std::chrono::steady_clock::now() + time;
  CO_TRY(auto* door, co_await doors_.open(tenant, exchange.deadline));
  nats::HeaderBlock block;
  if (!block.add(headers::authorization, authorization)) co_return fail(errors::malformed_token);
  block.add(headers::traceparent, exchange.trace.traceparent());
  block.add(headers::deadline_ms, std::to_string(time.count()));
  if (const auto user = exchange.request.header("x-user-id"); !user.empty())
    block.add(headers::user_id, user);
  if (permitted.consent_id) block.add(headers::consent_id, *permitted.consent_id);
  if (permitted.opt_out) block.add(headers::opt_out, *permitted.opt_out);
  auto subject = subjects::mate(mate, capability.str() + "." + action.str());
  if (format)
    co_return co_await stream_mate(exchange, *door, mate, std::move(subject), std::move(block), *format,
                                   deadline);
  CO_TRY(const auto reply, co_await door->request(subject, exchange.request.body, block, deadline));
  if (auto error = platform::reply_error(reply.view())) co_return fail(*std::move(error));
  co_return json_response(std::string(reply.payload()));
}

Task<Gateway::Permit> Gateway::permit(const Exchange& exchange, TenantId tenant, std::string caller,
                                      MateId mate) {
  registry::MateRequest wanted;
  wanted.mate_id = mate;
  CO_TRY(const auto registered,
         co_await services_.call(registry::get, tenant, wanted, exchange.trace, exchange.deadline));
  const auto access = registered.data_access.value_or(registry::DataAccess());
  CO_TRY(const auto purposes, purposes_of(exchange.request, access));

  Permit permit;
  CO_TRY(permit.opt_out,
         co_await opt_outs_.check(exchange.request, tenant, purposes, exchange.trace, exchange.deadline));
  boost::json::object consented{{"granted", false}};
  if (!access.required_scopes.empty()) {
    const auto user = exchange.request.header("x-user-id");
    if (user.empty()) co_return fail(errors::user_required);
    if (purposes.empty())
      co_return fail(errors::consent_purpose, "the Mate names no purpose; send X-Purpose");
    consent::VerifyRequest question;
    CO_TRY(question.user_id, UserId::parse(user));
    question.mate_id = mate;
    question.scopes = access.required_scopes;
    question.purpose = purposes.front();
    CO_TRY(const auto answer,
           co_await services_.call(consent::verify, tenant, question, exchange.trace, exchange.deadline));
    if (!answer.allowed) co_return fail(guard::error_of(answer.code));
    permit.consent_id = answer.consent_id->str();
    // The same rule as at the Mate: another consent may be named, where that one covers the use as well.
    if (const auto named = exchange.request.header("x-consent-id");
        !named.empty() && named != *permit.consent_id) {
      const auto parsed = ConsentId::parse(named);
      if (!parsed) co_return fail(errors::consent_mismatch);
      question.consent_id = *parsed;
      CO_TRY(const auto by_it,
             co_await services_.call(consent::verify, tenant, question, exchange.trace, exchange.deadline));
      if (!by_it.allowed) co_return fail(errors::consent_mismatch);
      permit.consent_id = named;
    }
    consented = {{"granted", true}, {"purpose", question.purpose.str()}};
  }

  policy::EvaluateRequest question;
  question.subject = caller;
  question.action = "call";
  question.resource = "mate:" + mate.str() + "/" + std::string(exchange.match.parameters[1].second) + "/" +
                      std::string(exchange.match.parameters[2].second);
  question.context = boost::json::object{{"consent", std::move(consented)}};
  CO_TRY(const auto decision, co_await services_.call(policy::evaluate, tenant, std::move(question),
                                                      exchange.trace, exchange.deadline));
  if (decision.decision != policy::Decision::allow) co_return fail(errors::policy_denied);
  co_return permit;
}

}  // namespace intra365::services::gateway
