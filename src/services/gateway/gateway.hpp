// HTTP for people and programs that do not speak NATS: the REST routes made from the operations, the call to
// a Mate, the documents, and what operators watch.
#pragma once
#include "http/router.hpp"
#include "http/server.hpp"
#include "platform/service.hpp"
#include "services/gateway/access.hpp"
#include "services/gateway/opt_out.hpp"
#include "services/gateway/parts.hpp"
#include "services/gateway/tenant_doors.hpp"

namespace intra365::services::gateway {

/// Owned by one shard; not thread-safe.
class Gateway final : public platform::Service {
 public:
  explicit Gateway(platform::Environment& environment);
  ~Gateway() override;

  std::vector<platform::BoundOperation> operations() override { return {}; }
  Task<> start() override;
  Task<> stop() override;

 private:
  /// What one request carries through the handlers.
  struct Exchange {
    http::Request request;
    http::Router::Match match;
    TraceContext trace;
    SteadyTime deadline;
  };
  using Page = Task<http::Response> (Gateway::*)(const Exchange&);
  struct Route {
    const OperationInfo* operation = nullptr;  ///< a REST route …
    Page page = nullptr;                       ///< … or a page of our own
  };

  void add(std::string_view method, std::string_view path, Route route);
  asio::awaitable<http::Response> answer(http::Request request);
  Task<http::Response> run_operation(const OperationInfo& operation, const Exchange& exchange);
  Task<http::Response> call_mate(const Exchange& exchange);
  /// The same for a client that asked for the answer in parts.
  Task<http::Response> stream_mate(const Exchange& exchange, nats::Connection& door, MateId mate,
                                   std::string subject, nats::HeaderBlock block, PartsFormat format,
                                   SteadyTime deadline);
  struct Permit {
    std::optional<std::string> consent_id;  ///< of the consent that covers the call
    std::optional<std::string> opt_out;     ///< what the Mate must not use the data for all the same
  };
  /// Opt-outs, consent and policy for a call.
  Task<Permit> permit(const Exchange& exchange, TenantId tenant, std::string caller, MateId mate);

  Task<http::Response> healthz(const Exchange& exchange);
  Task<http::Response> readyz(const Exchange& exchange);
  Task<http::Response> metrics(const Exchange& exchange);
  Task<http::Response> openapi_document(const Exchange& exchange);
  Task<http::Response> asyncapi_document(const Exchange& exchange);
  Task<http::Response> docs(const Exchange& exchange);
  Task<http::Response> docs_asset(const Exchange& exchange);
  Task<http::Response> discovery(const Exchange& exchange);
  Task<http::Response> jwks(const Exchange& exchange);
  Task<http::Response> own_consent_events(const Exchange& exchange);
  Task<http::Response> gpc_support(const Exchange& exchange);
  Task<http::Response> opt_out_page(const Exchange& exchange);
  Task<http::Response> choose_opt_out(const Exchange& exchange);

  // AuthZEN 1.0
  Task<http::Response> access_configuration(const Exchange& exchange);
  Task<http::Response> access_evaluation(const Exchange& exchange);
  Task<http::Response> access_evaluations(const Exchange& exchange);
  Task<http::Response> access_search(const Exchange& exchange);
  Result<AccessApi::Asker> asker_of(const Exchange& exchange);
  static std::string base_url(const platform::Environment& environment, const http::Request& request);

  platform::Environment& environment_;
  platform::ServiceClient services_;
  TenantDoors doors_;
  AccessApi access_;
  OptOuts opt_outs_;
  http::Router router_;
  std::vector<Route> routes_;
  std::optional<http::Server> server_;
  std::shared_ptr<Stop> stop_;  ///< ends the answers in parts that are under way
};

/// Where the gateway of this process listens, once it does; 0 before. The embedded platform asks with
/// port 0 and needs to know.
std::uint16_t listening_port();

}  // namespace intra365::services::gateway
