// The page on which anybody opts out, on this device and without an account; and what says that we heed the
// signal of browsers.
#include "contract/errors.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/translate.hpp"

namespace intra365::services::gateway {
namespace {

constexpr std::string_view kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors "
    "'none'";

constexpr std::string_view kHead = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Do not sell or share my data</title>
<style>
:root{color-scheme:light dark;font:1.1rem/1.5 system-ui,sans-serif}
body{max-width:36rem;margin:2rem auto;padding:0 1rem}
button{font:inherit;padding:.7rem 1.4rem;border-radius:.5rem;border:2px solid currentColor;cursor:pointer;background:Canvas;color:CanvasText}
button:focus-visible{outline:3px solid Highlight;outline-offset:3px}
[role=status]{border-left:.3rem solid currentColor;padding:.2rem 1rem}
</style>
</head>
<body>
<main>
<h1>Do not sell or share my data</h1>
)html";

constexpr std::string_view kTail =
    R"html(<p>The choice lies on this device alone, as a cookie that is the same for everybody; we keep nothing about it. It
is heeded with every request from here. Sign in with it, and it is recorded for your account and holds wherever you are.
You can also let your browser say so everywhere: <a href="https://globalprivacycontrol.org">Global Privacy Control</a>.</p>
</main>
</body>
</html>
)html";

std::string page(const http::Request& request) {
  const auto signal = opt_out_signal(request);
  std::string text(kHead);
  if (signal == consent::OptOutMethod::gpc) {
    text +=
        "<p role=\"status\">Your browser sends the Global Privacy Control signal. Your data are neither sold "
        "nor "
        "shared from here; there is nothing left to do.</p>\n";
    return text.append(kTail);
  }
  const bool out = signal.has_value();
  text += out ? "<p role=\"status\">You have opted out on this device.</p>\n"
              : "<p role=\"status\">You have not opted out on this device.</p>\n";
  text += std::string("<form method=\"post\" action=\"/privacy/opt-out\"><button name=\"choice\" value=\"") +
          (out ? "in\">Opt back in" : "out\">Opt out") + "</button></form>\n";
  return text.append(kTail);
}

}  // namespace

Task<http::Response> Gateway::gpc_support(const Exchange&) {
  co_return json_response(R"({"gpc":true,"lastUpdate":"2026-11-23"})");
}

Task<http::Response> Gateway::opt_out_page(const Exchange& exchange) {
  http::Response response;
  response.content_type = "text/html; charset=utf-8";
  response.headers.emplace_back("Content-Security-Policy", kPolicy);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.body = page(exchange.request);
  co_return response;
}

Task<http::Response> Gateway::choose_opt_out(const Exchange& exchange) {
  const auto& body = exchange.request.body;
  if (body != "choice=out" && body != "choice=in")
    co_return fail(intra365::errors::bad_value, "choice: 'out' or 'in'");
  // Anybody may say it for this device, but no other site may take it back.
  const auto from = exchange.request.header("sec-fetch-site");
  if (body == "choice=in" && from != "same-origin" && from != "none" && !from.empty())
    co_return fail(intra365::errors::foreign_form);
  http::Response response;
  response.status = 303;
  response.headers.emplace_back("Location", "/privacy/opt-out");
  response.headers.emplace_back(
      "Set-Cookie",
      opt_out_cookie(body == "choice=out", !environment_.config.gateway.certificate_file.empty()));
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

}  // namespace intra365::services::gateway
