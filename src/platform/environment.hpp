// Everything the platform gives to a service: its connections, clock, telemetry and the ways to talk to
// others.
#pragma once
#include "async/task_group.hpp"
#include "base/time.hpp"
#include "contract/errors.hpp"
#include "nats/jetstream.hpp"
#include "platform/audit_trail.hpp"
#include "platform/caller.hpp"
#include "platform/config.hpp"
#include "platform/reads.hpp"
#include "platform/telemetry.hpp"
#include "platform/tenant_directory.hpp"
#include "postgres/pool.hpp"

namespace intra365::replica {
class TokenReplica;
}

namespace intra365::platform::errors {
using namespace intra365::errors;  // the contract's codes and the platform's own read alike
}

namespace intra365::platform {

/// Calls operations of other services, as this service, inside the platform's account.
class ServiceClient {
 public:
  ServiceClient(nats::Connection& connection, std::string service)
      : connection_(connection), service_(std::move(service)) {}
  template <class Request, class Reply>
  Task<Reply> call(const Operation<Request, Reply>& operation, TenantId tenant, Request request,
                   TraceContext trace, SteadyTime deadline) {
    CO_TRY(const auto body, co_await call_json(operation.spec.subject, std::move(tenant),
                                               json::encode(request), std::move(trace), deadline));
    co_return json::decode<Reply>(body, json::Unknown::ignore);
  }
  Task<std::string> call_json(std::string_view subject, TenantId tenant, std::string body, TraceContext trace,
                              SteadyTime deadline);

 private:
  nats::Connection& connection_;
  std::string service_;
};

/// Lives as long as its host; everything belongs to one shard.
struct Environment {
  const Config& config;
  const Clock& clock;
  asio::any_io_executor executor;
  nats::Connection& nats;  ///< in the PLATFORM account
  nats::JetStream& jetstream;
  postgres::Pool& database;
  Reads& reads;  ///< statements that a replica may answer
  TaskGroup& tasks;
  TenantDirectory& tenants;
  AuditTrail& audit;
  replica::TokenReplica& tokens;  ///< who is behind a token, as long as that is certain
  Telemetry telemetry;
  /// Whether each dependency answers: names and states for /readyz.
  std::function<std::vector<std::pair<std::string, bool>>()> readiness;
};

/// Header by which one platform service tells another for whom it asks; it means something inside the
/// platform's own account only.
inline constexpr std::string_view tenant_header = "Intra365-Tenant";
inline constexpr std::string_view service_header = "Intra365-Service";

/// Options of a connection that logs in with a credentials file and reports to the log.
nats::Options connection_options(const Config& config, std::string creds_file, std::string name,
                                 Telemetry telemetry);

/// Reads the error of a service's reply: Nats-Service-Error-Code and the JSON body.
std::optional<Error> reply_error(const nats::MessageView& reply);

}  // namespace intra365::platform
