// One TCP or TLS connection to one server: the socket, its buffers and the parser of what arrives on it.
// A new attempt makes a new link, so that a late completion of an old one can never touch the new one.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>

#include "nats/buffer.hpp"
#include "nats/connection.hpp"
#include "nats/protocol.hpp"

namespace intra365::nats {

/// Where a server is, from `nats://host:port` or `tls://host:port`.
struct Endpoint {
  std::string host, port;
  bool tls = false;
  std::string tls_name;  ///< whom the certificate must name, where that is not the host
  const std::string& verified_name() const { return tls_name.empty() ? host : tls_name; }
  /// A missing scheme is nats, a missing port 4222; IPv6 addresses stand in brackets.
  static Result<Endpoint> parse(std::string_view url);
};

/// True for an IPv4 or IPv6 address.
bool is_address(const std::string& host);

struct Link {
  Link(asio::any_io_executor executor, protocol::Limits limits)
      : socket(std::move(executor)), parser(limits) {}

  asio::ip::tcp::socket socket;
  std::optional<asio::ssl::context> tls_context;
  std::optional<asio::ssl::stream<asio::ip::tcp::socket&>> tls;
  protocol::Parser parser;
  Buffer in;
  Buffer pending;        ///< what the next flush takes
  Buffer out;            ///< what the socket is taking now
  bool writing = false;  ///< an asynchronous write owns `out`
  bool heard = false;    ///< something arrived since the last tick of the ping timer

  /// Resolves and connects. Bounded by the caller's deadline.
  Task<> open(const Endpoint& endpoint);
  /// Handshake with verified certificate and host name.
  Task<> upgrade(const TlsOptions& options, const std::string& host);
  /// The next event with its own copy of the text; for the handshake, where speed is nothing.
  struct Line {
    protocol::EventKind kind{};
    std::string text;
  };
  Task<Line> next_line();
  /// Writes `text` completely.
  Task<> send(std::string_view text);
  /// Ends everything under way on the socket.
  void shut();

  /// Reads at least one byte into `in`.
  template <class Completion>
  auto async_read(Completion completion) {
    char* const space = in.prepare(
        std::max<std::size_t>(kLeastReadBytes, parser.needed() - std::min(parser.needed(), in.size())));
    const asio::mutable_buffer buffer(space, in.room());
    if (tls) return tls->async_read_some(buffer, std::move(completion));
    return socket.async_read_some(buffer, std::move(completion));
  }

  static constexpr std::size_t kLeastReadBytes = 4096;
};

}  // namespace intra365::nats
