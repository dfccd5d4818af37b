// The only source file that knows Boost.Beast's server side: it takes tens of seconds to compile.
#include "http/server.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <list>

#include "http/uri.hpp"

namespace intra365::http {
namespace {

namespace beast = boost::beast;
namespace wire = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

/// 400 for what cannot be trusted: two bodies' worth of length, or a target that means different things to
/// different readers.
std::optional<Request> read_request(wire::request<wire::string_body>& message, std::string remote) {
  if (message.count(wire::field::content_length) > 1) return std::nullopt;
  if (message.count(wire::field::content_length) == 1 && message.count(wire::field::transfer_encoding) > 0)
    return std::nullopt;
  Request request;
  request.method = std::string_view(message.method_string());
  request.target = std::string_view(message.target());
  const std::string_view target(request.target);
  const auto question = target.find('?');
  auto path = decode_path(target.substr(0, question));
  auto query =
      parse_query(question == std::string_view::npos ? std::string_view() : target.substr(question + 1));
  if (!path || !query || !is_clean_path(*path)) return std::nullopt;
  request.path = *std::move(path);
  request.query = *std::move(query);
  for (const auto& field : message)
    request.headers.emplace_back(lower_case(std::string_view(field.name_string())),
                                 std::string_view(field.value()));
  request.body = std::move(message.body());
  request.remote = std::move(remote);
  return request;
}

/// The status line and the headers, in one piece with the empty line behind them. A value that would begin
/// another line is left out.
std::string header_text(const Response& response, std::string_view server, unsigned version, bool keep) {
  std::string text = version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  text.reserve(512);
  text += std::to_string(response.status);
  text += ' ';
  text += std::string_view(wire::obsolete_reason(static_cast<wire::status>(response.status)));
  text += "\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    if (value.find_first_of("\r\n") != std::string_view::npos) return;
    text.append(name).append(": ").append(value).append("\r\n");
  };
  add("Server", server);
  if (!response.content_type.empty()) add("Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(name, value);
  if (version == 10 && keep) add("Connection", "keep-alive");
  if (version != 10 && !keep) add("Connection", "close");
  if (!response.stream)
    add("Content-Length", std::to_string(response.body.size()));
  else if (version != 10)
    add("Transfer-Encoding", "chunked");
  return text += "\r\n";
}

/// A body sent in chunks (RFC 9112, 7.1); HTTP/1.0 knows none and reads to the end of the connection.
template <class Stream>
class Chunks final : public BodyWriter {
 public:
  Chunks(Stream& stream, unsigned version, std::chrono::milliseconds timeout)
      : stream_(stream), chunked_(version != 10), timeout_(timeout) {}
  Task<> write(std::string_view text) override {
    if (text.empty()) co_return Result<void>{};
    char size[24] = "";
    if (chunked_) std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    co_return co_await send(size, text, chunked_ ? "\r\n" : "");
  }
  Task<> end() { return send(chunked_ ? "0\r\n" : "", "", chunked_ ? "\r\n" : ""); }

 private:
  Task<> send(std::string before, std::string_view text, std::string after) {
    const std::array<asio::const_buffer, 3> all{asio::buffer(before), asio::buffer(text.data(), text.size()),
                                                asio::buffer(after)};
    beast::get_lowest_layer(stream_).expires_after(timeout_);
    error_code error;
    co_await asio::async_write(stream_, all, asio::redirect_error(asio::use_awaitable, error));
    beast::get_lowest_layer(stream_).expires_never();
    if (error) co_return fail(errors::gone);
    co_return Result<void>{};
  }

