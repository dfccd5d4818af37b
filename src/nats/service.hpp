// ADR-32 services: named endpoints with queue groups that answer $SRV.PING, INFO and STATS, so that the
// standard `nats` tools and @nats-io/services list and measure them.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nats/connection.hpp"

namespace intra365::nats {

struct EndpointConfig {
  std::string name;
  std::string subject;
  std::string queue_group = "q";
  std::map<std::string, std::string> metadata;
};

struct ServiceConfig {
  std::string name, version, description;
  std::map<std::string, std::string> metadata;
  std::vector<EndpointConfig> endpoints;
  std::size_t max_in_flight = 1024;  ///< beyond it a request is answered 429 `service.busy` at once
};

/// A request being answered; keeps the reply subject, and answers exactly once.
class ServiceRequest {
 public:
  Message message;
  std::size_t endpoint = 0;
};

struct ServiceReply {
  std::string payload;
  int error_code = 0;       ///< 0: success; else the HTTP-like number of Nats-Service-Error-Code
  std::string error_text;
};

/// Runs on the connection's executor. `handle` is spawned per request, bounded by `max_in_flight`.
class Service {
 public:
  using Handle = std::function<asio::awaitable<ServiceReply>(ServiceRequest)>;
  Service(Connection& connection, ServiceConfig config, Handle handle);
  ~Service();
  Result<void> start();
  /// Leaves the queue groups, finishes what is in flight, answers, ends.
  Task<> drain(SteadyTime deadline);
  const std::string& id() const;
  std::size_t in_flight() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::nats
