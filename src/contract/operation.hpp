// One declaration per operation. From it come the NATS endpoint, the REST route, the permission a role
// needs, metrics, the audit entry and the documents (OpenAPI, AsyncAPI): see docs/guides/add-an-operation.md.
#pragma once
#include <boost/json/value.hpp>
#include <chrono>
#include <string_view>

#include "json/json.hpp"

namespace intra365 {

enum class Method { none, get, post, put, delete_ };
std::string_view to_string(Method method);

/// Where an operation stands in the REST API. `{name}` in the path fills the request field of that name;
/// a GET's other fields come from the query, everything else's from the JSON body.
struct HttpRoute {
  Method method = Method::none;
  std::string_view path = {};
};

/// Who may call an operation, before policy and the handler's own rules.
enum class Access {
  guest,              ///< anybody, without a token (rate-limited)
  anyone,             ///< any principal of the tenant with a valid token
  mate,               ///< Mates, and the tenant's operator
  operator_,          ///< the tenant's operator
  change_reader,      ///< who may read the tenant's rows as they change, everybody's
  platform_operator,  ///< the operator of the `default` tenant
  service,            ///< platform services only; never exported to a tenant
};
std::string_view to_string(Access access);

enum class Effect {
  reads,
  changes,  ///< the audit entry is durable before the reply leaves
};
std::string_view to_string(Effect effect);

struct OperationSpec {
  std::string_view subject;  ///< `intra365.<service>.<operation>`
  HttpRoute http = {};
  Access access = Access::service;
  Effect effect = Effect::reads;
  std::chrono::milliseconds deadline{1000};  ///< for the handler; a caller may ask for less, never for more
  /// False for the few operations that repeat every second and decide nothing; refusals are always recorded.
  bool audited = true;
  std::string_view summary;
  std::string_view example;  ///< a request body that is valid JSON for the request type

  /// `consent.verify` for `intra365.consent.verify`: the name in metrics, audit and permissions.
  constexpr std::string_view name() const { return subject.substr(std::string_view("intra365.").size()); }
  /// `consent`.
  constexpr std::string_view service() const { return name().substr(0, name().find('.')); }
};

template <class RequestType, class ReplyType>
struct Operation {
  using Request = RequestType;
  using Reply = ReplyType;
  OperationSpec spec;
};

template <class Request, class Reply>
consteval Operation<Request, Reply> operation(OperationSpec spec) {
  return {spec};
}

/// An operation without its types: what documents, the gateway and permissions need.
struct OperationInfo {
  const OperationSpec* spec;
  boost::json::value (*request_schema)();
  boost::json::value (*reply_schema)();
};

template <class Request, class Reply>
constexpr OperationInfo info(const Operation<Request, Reply>& operation) {
  return {&operation.spec, &json::schema<Request>, &json::schema<Reply>};
}

/// A request without fields.
struct Empty {};
BOOST_DESCRIBE_STRUCT(Empty, (), ())

}  // namespace intra365
