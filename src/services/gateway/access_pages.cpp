// The AuthZEN routes of the gateway.
#include "contract/errors.hpp"
#include "replica/token_replica.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/translate.hpp"

namespace intra365::services::gateway {
namespace {

http::Response decision(const boost::json::object& body) {
  auto response = json_response(boost::json::serialize(body));
  // An answer is of its moment.
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace

Result<AccessApi::Asker> Gateway::asker_of(const Exchange& exchange) {
  const auto authorization = exchange.request.header("authorization");
  TRY(const auto* identity, environment_.tokens.verify_header(authorization));
  return AccessApi::Asker{identity->tenant, std::string(authorization), exchange.trace, exchange.deadline};
}

Task<http::Response> Gateway::access_configuration(const Exchange& exchange) {
  co_return json_response(
      boost::json::serialize(policy::authzen::configuration(base_url(environment_, exchange.request))));
}

Task<http::Response> Gateway::access_evaluation(const Exchange& exchange) {
  CO_TRY(const auto asker, asker_of(exchange));
  CO_TRY(auto body, json::parse(exchange.request.body));
  CO_TRY(const auto answer, co_await access_.evaluation(asker, std::move(body)));
  co_return decision(answer);
}

Task<http::Response> Gateway::access_evaluations(const Exchange& exchange) {
  CO_TRY(const auto asker, asker_of(exchange));
  CO_TRY(auto body, json::parse(exchange.request.body));
  CO_TRY(const auto answer, co_await access_.evaluations(asker, std::move(body)));
  co_return decision(answer);
}

Task<http::Response> Gateway::access_search(const Exchange& exchange) {
  CO_TRY(const auto asker, asker_of(exchange));
  policy::Searched searched{};
  const std::string name(exchange.match.parameters.front().second);
  if (!boost::describe::enum_from_string(name.c_str(), searched)) co_return fail(errors::unknown_operation);
  CO_TRY(auto body, json::parse(exchange.request.body));
  CO_TRY(const auto answer, co_await access_.search(asker, searched, std::move(body)));
  co_return decision(answer);
}

}  // namespace intra365::services::gateway
