#include "nats/jetstream_advisory.hpp"

#include <boost/json.hpp>

#include "nats/jetstream_wire.hpp"

namespace intra365::nats {

Result<Advisory> decode_advisory(std::string_view payload) {
  boost::system::error_code error;
  const auto value = boost::json::parse(payload, error);
  const auto* object = error ? nullptr : value.if_object();
  if (!object) return fail(errors::bad_reply);
  Advisory advisory;
  advisory.type = wire::text(*object, "type");
  advisory.id = wire::text(*object, "id");
  advisory.time = wire::text(*object, "timestamp");
  advisory.stream = wire::text(*object, "stream");
  advisory.consumer = wire::text(*object, "consumer");
  advisory.json = payload;
  if (advisory.type.empty()) return fail(errors::bad_reply);
  return advisory;
}

Result<Subscription> subscribe_advisories(Connection& connection,
                                          std::function<void(const Advisory&)> handler) {
  return connection.subscribe("$JS.EVENT.ADVISORY.>",
                              [handler = std::move(handler)](const MessageView& message) {
                                if (const auto advisory = decode_advisory(message.payload))
                                  handler(*advisory);
                              });
}

}  // namespace intra365::nats
