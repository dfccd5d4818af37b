#include "services/events/events.hpp"

#include "contract/headers.hpp"
#include "contract/subjects.hpp"
#include "json/json.hpp"

namespace intra365::services::events {
namespace {

struct Told {
  std::string tenant, account, domain, type;
  std::optional<std::string> person;  ///< whom alone it is for; absent: for whoever runs the tenant
  boost::json::value data;
  std::optional<std::string> trace_id;
};
BOOST_DESCRIBE_STRUCT(Told, (), (tenant, account, domain, type, person, data, trace_id))

/// CloudEvents 1.0, JSON format, with the distributed tracing extension.
struct CloudEvent {
  std::string specversion = "1.0";
  std::string id, source, type;
  Timestamp time;
  std::string datacontenttype = "application/json";
  std::optional<std::string> traceparent;
  boost::json::value data;
};
BOOST_DESCRIBE_STRUCT(CloudEvent, (),
                      (specversion, id, source, type, time, datacontenttype, traceparent, data))

/// The event is a span of its own in the trace of who caused it; its id comes from the event's, so that it is
/// the same whenever the log is read again.
std::string traceparent_of(const std::string& trace_id, const std::string& event_id) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : event_id) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::string span;
  for (int shift = 60; shift >= 0; shift -= 4) span += hex[hash >> shift & 0xf];
  return "00-" + trace_id + "-" + span + "-00";
}

}  // namespace

Result<std::optional<nats::Outgoing>> to_event(const postgres::pgoutput::Logical& message,
                                               const cdc::Transaction& transaction, const std::string& id) {
  if (message.prefix != message_prefix) return std::nullopt;
  auto told = json::decode<Told>(message.content, json::Unknown::ignore);
  if (!told || !is_token(told->account) || !is_token(told->domain) || !is_token(told->type) ||
      (told->person && !is_token(*told->person)))
    return fail(cdc::errors::bad_event);
  CloudEvent event;
  event.id = id;
  event.source = "/intra365/" + told->tenant;
  event.type = "intra365." + told->domain + "." + told->type;
  event.time = transaction.committed_at;
  event.data = std::move(told->data);
  nats::Outgoing outgoing;
  outgoing.subject = subjects::in_account(
      told->account, told->person ? subjects::person_event(*told->person, told->domain, told->type)
                                  : subjects::event(told->domain, told->type));
  outgoing.headers.add("Content-Type", "application/cloudevents+json");
  if (told->trace_id && told->trace_id->size() == 32) {
    event.traceparent = traceparent_of(*told->trace_id, id);
    outgoing.headers.add(headers::traceparent, *event.traceparent);
  }
  outgoing.payload = json::encode(event);
  return outgoing;
}

}  // namespace intra365::services::events
