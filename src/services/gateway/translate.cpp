#include "services/gateway/translate.hpp"

#include <charconv>

#include "contract/errors.hpp"

namespace intra365::services::gateway {
namespace {

namespace bj = boost::json;

Failure bad_parameter(std::string_view name, std::string_view expected) {
  return fail(errors::wrong_type,
              "'" + std::string(name.substr(0, 64)) + "' must be " + std::string(expected));
}

Result<bj::value> read_scalar(std::string_view name, std::string_view text, std::string_view type) {
  if (type == "integer") {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size())
      return bad_parameter(name, "a whole number");
    return bj::value(number);
  }
  if (type == "boolean") {
    if (text != "true" && text != "false") return bad_parameter(name, "true or false");
    return bj::value(text == "true");
  }
  return bj::value(text);
}

Result<void> add_parameter(bj::object& body, const bj::object& properties, std::string_view name,
                           std::string_view text) {
  const auto* property = properties.if_contains(name);
  if (property == nullptr)
    return fail(errors::unknown_field, "'" + std::string(name.substr(0, 64)) + "' is not a known parameter");
  const auto* type = property->get_object().if_contains("type");
  if (type == nullptr || *type != "array") {
    TRY(body[name],
        read_scalar(name, text, type == nullptr ? "string" : std::string_view(type->get_string())));
    return {};
  }
  auto& list = body[name].is_array() ? body[name].get_array() : body[name].emplace_array();
  while (!text.empty()) {
    const auto item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    list.emplace_back(item);
  }
  return {};
}

}  // namespace

Result<std::string> request_body(const OperationInfo& operation, const http::Router::Match& match,
                                 const http::Request& request) {
  bj::object body;
  if (!request.body.empty()) {
    TRY(auto parsed, json::parse(request.body));
    if (!parsed.is_object()) return fail(errors::malformed_json, "the body must be a JSON object");
    body = std::move(parsed.get_object());
  }
  const auto schema = operation.request_schema();
  const auto& properties = schema.at("properties").get_object();
  for (const auto& [name, value] : request.query) CHECK(add_parameter(body, properties, name, value));
  for (const auto& [name, value] : match.parameters) {
    if (const auto* given = body.if_contains(name); given != nullptr && *given != bj::value(value))
      return bad_parameter(name, "the same in path and body");
    body[name] = bj::value(value);
  }
  return bj::serialize(body);
}

http::Response problem(const Error& error, std::string_view trace_id) {
  http::Response response;
  response.status = http_status(error.kind);
  response.content_type = "application/problem+json";
  bj::object body{{"type", "https://intra365.dev/errors/" + error.code},
                  {"title", to_string(error.kind)},
                  {"status", response.status},
                  {"detail", error.detail},
                  {"code", error.code}};
  if (!trace_id.empty()) body["traceId"] = trace_id;
  response.body = bj::serialize(body);
  if (error.kind == ErrorKind::unauthenticated) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.kind == ErrorKind::exhausted || error.kind == ErrorKind::unavailable)
    response.headers.emplace_back("Retry-After", "1");
  return response;
}

http::Response json_response(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

}  // namespace intra365::services::gateway
