#include "contract/documents.hpp"

#include "contract/catalog.hpp"

namespace intra365 {
namespace {

namespace bj = boost::json;

bj::value example_of(const OperationSpec& spec) {
  auto parsed = json::parse(spec.example);
  return parsed ? *std::move(parsed) : bj::value();
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bj::object error_response(std::string_view description) {
  return {
      {"description", description},
      {"content", {{"application/problem+json", {{"schema", {{"$ref", "#/components/schemas/Problem"}}}}}}}};
}

bool is_path_parameter(std::string_view path, std::string_view name) {
  return path.find("{" + std::string(name) + "}") != std::string_view::npos;
}

bj::object parameter(std::string_view name, std::string_view in, bool required, const bj::value& schema) {
  return {{"name", name}, {"in", in}, {"required", required}, {"schema", schema}};
}

bj::object rest_operation(const OperationInfo& info) {
  const auto& spec = *info.spec;
  const auto request = info.request_schema();
  const auto& properties = request.at("properties").get_object();
  bj::object operation{{"operationId", spec.name()},
                       {"summary", spec.summary},
                       {"tags", bj::array{bj::value(spec.service())}},
                       {"description", "Needs: " + std::string(to_string(spec.access)) + ". On NATS: `" +
                                           std::string(spec.subject) + "`."}};
  bj::array parameters;
  bj::object body = request.get_object();
  for (const auto& item : properties) {
    const bool in_path = is_path_parameter(spec.http.path, item.key());
    if (in_path) {
      parameters.push_back(parameter(item.key(), "path", true, item.value()));
      body["properties"].get_object().erase(item.key());
      if (auto* required = body.if_contains("required")) {
        auto& names = required->get_array();
        for (auto name = names.begin(); name != names.end();)
          name = *name == item.key() ? names.erase(name) : name + 1;
        if (names.empty()) body.erase("required");
      }
    } else if (spec.http.method == Method::get) {
      parameters.push_back(parameter(item.key(), "query", false, item.value()));
    }
  }
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (spec.http.method == Method::post || spec.http.method == Method::put) {
    operation["requestBody"] = {
        {"required", true},
        {"content", {{"application/json", {{"schema", std::move(body)}, {"example", example_of(spec)}}}}}};
  }
  operation["responses"] = {
      {"200",
       {{"description", "Done."}, {"content", {{"application/json", {{"schema", info.reply_schema()}}}}}}},
      {"400", error_response("The request is wrong; `code` and `detail` say how.")},
      {"401", error_response("No valid token.")},
      {"403", error_response("Not allowed.")},
      {"404", error_response("Not there.")},
      {"503", error_response("A dependency is away; try again.")}};
  if (spec.access == Access::guest) operation["security"] = bj::array{};
  return operation;
}

bj::object call_operation() {
  bj::array parameters;
  for (const auto* name : {"mateId", "capability", "action"})
    parameters.push_back(
        parameter(name, "path", true, {{"type", "string"}, {"pattern", "^[A-Za-z0-9_-]{1,64}$"}}));
  parameters.push_back(parameter("X-User-Id", "header", false, {{"type", "string"}}));
  parameters.push_back(parameter("X-Consent-Id", "header", false, {{"type", "string"}}));
  parameters.push_back(parameter("X-Purpose", "header", false, {{"type", "string"}}));
  return {{"operationId", "mate.call"},
          {"summary", "Calls a Mate over NATS and returns its reply; consent and policy are enforced."},
          {"tags", bj::array{"mate"}},
          {"parameters", std::move(parameters)},
          {"requestBody", {{"content", {{"application/json", {{"schema", bj::object{}}}}}}}},
          {"responses",
           {{"200",
             {{"description", "The Mate's reply."},
              {"content", {{"application/json", {{"schema", bj::object{}}}}}}}},
            {"403", error_response("Policy or consent says no.")},
            {"503", error_response("Nobody answers for this Mate.")}}}};
}

bj::object own_events_operation() {
  return {{"operationId", "consent.events"},
          {"summary", "Tells a person what happens to their own consents, each as a CloudEvent."},
          {"tags", bj::array{"consent"}},
          {"description", "On NATS: `intra365.user.<id>.consent.>`."},
          {"responses",
           {{"200",
             {{"description", "Server-Sent Events, for up to five minutes."},
              {"content", {{"text/event-stream", {{"schema", {{"type", "string"}}}}}}}}},
            {"401", error_response("No valid token.")},
            {"403", error_response("Only people have consents of their own.")},
            {"503", error_response("A dependency is away; try again.")}}}};
}

}  // namespace

bj::object openapi(std::string_view version) {
  bj::object paths;
  for (const auto& info : catalog()) {
    const auto& route = info.spec->http;
    if (route.method == Method::none) continue;
    auto& path = paths[route.path];
    if (!path.is_object()) path.emplace_object();
    path.get_object()[lower(to_string(route.method))] = rest_operation(info);
  }
  paths["/v1/mates/{mateId}/call/{capability}/{action}"] = {{"post", call_operation()}};
  paths["/v1/consents/events"] = {{"get", own_events_operation()}};
  const bj::object problem{{"type", "object"},
                           {"properties",
                            {{"type", {{"type", "string"}}},
                             {"title", {{"type", "string"}}},
                             {"status", {{"type", "integer"}}},
                             {"detail", {{"type", "string"}}},
                             {"code", {{"type", "string"}}},
                             {"traceId", {{"type", "string"}}}}},
                           {"required", bj::array{"type", "title", "status", "code"}}};
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Intra365"},
        {"version", version},
        {"summary",
         "Mates find each other, talk, and use people's data only with proof, permission and consent."},
        {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
      {"servers", bj::array{bj::object{{"url", "/"}}}},
      {"security", bj::array{bj::object{{"bearer", bj::array{}}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "JWT"}}}}},
        {"schemas", {{"Problem", problem}}}}}};
}

bj::object asyncapi(std::string_view version) {
  bj::object channels, operations;
  for (const auto& info : catalog()) {
    const auto& spec = *info.spec;
    if (spec.access == Access::service) continue;
    const std::string name(spec.name());
    const auto reference = [&](std::string_view suffix) {
      return bj::object{{"$ref", "#/channels/" + name + std::string(suffix)}};
    };
    channels[name] = {{"address", spec.subject},
                      {"summary", spec.summary},
                      {"messages",
                       {{"request",
                         {{"contentType", "application/json"},
                          {"payload", info.request_schema()},
                          {"examples", bj::array{bj::object{{"payload", example_of(spec)}}}}}}}}};
    channels[name + ".reply"] = {
        {"address", nullptr},
        {"messages", {{"reply", {{"contentType", "application/json"}, {"payload", info.reply_schema()}}}}}};
    operations[name] = {{"action", "send"},
                        {"channel", reference("")},
                        {"summary", spec.summary},
                        {"reply", {{"channel", reference(".reply")}}}};
  }
  return {{"asyncapi", "3.0.0"},
          {"info", {{"title", "Intra365 on NATS"}, {"version", version}}},
          {"defaultContentType", "application/json"},
          {"channels", std::move(channels)},
          {"operations", std::move(operations)}};
}

}  // namespace intra365
