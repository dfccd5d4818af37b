// The contract as documents for others: OpenAPI 3.1 and AsyncAPI 3, made from the operations' declarations.
#pragma once
#include <boost/json/object.hpp>
#include <string_view>

namespace intra365 {

/// The REST API. Deterministic, so that a change of the contract is a change in the document's diff.
boost::json::object openapi(std::string_view version);
/// Requests and replies on NATS, as a tenant's Mates see them.
boost::json::object asyncapi(std::string_view version);

}  // namespace intra365
