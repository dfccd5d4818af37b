#include "platform/environment.hpp"

#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"

namespace intra365::platform {
namespace {

/// CloudEvents 1.0, structured as JSON.
struct CloudEvent {
  std::string specversion = "1.0";
  std::string id;
  std::string source;
  std::string type;
  Timestamp time;
  std::string datacontenttype = "application/json";
  std::string traceparent;
  boost::json::value data;
};
BOOST_DESCRIBE_STRUCT(CloudEvent, (),
                      (specversion, id, source, type, time, datacontenttype, traceparent, data))

}  // namespace

Task<> EventPublisher::start() {
  nats::StreamConfig stream;
  stream.name = "EVENTS";
  stream.subjects = {subjects::in_any_account("intra365.events.>")};
  stream.description = "What happened in each tenant";
  stream.max_age = std::chrono::hours(24 * 30);
  CO_CHECK(co_await jetstream_.ensure_stream(stream));
  co_return Result<void>{};
}

Task<> EventPublisher::publish(TenantId tenant, std::string domain, std::string type, std::string data,
                               TraceContext trace) {
  CO_TRY(const auto account,
         co_await tenants_.account_of(tenant, std::chrono::steady_clock::now() + std::chrono::seconds(2)));
  CO_TRY(auto content, json::parse(data));
  CloudEvent event;
  event.id = new_uuid();
  event.source = "/intra365/" + tenant.str();
  event.type = "intra365." + domain + "." + type;
  event.time = system_clock().now();
  event.traceparent = trace.traceparent();
  event.data = std::move(content);
  nats::HeaderBlock headers;
  headers.add("Nats-Msg-Id", event.id);
  headers.add("Content-Type", "application/cloudevents+json");
  headers.add(headers::traceparent, event.traceparent);
  const auto subject = subjects::in_account(account, subjects::event(domain, type));
  CO_CHECK(co_await jetstream_.publish(subject, json::encode(event), headers));
  co_return Result<void>{};
}

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
