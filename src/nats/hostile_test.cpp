// Servers that break the protocol: every one ends in a typed error, with bounded memory, and never in a hang.
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "nats/test_loop.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using tcp = asio::ip::tcp;

constexpr std::string_view kInfo =
    "INFO {\"server_id\":\"x\",\"version\":\"2.12.0\",\"headers\":true,\"max_payload\":1048576}\r\n";

/// Says `first` at once, `second` when the client has sent its CONNECT and PING, and then `flood` until the
/// client goes.
class HostileServer {
 public:
  HostileServer(asio::io_context& io, std::string first, std::string second = {}, std::string flood = {})
      : acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), said_(std::make_shared<Said>()) {
    said_->first = std::move(first);
    said_->second = std::move(second);
    said_->flood = std::move(flood);
    accept();
  }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  std::size_t flooded() const { return said_->flooded; }

 private:
  struct Said {
    std::string first, second, flood;
    std::size_t flooded = 0;
  };
  void accept() {
    acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error) return;
      asio::co_spawn(socket.get_executor(), serve(std::move(socket), said_), asio::detached);
      accept();
    });
  }
  static asio::awaitable<void> serve(tcp::socket socket, std::shared_ptr<Said> said) {
    boost::system::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await asio::async_write(socket, asio::buffer(said->first), token);
    char bytes[4096];
    std::string heard;
    while (!error && heard.find("PING\r\n") == std::string::npos && !said->second.empty()) {
      const auto count = co_await socket.async_read_some(asio::buffer(bytes), token);
      heard.append(bytes, count);
    }
    co_await asio::async_write(socket, asio::buffer(said->second), token);
    while (!error && !said->flood.empty()) {
      co_await asio::async_write(socket, asio::buffer(said->flood), token);
      said->flooded += said->flood.size();
    }
    while (!error) co_await socket.async_read_some(asio::buffer(bytes), token);
  }

  tcp::acceptor acceptor_;
  std::shared_ptr<Said> said_;
};

class HostileTest : public ::testing::Test {
 protected:
  /// What a first connection ends with.
  Error greet(std::string first, std::string second = {}, std::string flood = {}) {
    HostileServer server(loop.io, std::move(first), std::move(second), std::move(flood));
    const auto client = loop.make(server.url(), limits);
    const auto connected = loop.run(client->connect(in(300ms)));
    EXPECT_LT(server.flooded(), std::size_t{16} << 20) << "nothing is read without end";
    return connected ? Error() : connected.error();
  }
  /// What a connection that was made loses its server to.
  std::string lose(std::string after_pong, std::string flood = {}) {
    HostileServer server(loop.io, std::string(kInfo), "PONG\r\n" + std::move(after_pong), std::move(flood));
    const auto client = loop.connect(server.url(), limits);
    EXPECT_TRUE(loop.until([&] { return loop.saw("disconnected"); }));
    EXPECT_LT(server.flooded(), std::size_t{16} << 20);
    for (const auto& event : loop.events) {
      if (event.starts_with("disconnected")) return event;
    }
    return {};
  }
  static void limits(Options& options) {
    options.max_line_bytes = 8192;
    options.max_message_bytes = 1 << 20;
    options.connect_timeout = 200ms;
  }
  Loop loop;
};

TEST_F(HostileTest, another_protocol_is_recognised) {
  EXPECT_EQ(greet("HTTP/1.1 400 Bad Request\r\n\r\n").code, "nats.protocol");
  EXPECT_EQ(greet("PING\r\n").code, "nats.protocol");
  EXPECT_EQ(greet(std::string("\0\x01\x02\xff\n", 5)).code, "nats.protocol");
}

TEST_F(HostileTest, silence_ends_at_the_deadline) {
  EXPECT_EQ(greet("").kind, ErrorKind::deadline);
}

TEST_F(HostileTest, bad_info_is_refused) {
  EXPECT_EQ(greet("INFO {\r\n").code, "nats.protocol");
  EXPECT_EQ(greet("INFO []\r\n").code, "nats.protocol");
  EXPECT_EQ(greet("INFO " + std::string(2000, '[') + "\r\n").code, "nats.protocol");
}

TEST_F(HostileTest, endless_first_line_ends_at_the_limit) {
  EXPECT_EQ(greet("INFO {", "", std::string(65536, ' ')).code, "nats.protocol");
}

TEST_F(HostileTest, message_before_the_login_is_refused) {
  EXPECT_EQ(greet(std::string(kInfo), "MSG a 1 2\r\nhi\r\n").code, "nats.protocol");
}

TEST_F(HostileTest, login_that_is_never_answered_ends_at_the_deadline) {
  EXPECT_EQ(greet(std::string(kInfo), "+OK\r\n").kind, ErrorKind::deadline);
}

TEST_F(HostileTest, clear_text_in_front_of_the_handshake_is_refused) {
  EXPECT_EQ(greet("INFO {\"tls_required\":true}\r\nPING\r\n").code, "nats.tls");
}

TEST_F(HostileTest, broken_messages_end_the_connection) {
  EXPECT_NE(lose("MSG a 1 -5\r\n").find("not a number"), std::string::npos);
}
TEST_F(HostileTest, huge_size_is_refused_before_anything_is_kept) {
  EXPECT_NE(lose("MSG a 1 4294967296\r\n", std::string(65536, 'x')).find("larger than"), std::string::npos);
}
TEST_F(HostileTest, overflowing_size_is_refused) {
  EXPECT_NE(lose("MSG a 1 99999999999999999999999999\r\n").find("not a number"), std::string::npos);
}
TEST_F(HostileTest, endless_line_is_cut) {
  EXPECT_NE(lose("MSG ", std::string(65536, 'a')).find("a line is longer"), std::string::npos);
}
TEST_F(HostileTest, endless_headers_are_cut_by_their_size) {
  EXPECT_NE(lose("HMSG a 1 2000000 2000000\r\nNATS/1.0\r\n", "X: y\r\n").find("larger than"),
            std::string::npos);
}
TEST_F(HostileTest, more_headers_than_message_is_refused) {
  EXPECT_NE(lose("HMSG a 1 10 5\r\n").find("more headers than bytes"), std::string::npos);
}
TEST_F(HostileTest, lying_about_the_size_is_noticed) {
  EXPECT_NE(lose("MSG a 1 2\r\nlonger\r\n").find("does not end where"), std::string::npos);
}
TEST_F(HostileTest, broken_info_in_the_middle_ends_the_connection) {
  EXPECT_NE(lose("INFO {]\r\n").find("not a JSON object"), std::string::npos);
}

TEST_F(HostileTest, messages_nobody_asked_for_are_ignored) {
  HostileServer server(loop.io, std::string(kInfo),
                       "PONG\r\nPONG\r\nPONG\r\nMSG a 0 2\r\nhi\r\nMSG a 1 2\r\nhi\r\nMSG a "
                       "18446744073709551615 2\r\nhi\r\nMSG a 77 2\r\nhi\r\n"
                       "-ERR 'Permissions Violation for Publish to \"'\r\n-ERR 'Permissions Violation for "
                       "Publish to \"\\'\r\n-ERR\r\n-ERR 'last'\r\n");
  const auto client = loop.connect(server.url(), limits);
  EXPECT_TRUE(loop.until([&] { return loop.saw("error last"); }));
  EXPECT_TRUE(client->connected());
  EXPECT_EQ(client->statistics().in_messages, 4u);
}

}  // namespace
}  // namespace intra365::nats
