#include "nats/link.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

namespace intra365::nats {
namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

Result<void> load_certificates(asio::ssl::context& context, const TlsOptions& options) {
  const auto load = [](std::string_view what, const std::string& file, error_code error) -> Result<void> {
    if (!error) return {};
    return fail(errors::tls, std::string(what) + " '" + file + "' cannot be used: " + error.message());
  };
  error_code error;
  if (options.ca_file.empty()) {
    context.set_default_verify_paths(error);
  } else {
    context.load_verify_file(options.ca_file, error);
  }
  CHECK(load("the CA file", options.ca_file, error));
  if (options.certificate_file.empty()) return {};
  context.use_certificate_chain_file(options.certificate_file, error);
  CHECK(load("the certificate file", options.certificate_file, error));
  context.use_private_key_file(options.key_file, asio::ssl::context::pem, error);
  return load("the key file", options.key_file, error);
}

/// With TLS 1.3 a server refuses our certificate only after the handshake, by an alert to the first read.
Error login_failure(const error_code& error) {
  const bool by_tls = error.category() == asio::error::get_ssl_category();
  return Error(by_tls ? errors::tls : errors::disconnected, "while logging in: " + error.message());
}

}  // namespace

bool is_address(const std::string& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

Result<Endpoint> Endpoint::parse(std::string_view url) {
  const auto bad = [&] {
    return fail(errors::bad_url, "a NATS URL must look like nats://host:4222 or tls://host:4222");
  };
  Endpoint endpoint;
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) {
    if (url.substr(0, scheme) != "nats" && url.substr(0, scheme) != "tls") return bad();
    endpoint.tls = url.substr(0, scheme) == "tls";
    url.remove_prefix(scheme + 3);
  }
  while (!url.empty() && url.back() == '/') url.remove_suffix(1);
  if (url.find_first_of("@/ ") != std::string_view::npos) return bad();
  std::size_t host_end = url.rfind(':');
  if (url.starts_with('[')) {
    const auto close = url.find(']');
    if (close == std::string_view::npos) return bad();
    endpoint.host = url.substr(1, close - 1);
    host_end = close + 1 < url.size() ? close + 1 : std::string_view::npos;
    if (host_end != std::string_view::npos && url[host_end] != ':') return bad();
  } else {
    endpoint.host = url.substr(0, host_end);
    if (endpoint.host.find(':') != std::string::npos) return bad();
  }
  endpoint.port = host_end == std::string_view::npos ? "4222" : std::string(url.substr(host_end + 1));
  if (endpoint.host.empty() || endpoint.port.empty() ||
      endpoint.port.find_first_not_of("0123456789") != std::string::npos)
    return bad();
  return endpoint;
}

Task<> Link::open(const Endpoint& endpoint) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  tcp::resolver resolver(socket.get_executor());
  const auto flags = is_address(endpoint.host) ? tcp::resolver::numeric_host | tcp::resolver::numeric_service
                                               : tcp::resolver::numeric_service;
  const auto addresses = co_await resolver.async_resolve(endpoint.host, endpoint.port, flags, token);
  if (error) co_return fail(errors::disconnected, "'" + endpoint.host + "' is not known: " + error.message());
  co_await asio::async_connect(socket, addresses, token);
  if (error)
    co_return fail(errors::disconnected, endpoint.host + ":" + endpoint.port + ": " + error.message());
  socket.set_option(tcp::no_delay(true), error);
  socket.non_blocking(true, error);
  co_return Result<void>{};
}

Task<> Link::upgrade(const TlsOptions& options, const std::string& host) {
  // Bytes in front of the handshake would be taken for the server's without any proof.
  if (!in.empty()) co_return fail(errors::tls, "the server sent clear text behind its INFO");
  tls_context.emplace(asio::ssl::context::tls_client);
  tls_context->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  if (auto loaded = load_certificates(*tls_context, options); !loaded)
    co_return fail(std::move(loaded).error());
  tls.emplace(socket, *tls_context);
  const auto& name = options.server_name.empty() ? host : options.server_name;
  if (!is_address(name)) SSL_set_tlsext_host_name(tls->native_handle(), name.c_str());
  error_code error;
  tls->set_verify_mode(asio::ssl::verify_peer, error);
  tls->set_verify_callback(asio::ssl::host_name_verification(name), error);
  co_await tls->async_handshake(asio::ssl::stream_base::client,
                                asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return fail(errors::tls, "handshake with '" + name + "': " + error.message());
  co_return Result<void>{};
}

Task<Link::Line> Link::next_line() {
  for (;;) {
    protocol::Event event;
    std::size_t used = 0;
    const auto step = parser.next(in.view(), event, used);
    if (step == protocol::Step::failed) co_return fail(parser.error());
    if (step == protocol::Step::event) {
      Line line;
      line.kind = event.kind;
      line.text = event.text;
      in.consume(used);
      co_return line;
    }
    char* const space = in.prepare(kLeastReadBytes);
    const asio::mutable_buffer buffer(space, in.room());
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    std::size_t count = 0;
    if (tls) {
      count = co_await tls->async_read_some(buffer, token);
    } else {
      count = co_await socket.async_read_some(buffer, token);
    }
    if (error) co_return fail(login_failure(error));
    in.commit(count);
  }
}

Task<> Link::send(std::string_view text) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  if (tls) {
    co_await asio::async_write(*tls, asio::buffer(text), token);
  } else {
    co_await asio::async_write(socket, asio::buffer(text), token);
  }
  if (error) co_return fail(login_failure(error));
  co_return Result<void>{};
}

void Link::shut() {
  error_code ignored;
  socket.shutdown(tcp::socket::shutdown_both, ignored);
  socket.close(ignored);
}

}  // namespace intra365::nats
