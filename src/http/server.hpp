// A small HTTP/1.1 server for one shard: keep-alive, limits on everything, graceful stop. It knows requests
// and responses, not what they mean. Boost.Beast stays behind this header.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.hpp"

namespace intra365::http {

namespace errors {
inline constexpr ErrorCode port_taken{ErrorKind::unavailable, "http.port_taken",
                                      "The address is in use by another program."};
inline constexpr ErrorCode too_large{ErrorKind::invalid, "http.too_large",
                                     "The request's body or header is larger than allowed."};
inline constexpr ErrorCode malformed{ErrorKind::invalid, "http.malformed",
                                     "The request is not well-formed HTTP."};
inline constexpr ErrorCode gone{ErrorKind::unavailable, "http.gone",
                                "The client has hung up, or takes nothing any more."};
}  // namespace errors

struct Request {
  std::string method;  ///< GET, POST …
  std::string target;  ///< as sent: path and query
  std::string path;    ///< percent-decoded, without query; no "..", always begins with '/'
  std::vector<std::pair<std::string, std::string>> query;    ///< decoded, in order
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;
  std::string remote;  ///< address of the peer
  std::string_view header(std::string_view lower_case_name) const;
  std::string_view parameter(std::string_view name) const;
};

/// Where a body goes that is written bit by bit.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// Sends; waits while the client is slow. Fails with `http.gone`.
  virtual Task<> write(std::string_view text) = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Where it is set it writes the body, in `body`'s place, and may take as long as it likes. It is cancelled
  /// when the client hangs up. The connection ends with it.
  std::function<asio::awaitable<void>(BodyWriter&)> stream = {};
};

struct Limits {
  std::size_t header_bytes = 16u << 10;
  std::size_t body_bytes = 1u << 20;
  std::size_t connections = 10000;
  std::chrono::milliseconds read_timeout{15000};  ///< for one whole request, from its first byte
  std::chrono::milliseconds idle_timeout{60000};  ///< between requests
  std::chrono::milliseconds write_timeout{15000};
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  unsigned short port = 0;  ///< 0: any free one
  Limits limits;
  std::string certificate_file, key_file;  ///< both set: TLS
  std::string name = "intra365";           ///< Server header
  /// Turns our own refusals (413, 431, 400, 408, 503) into the application's error format.
  std::function<Response(int status, const Error& error)> render_error;
};

using Handler = std::function<asio::awaitable<Response>(Request)>;

class Server {
 public:
  Server(asio::any_io_executor executor, ServerOptions options, Handler handler);
  ~Server();
  /// Listens. Fails with `http.port_taken`.
  Result<void> start();
  unsigned short port() const;
  /// Stops accepting, answers what is in flight, closes idle connections.
  Task<> drain(SteadyTime deadline);
  std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

std::string percent_decode(std::string_view text, bool plus_is_space, bool& ok);

}  // namespace intra365::http