  Stream& stream_;
  bool chunked_;
  std::chrono::milliseconds timeout_;
};

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::string_view Request::parameter(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

std::string percent_decode(std::string_view text, bool plus_is_space, bool& ok) {
  auto decoded = plus_is_space ? decode_query_part(text) : decode_path(text);
  ok = decoded.has_value();
  return decoded.value_or("");
}

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(asio::any_io_executor executor_, ServerOptions options_, Handler handler_)
      : executor(executor_),
        options(std::move(options_)),
        handler(std::move(handler_)),
        acceptor(executor),
        all_gone(executor, SteadyTime::max()) {}

  /// One client's connection, so that draining can reach it.
  struct Peer {
    tcp::socket* socket = nullptr;
    bool idle = true;
  };

  Response render(int status, const ErrorCode& code) const {
    Response response;
    if (options.render_error) response = options.render_error(status, Error(code));
    response.status = status;
    return response;
  }

  asio::awaitable<void> accept_all() {
    while (acceptor.is_open()) {
      error_code error;
      auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // out of descriptors, mostly: wait for some to come back
        co_await sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      asio::co_spawn(executor, serve(shared_from_this(), std::move(socket)), asio::detached);
    }
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, tcp::socket socket) {
    error_code ignored;
    const auto remote = socket.remote_endpoint(ignored).address().to_string();
    beast::tcp_stream stream(std::move(socket));
    auto& peers = self->peers;
    const auto peer = peers.insert(peers.end(), Peer{&stream.socket(), true});
    try {
      if (self->tls) {
        beast::ssl_stream<beast::tcp_stream> secured(std::move(stream), *self->tls);
        peer->socket = &secured.next_layer().socket();
        secured.next_layer().expires_after(self->options.limits.read_timeout);
        co_await secured.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
        co_await self->converse(secured, *peer, remote);
      } else {
        co_await self->converse(stream, *peer, remote);
      }
    } catch (const std::exception&) {
      // The peer went away, or was too slow: nobody is left to tell.
    }
    peers.erase(peer);
    if (peers.empty()) self->all_gone.cancel();
  }

  template <class Stream>
  asio::awaitable<void> converse(Stream& stream, Peer& peer, const std::string& remote) {
    beast::flat_buffer buffer(options.limits.header_bytes + 8192);
    if (peers.size() > options.limits.connections) {
      co_await send(stream, render(503, errors::malformed), 11, false, false);
      co_return;
    }
    for (bool keep = true; keep && !draining;) {
      wire::request_parser<wire::string_body> parser;
      parser.header_limit(static_cast<std::uint32_t>(options.limits.header_bytes));
      parser.body_limit(options.limits.body_bytes);
      error_code error;

      peer.idle = true;
      if (buffer.size() == 0) {
        beast::get_lowest_layer(stream).expires_after(options.limits.idle_timeout);
        const auto got = co_await stream.async_read_some(buffer.prepare(4096),
                                                         asio::redirect_error(asio::use_awaitable, error));
        if (error) break;
        buffer.commit(got);
      }
      peer.idle = false;
      // One clock for the whole request: a client that sends a byte now and then gains nothing by it.
      beast::get_lowest_layer(stream).expires_after(options.limits.read_timeout);
      co_await wire::async_read_header(stream, buffer, parser,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (!error && parser.get()[wire::field::expect] == "100-continue") {
        wire::response<wire::empty_body> proceed(wire::status::continue_, 11);
        co_await wire::async_write(stream, proceed, asio::redirect_error(asio::use_awaitable, error));
      }
      if (!error)
        co_await wire::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        if (const auto refusal = refusal_of(error)) co_await send(stream, *refusal, 11, false, false);
        break;
      }

      auto message = parser.release();
      const auto version = message.version();
      const bool head = message.method() == wire::verb::head;
      keep = message.keep_alive() && !draining;
      auto request = read_request(message, remote);
      Response response;
      if (!request) {
        response = render(400, errors::malformed);
        keep = false;
      } else {
        beast::get_lowest_layer(stream).expires_never();  // the handler has deadlines of its own
        response = co_await answer(*std::move(request));
      }
      keep = keep && !draining && !response.stream;
      const auto body = response.stream;
      if (body) response.body.clear();
      co_await send(stream, std::move(response), version, keep, head);
      if (body && !head) co_await send_body(stream, body, version);
    }
    error_code ignored;
    beast::get_lowest_layer(stream).socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  /// Runs the body beside a read that sees the client hang up; what else it sends is dropped.
  template <class Stream>
  asio::awaitable<void> send_body(Stream& stream,
                                  const std::function<asio::awaitable<void>(BodyWriter&)>& body,
                                  unsigned version) {
    using namespace asio::experimental::awaitable_operators;
    beast::get_lowest_layer(stream).expires_never();
    Chunks<Stream> chunks(stream, version, options.limits.write_timeout);
    const auto ended = co_await (fill(body, chunks) || hang_up(stream));
    if (ended.index() == 0 && std::get<0>(ended)) co_await chunks.end();
  }

  /// False: it ended with an exception, and the client must not take what it has for the whole.
  static asio::awaitable<bool> fill(const std::function<asio::awaitable<void>(BodyWriter&)>& body,
                                    BodyWriter& writer) {
    try {
      co_await body(writer);
      co_return true;
    } catch (const std::exception&) {
      co_return false;
    }
  }

  template <class Stream>
  static asio::awaitable<void> hang_up(Stream& stream) {
    std::array<char, 512> dropped;
    for (error_code error; !error;)
      co_await stream.async_read_some(asio::buffer(dropped),
                                      asio::redirect_error(asio::use_awaitable, error));
  }

  asio::awaitable<Response> answer(Request request) {
    try {
      co_return co_await handler(std::move(request));
    } catch (const std::exception& exception) {
      co_return options.render_error ? options.render_error(500, Error(intra365::errors::internal))
                                     : Response{500, "text/plain", "internal error\n", {}};
    }
  }

  std::optional<Response> refusal_of(error_code error) const {
    if (error == wire::error::header_limit) return render(431, errors::too_large);
    if (error == wire::error::body_limit) return render(413, errors::too_large);
    if (error == beast::error::timeout || error == wire::error::end_of_stream ||
        error == asio::error::connection_reset)
      return std::nullopt;
    if (error.category() == wire::make_error_code(wire::error::bad_method).category())
      return render(400, errors::malformed);
    return std::nullopt;
  }

  template <class Stream>
  asio::awaitable<void> send(Stream& stream, Response response, unsigned version, bool keep, bool head) {
    const auto header = header_text(response, options.name, version, keep);
    beast::get_lowest_layer(stream).expires_after(options.limits.write_timeout);
    const std::array<asio::const_buffer, 2> whole{
        asio::buffer(header), asio::buffer(response.body.data(), head ? 0 : response.body.size())};
    co_await asio::async_write(stream, whole, asio::use_awaitable);
  }

  asio::any_io_executor executor;
  ServerOptions options;
  Handler handler;
  tcp::acceptor acceptor;
  std::optional<asio::ssl::context> tls;
  std::list<Peer> peers;
  asio::steady_timer all_gone;
  bool draining = false;
};

Server::Server(asio::any_io_executor executor, ServerOptions options, Handler handler)
    : impl_(std::make_shared<Impl>(executor, std::move(options), std::move(handler))) {}

Server::~Server() {
  error_code ignored;
  impl_->acceptor.close(ignored);
}

Result<void> Server::start() {
  auto& self = *impl_;
  try {
    if (!self.options.certificate_file.empty()) {
      self.tls.emplace(asio::ssl::context::tls_server);
      self.tls->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                            asio::ssl::context::no_compression);
      self.tls->use_certificate_chain_file(self.options.certificate_file);
      self.tls->use_private_key_file(self.options.key_file, asio::ssl::context::pem);
    }
    const tcp::endpoint endpoint(
        asio::ip::make_address(self.options.host == "localhost" ? "127.0.0.1" : self.options.host),
        self.options.port);
    self.acceptor.open(endpoint.protocol());
    self.acceptor.set_option(asio::socket_base::reuse_address(true));
    self.acceptor.bind(endpoint);
    self.acceptor.listen();
  } catch (const boost::system::system_error& exception) {
    return fail(errors::port_taken, self.options.host + ":" + std::to_string(self.options.port) + ": " +
                                        exception.code().message());
  }
  asio::co_spawn(
      self.executor,
      [](std::shared_ptr<Impl> impl) -> asio::awaitable<void> { co_await impl->accept_all(); }(impl_),
      asio::detached);
  return {};
}

unsigned short Server::port() const {
  error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

std::size_t Server::connections() const {
  return impl_->peers.size();
}

Task<> Server::drain(SteadyTime deadline) {
  const auto self = impl_;
  self->draining = true;
  error_code ignored;
  self->acceptor.close(ignored);
  for (const auto& peer : self->peers) {
    if (peer.idle) peer.socket->shutdown(tcp::socket::shutdown_both, ignored);
  }
  const auto wait = [](std::shared_ptr<Impl> impl, SteadyTime until) -> asio::awaitable<void> {
    if (impl->peers.empty()) co_return;
    error_code cancelled;
    impl->all_gone.expires_at(until);
    co_await impl->all_gone.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  };
  co_await wait(self, deadline);
  for (const auto& peer : self->peers) peer.socket->close(ignored);
  co_await wait(self, std::chrono::steady_clock::now() + std::chrono::seconds(1));
  co_return Result<void>{};
}

}  // namespace intra365::http
