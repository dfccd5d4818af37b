// ADR-32 services: named endpoints with queue groups that answer $SRV.PING, INFO and STATS, so that the
// standard `nats` tools and @nats-io/services list and measure them.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "nats/connection.hpp"

namespace intra365::nats {

struct EndpointConfig {
  std::string name;               ///< [A-Za-z0-9_-]+
  std::string subject;            ///< may have wildcards
  std::string queue_group = "q";  ///< empty: every instance gets every request
  std::map<std::string, std::string> metadata;
};

struct ServiceConfig {
  std::string name, version, description;
  std::map<std::string, std::string> metadata;
  std::vector<EndpointConfig> endpoints;
  std::size_t max_in_flight = 1024;  ///< beyond it a request is answered 429 `service.busy` at once
};

struct ServiceReply {
  std::string payload;
  int error_code = 0;  ///< 0: success; else the HTTP-like number of Nats-Service-Error-Code
  std::string error_text;
  bool sent = false;  ///< the handler has answered by itself; this is only counted
};

/// An answer that is known at once, or the work that leads to one. A coroutine must own what it needs of the
/// request: the view is gone when the handler has returned.
using ServiceAnswer = std::variant<ServiceReply, asio::awaitable<ServiceReply>>;

/// What the service counted for one endpoint since it started.
struct EndpointStatistics {
  std::uint64_t requests = 0, errors = 0;
  std::chrono::nanoseconds processing_time{0};
  std::string last_error;
};

/// Runs on the connection's executor. `handle` gets each request and the position of its endpoint in
/// `ServiceConfig::endpoints`; what it returns as a coroutine is spawned, bounded by `max_in_flight`. A
/// request without a reply subject is handled, and its reply dropped. The connection must outlive the
/// service. What `handle` refers to must live until `drain` has returned; a service that goes without having
/// been drained cancels what is in flight.
class Service {
 public:
  using Handle = std::function<ServiceAnswer(const MessageView& request, std::size_t endpoint)>;
  Service(Connection& connection, ServiceConfig config, Handle handle);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  /// Subscribes; the service can be found once the connection's next flush has returned. Fails with
  /// service.malformed, nats.bad_subject or nats.closed.
  Result<void> start();
  /// Leaves the queue groups, finishes what is in flight, answers, ends. What is not done by `deadline` is
  /// cancelled, and the result is `nats.timeout`.
  Task<> drain(SteadyTime deadline);
  const std::string& id() const;
  std::size_t in_flight() const;
  const EndpointStatistics& statistics(std::size_t endpoint) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::nats
