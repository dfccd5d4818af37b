#include "platform/environment.hpp"

#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"

namespace intra365::platform {

Task<std::string> ServiceClient::call_json(std::string_view subject, TenantId tenant, std::string body,
                                           TraceContext trace, SteadyTime deadline) {
  nats::HeaderBlock headers;
  headers.add(tenant_header, tenant.str());
  headers.add(service_header, service_);
  headers.add(headers::traceparent, trace.traceparent());
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  headers.add(headers::deadline_ms, std::to_string(std::max<std::int64_t>(left.count(), 0)));
  const auto target = subjects::in_account(subjects::platform_account, subject);
  CO_TRY(const auto reply, co_await connection_.request(target, body, headers, deadline));
  if (auto error = reply_error(reply.view())) co_return fail(*std::move(error));
  co_return std::string(reply.payload());
}

std::optional<Error> reply_error(const nats::MessageView& reply) {
  return read_error(reply.headers.get(headers::error_code), reply.headers.get(headers::error_text),
                    reply.payload);
}

}  // namespace intra365::platform
