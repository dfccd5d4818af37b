// What JetStream tells of itself: limits met, deliveries given up, leaders elected, batches abandoned.
#pragma once
#include <functional>
#include <string>

#include "nats/connection.hpp"

namespace intra365::nats {

struct Advisory {
  std::string type;  ///< such as io.nats.jetstream.advisory.v1.max_deliver
  std::string id, time;
  std::string stream, consumer;  ///< where it is about one
  std::string json;              ///< the whole of it
};

/// Advisories of this account. `handler` runs on the connection's executor as long as the subscription lives.
/// What is not an advisory is left out.
Result<Subscription> subscribe_advisories(Connection& connection,
                                          std::function<void(const Advisory&)> handler);

/// Fails with jetstream.bad_reply.
Result<Advisory> decode_advisory(std::string_view payload);

}  // namespace intra365::nats
