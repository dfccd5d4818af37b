#include "services/gateway/opt_out.hpp"

#include "consent/catalogue.hpp"
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

Task<> OptOuts::heed(const http::Request& request, const guard::Identity& identity, const TraceContext& trace,
                     SteadyTime deadline) {
  const auto signal = opt_out_signal(request);
  if (!signal || identity.kind != PrincipalKind::user) co_return Result<void>{};
  const auto who = identity.tenant.str() + " " + identity.id;
  const auto now = environment_.clock.steady_now();
  if (const auto known = recorded_.find(who); known != recorded_.end() && now - known->second < kRecordedFor)
    co_return Result<void>{};

  consent::OptOutRequest wanted;
  CO_TRY(wanted.user_id, UserId::parse(identity.id));
  wanted.method = *signal;
  const auto tenant = identity.tenant;
  CO_TRY(const auto account, co_await environment_.tenants.account_of(tenant, deadline));
  nats::HeaderBlock block;
  block.add(headers::authorization, request.header("authorization"));
  block.add(headers::traceparent, trace.traceparent());
  const auto subject = subjects::in_account(account, consent::opt_out.spec.subject);
  CO_TRY(const auto reply,
         co_await environment_.nats.request(subject, json::encode(wanted), block, deadline));
  if (auto error = platform::reply_error(reply.view())) co_return fail(*std::move(error));
  if (recorded_.size() >= kMostRecorded) recorded_.clear();
  recorded_.insert_or_assign(who, now);
  co_return Result<void>{};
}

Task<> OptOuts::check(const http::Request& request, TenantId tenant, const Purpose& purpose,
                      const TraceContext& trace, SteadyTime deadline) {
  if (!opt_out_signal(request)) co_return Result<void>{};
  CO_TRY(const auto known,
         co_await services_.call(consent::catalogue, std::move(tenant), Empty(), trace, deadline));
  if (consent::Catalogue(known).is_opt_out(purpose))
    co_return fail(intra365::errors::opted_out, purpose.str());
  co_return Result<void>{};
}

}  // namespace intra365::services::gateway
