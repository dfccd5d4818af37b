// Between HTTP and the operations: a request's path, query and body become one JSON object; an error becomes
// problem+json. Pure.
#pragma once
#include <boost/json/object.hpp>

#include "base/error.hpp"
#include "contract/operation.hpp"
#include "http/router.hpp"
#include "http/server.hpp"

namespace intra365::services::gateway {

/// The body for the operation. Path parameters win over the body; a field named by both must agree. Query
/// values are read as the request's schema says (number, boolean, list by comma or repetition).
Result<std::string> request_body(const OperationInfo& operation, const http::Router::Match& match,
                                 const http::Request& request);

/// RFC 9457, with our stable code and the trace id.
http::Response problem(const Error& error, std::string_view trace_id);
http::Response json_response(std::string body);

}  // namespace intra365::services::gateway
