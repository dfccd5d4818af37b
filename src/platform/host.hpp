// Runs services on one shard: makes their connections, starts them in order, routes requests through the
// pipeline, and takes everything down again without losing what is in flight.
#pragma once
#include <memory>
#include <vector>

#include "platform/environment.hpp"
#include "platform/service.hpp"

namespace intra365::platform {

/// Owned by the thread that runs `executor`.
class Host {
 public:
  Host(asio::any_io_executor executor, Config config, std::vector<ServiceModule> modules,
       Telemetry telemetry);
  ~Host();

  /// Applies what is missing of the modules' migrations; needs `postgres.owner_dsn`.
  Task<> migrate(SteadyTime deadline);
  /// Connects, checks the schema, starts every service. After it returns, requests are answered.
  Task<> start(SteadyTime deadline);
  /// Leaves the queue groups, answers what is in flight, writes the audit trail, closes.
  Task<> stop(SteadyTime deadline);

  /// Each dependency and whether it answers now.
  std::vector<std::pair<std::string, bool>> readiness() const;
  Environment& environment();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::platform
