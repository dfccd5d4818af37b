// The gateway's own pages: health, metrics, documents, discovery.
#include <array>
#include <fstream>
#include <sstream>

#include "contract/documents.hpp"
#include "contract/errors.hpp"
#include "contract/operations/auth.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/translate.hpp"

namespace intra365::services::gateway {
namespace {

http::Response text(std::string body, std::string content_type) {
  http::Response response;
  response.content_type = std::move(content_type);
  response.body = std::move(body);
  return response;
}

/// Swagger UI asks for nothing but its own files and our document; the policy keeps it so.
constexpr std::string_view kDocsPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

constexpr std::string_view kDocsPage = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Intra365 API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/page.css">
</head>
<body>
<main id="swagger-ui"><noscript>The interactive documentation needs JavaScript; the document itself is <a href="/openapi.json">/openapi.json</a>.</noscript></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
)html";

constexpr std::string_view kDocsStyle =
    "body{margin:0}@media (prefers-color-scheme:dark){body{background:#111}#swagger-ui{filter:invert(.9) "
    "hue-rotate(180deg)}}\n";
constexpr std::string_view kDocsScript =
    "window.ui = SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, "
    "validatorUrl: null});\n";

struct Asset {
  std::string_view name, content_type;
};
constexpr std::array kAssets{Asset{"swagger-ui.css", "text/css; charset=utf-8"},
                             Asset{"swagger-ui-bundle.js", "text/javascript; charset=utf-8"}};

}  // namespace

Task<http::Response> Gateway::healthz(const Exchange&) {
  co_return json_response(R"({"status":"ok"})");
}

Task<http::Response> Gateway::readyz(const Exchange&) {
  boost::json::object dependencies;
  bool ready = true;
  for (const auto& [name, up] : environment_.readiness()) {
    dependencies[name] = up ? "up" : "down";
    ready = ready && up;
  }
  auto response = json_response(boost::json::serialize(boost::json::object{
      {"status", ready ? "ready" : "not ready"}, {"dependencies", std::move(dependencies)}}));
  response.status = ready ? 200 : 503;
  co_return response;
}

Task<http::Response> Gateway::metrics(const Exchange&) {
  co_return text(environment_.telemetry.metrics.text(), "text/plain; version=0.0.4; charset=utf-8");
}

Task<http::Response> Gateway::openapi_document(const Exchange&) {
  co_return json_response(boost::json::serialize(openapi(environment_.config.version)));
}
Task<http::Response> Gateway::asyncapi_document(const Exchange&) {
  co_return json_response(boost::json::serialize(asyncapi(environment_.config.version)));
}

Task<http::Response> Gateway::docs(const Exchange&) {
  auto response = text(std::string(kDocsPage), "text/html; charset=utf-8");
  response.headers.emplace_back("Content-Security-Policy", kDocsPolicy);
  co_return response;
}

Task<http::Response> Gateway::docs_asset(const Exchange& exchange) {
  const auto name = exchange.match.parameters.front().second;
  if (name == "page.css") co_return text(std::string(kDocsStyle), "text/css; charset=utf-8");
  if (name == "page.js") co_return text(std::string(kDocsScript), "text/javascript; charset=utf-8");
  for (const auto& asset : kAssets) {
    if (asset.name != name) continue;
    std::ifstream file(environment_.config.gateway.assets_dir + "/" + std::string(asset.name),
                       std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file) break;
    auto response = text(content.str(), std::string(asset.content_type));
    response.headers.emplace_back("Cache-Control", "public, max-age=3600");
    co_return response;
  }
  co_return fail(errors::unknown_operation);
}

std::string Gateway::base_url(const platform::Environment& environment, const http::Request& request) {
  return (environment.config.gateway.certificate_file.empty() ? "http://" : "https://") +
         std::string(request.header("host").substr(0, 256));
}

Task<http::Response> Gateway::discovery(const Exchange& exchange) {
  const auto base = base_url(environment_, exchange.request);
  const boost::json::object document{{"issuer", environment_.config.tokens.issuer},
                                     {"jwks_uri", base + "/.well-known/jwks.json"},
                                     {"token_endpoint", base + "/v1/auth/token"},
                                     {"introspection_endpoint", base + "/v1/auth/token/validate"},
                                     {"revocation_endpoint", base + "/v1/auth/token/revoke"},
                                     {"id_token_signing_alg_values_supported", boost::json::array{"EdDSA"}},
                                     {"response_types_supported", boost::json::array{}},
                                     {"subject_types_supported", boost::json::array{"public"}}};
  co_return json_response(boost::json::serialize(document));
}

Task<http::Response> Gateway::jwks(const Exchange& exchange) {
  const auth::SyncRequest nothing;
  CO_TRY(const auto reply,
         co_await services_.call(auth::sync, TenantId(), nothing, exchange.trace, exchange.deadline));
  auto response = json_response(boost::json::serialize(reply.keys));
  response.headers.emplace_back("Cache-Control", "public, max-age=60");
  co_return response;
}

}  // namespace intra365::services::gateway
