#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "http/router.hpp"
#include "http/server.hpp"
#include "http/uri.hpp"

namespace intra365::http {
namespace {

using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

/// A server on a thread of its own; every answer repeats what was asked.
class EchoServer {
 public:
  explicit EchoServer(Limits limits = {}) : server_(io_.get_executor(), options(limits), &echo) {
    EXPECT_TRUE(server_.start());
    thread_ = std::thread([this] { io_.run(); });
  }
  ~EchoServer() {
    asio::co_spawn(io_, server_.drain(std::chrono::steady_clock::now() + 2s),
                   [this](std::exception_ptr, Result<void>) { io_.stop(); });
    thread_.join();
  }
  /// Sends raw bytes on a new connection and reads until the server closes it.
  std::string talk(std::string_view bytes) {
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), server_.port()});
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer(bytes.data(), bytes.size()), ignored);
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), ignored);
    return answer;
  }
  unsigned short port() { return server_.port(); }

 private:
  static ServerOptions options(Limits limits) {
    ServerOptions result;
    result.limits = limits;
    result.render_error = [](int status, const Error& error) {
      return Response{status, "text/plain", error.code, {}};
    };
    return result;
  }
  static asio::awaitable<Response> echo(Request request) {
    if (request.path == "/throw") throw std::runtime_error("boom");
    Response streamed{200, "text/plain", "", {}};
    if (request.path == "/parts")
      streamed.stream = [](BodyWriter& out) -> asio::awaitable<void> { return three_parts(out, false); };
    if (request.path == "/broken")
      streamed.stream = [](BodyWriter& out) -> asio::awaitable<void> { return three_parts(out, true); };
    if (request.path == "/endless")
      streamed.stream = [](BodyWriter& out) -> asio::awaitable<void> { return endless(out); };
    if (streamed.stream) co_return streamed;
    co_return Response{200, "text/plain", request.method + " " + request.path + " " + request.body, {}};
  }
  static asio::awaitable<void> three_parts(BodyWriter& out, bool fails) {
    for (const auto* part : {"one ", "two ", "three"}) co_await out.write(part);
    if (fails) throw std::runtime_error("boom");
  }
  static asio::awaitable<void> endless(BodyWriter& out) {
    co_await out.write("begun");
    try {
      co_await sleep_for(1h);
    } catch (...) {
      stopped = true;
      throw;
    }
  }

 public:
  static inline std::atomic<bool> stopped{false};  ///< the endless body was cancelled

 private:
  asio::io_context io_;
  Server server_;
  std::thread thread_;
};

std::string status_of(const std::string& answer) {
  return answer.substr(0, answer.find("\r\n"));
}

TEST(Server, answers_requests_in_order_on_one_connection) {
  EchoServer server;
  const auto answer = server.talk(
      "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: "
      "close\r\n\r\nhi");
  EXPECT_EQ(status_of(answer), "HTTP/1.1 200 OK");
  EXPECT_LT(answer.find("GET /a "), answer.find("POST /b hi"));
}

TEST(Server, oversized_bodies_and_headers_are_refused_with_their_status) {
  Limits limits;
  limits.body_bytes = 100;
  limits.header_bytes = 1024;
  EchoServer server(limits);
  EXPECT_EQ(status_of(server.talk("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")),
            "HTTP/1.1 413 Payload Too Large");
  EXPECT_EQ(
      status_of(server.talk("GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + std::string(2000, 'a') + "\r\n\r\n")),
      "HTTP/1.1 431 Request Header Fields Too Large");
}

TEST(Server, ambiguous_and_malformed_requests_are_refused) {
  EchoServer server;
  for (const auto* request : {
           "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: "
           "close\r\n\r\n0\r\n\r\n",
           "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\nConnection: "
           "close\r\n\r\nabc",
           "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "GET /a%2fb HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "GET /a%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "GARBAGE\r\n\r\n",
       }) {
    EXPECT_EQ(status_of(server.talk(request)), "HTTP/1.1 400 Bad Request") << request;
  }
}

TEST(Server, a_handler_that_throws_is_an_internal_error) {
  EchoServer server;
  EXPECT_EQ(status_of(server.talk("GET /throw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")),
            "HTTP/1.1 500 Internal Server Error");
}

TEST(Server, a_slow_request_is_cut_off) {
  Limits limits;
  limits.read_timeout = 100ms;
  EchoServer server(limits);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(server.talk("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"), "");
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST(Server, a_body_may_be_written_bit_by_bit) {
  EchoServer server;
  const auto answer = server.talk("GET /parts HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n")) << answer;
  const auto old = server.talk("GET /parts HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ends_with("\r\n\r\none two three")) << old;
  const auto broken = server.talk("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(broken.ends_with("5\r\nthree\r\n")) << "without the last chunk: " << broken;
}

TEST(Server, a_client_that_hangs_up_stops_the_body) {
  EchoServer server;
  EchoServer::stopped = false;
  {
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), server.port()});
    asio::write(socket, asio::buffer(std::string("GET /endless HTTP/1.1\r\nHost: x\r\n\r\nmore")));
    std::string answer(1, '\0');
    while (!answer.ends_with("begun\r\n")) {
      char byte;
      asio::read(socket, asio::buffer(&byte, 1));
      answer += byte;
    }
    EXPECT_FALSE(EchoServer::stopped);
  }
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!EchoServer::stopped && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_TRUE(EchoServer::stopped);
}

TEST(Server, a_taken_port_is_named) {
  EchoServer first;
  asio::io_context io;
  ServerOptions options;
  options.port = first.port();
  Server second(io.get_executor(), options,
                [](Request) -> asio::awaitable<Response> { co_return Response(); });
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, "http.port_taken");
  EXPECT_NE(started.error().detail.find(std::to_string(first.port())), std::string::npos);
}

TEST(Router, literals_beat_parameters_and_methods_are_told) {
  Router router;
  router.add("GET", "/v1/mates", 1);
  router.add("GET", "/v1/mates/{mateId}", 2);
  router.add("DELETE", "/v1/mates/{mateId}", 3);
  router.add("POST", "/v1/mates/identities", 4);
  router.add("POST", "/v1/mates/{mateId}/call/{capability}/{action}", 5);
  EXPECT_EQ(router.find("GET", "/v1/mates").index, 1u);
  const auto call = router.find("POST", "/v1/mates/m/call/image/analyze");
  ASSERT_EQ(call.index, 5u);
  ASSERT_EQ(call.parameters.size(), 3u);
  EXPECT_EQ(call.parameters[1], (std::pair<std::string_view, std::string_view>("capability", "image")));
  EXPECT_EQ(router.find("POST", "/v1/mates/identities").index, 4u);
  const auto wrong = router.find("PUT", "/v1/mates/m");
  EXPECT_EQ(wrong.kind, Router::Match::Kind::no_method);
  EXPECT_EQ(wrong.allowed.size(), 2u);
  EXPECT_EQ(router.find("GET", "/v2").kind, Router::Match::Kind::no_path);
  EXPECT_EQ(router.find("GET", "/v1/mates/").kind, Router::Match::Kind::no_path);
}

TEST(Uri, queries_are_decoded_in_order) {
  const auto query = parse_query("a=1&b=x%20y+z&c");
  ASSERT_TRUE(query);
  EXPECT_EQ((*query)[1].second, "x y z");
  EXPECT_EQ((*query)[2], (std::pair<std::string, std::string>("c", "")));
  EXPECT_FALSE(parse_query("a=%f"));
}

}  // namespace
}  // namespace intra365::http
