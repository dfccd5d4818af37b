#include "services/gateway/opt_out.hpp"

#include "consent/catalogue.hpp"
#include "consent/opt_out.hpp"
#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/subjects.hpp"

namespace intra365::services::gateway {
namespace {

constexpr std::string_view kCookie = "intra365-opt-out";
constexpr int kCookieDays = 390;  // browsers keep none for longer than 400

/// The value of a cookie in a Cookie header (RFC 6265, section 4.2.1); the first of that name.
std::string_view cookie(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const auto end = std::min(header.find(';'), header.size());
    auto pair = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
  }
  return {};
}

}  // namespace

std::optional<consent::OptOutMethod> opt_out_signal(const http::Request& request) {
  if (request.header("sec-gpc") == "1") return consent::OptOutMethod::gpc;
  if (cookie(request.header("cookie"), kCookie) == "1") return consent::OptOutMethod::device;
  return std::nullopt;
}

std::string opt_out_cookie(bool opted_out, bool over_tls) {
  std::string text(kCookie);
  text += opted_out ? "=1; Max-Age=" + std::to_string(kCookieDays * 24 * 3600) : std::string("=; Max-Age=0");
  text += "; Path=/; HttpOnly; SameSite=Lax";
  if (over_tls) text += "; Secure";
  return text;
}

asio::awaitable<void> OptOuts::heed(const http::Request& request, const guard::Identity& identity,
                                    const TraceContext& trace) {
  const auto signal = opt_out_signal(request);
  if (!signal || identity.kind != PrincipalKind::user) co_return;
  const auto who = identity.tenant.str() + " " + identity.id;
  const auto now = environment_.clock.steady_now();
  if (const auto known = asks_again_.find(who); known != asks_again_.end() && now < known->second) co_return;

  const auto recorded = co_await contain(
      record(request, identity, *signal, trace, std::chrono::steady_clock::now() + kRecordTime));
  if (!recorded)
    environment_.telemetry.log.write(
        platform::LogLevel::warning, "an opt-out is not recorded yet",
        {{"tenant", identity.tenant.str()}, {"code", recorded.error().code}, {"traceId", trace.trace_id()}});
  if (asks_again_.size() >= kMostRecorded) asks_again_.clear();
  const SteadyTime::duration pause = recorded ? SteadyTime::duration(kRecordedFor) : kRetryPause;
  asks_again_.insert_or_assign(who, now + pause);
}

Task<> OptOuts::record(const http::Request& request, const guard::Identity& identity,
                       consent::OptOutMethod method, const TraceContext& trace, SteadyTime deadline) {
  consent::OptOutRequest wanted;
  CO_TRY(wanted.user_id, UserId::parse(identity.id));
  wanted.method = method;
  const auto tenant = identity.tenant;
  CO_TRY(const auto account, co_await environment_.tenants.account_of(tenant, deadline));
  nats::HeaderBlock block;
  block.add(headers::authorization, request.header("authorization"));
  block.add(headers::traceparent, trace.traceparent());
  const auto subject = subjects::in_account(account, consent::opt_out.spec.subject);
  CO_TRY(const auto reply,
         co_await environment_.nats.request(subject, json::encode(wanted), block, deadline));
  if (auto error = platform::reply_error(reply.view())) co_return fail(*std::move(error));
  co_return Result<void>{};
}

Task<std::optional<std::string>> OptOuts::check(const http::Request& request, TenantId tenant,
                                                std::span<const Purpose> purposes, const TraceContext& trace,
                                                SteadyTime deadline) {
  if (!opt_out_signal(request)) co_return std::optional<std::string>();
  CO_TRY(const auto known,
         co_await services_.call(consent::catalogue, std::move(tenant), Empty(), trace, deadline));
  const auto text = consent::opt_out_text(consent::Catalogue(known).opt_outs());
  for (const auto& purpose : purposes) {
    if (consent::opts_out(text, purpose)) co_return fail(intra365::errors::opted_out, purpose.str());
  }
  if (text.empty()) co_return std::optional<std::string>();
  co_return std::optional(text);
}

}  // namespace intra365::services::gateway
