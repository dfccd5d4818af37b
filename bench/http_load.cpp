#include "bench/http_load.hpp"

#include <boost/asio.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "bench/process.hpp"
#include "contract/operations/auth.hpp"

namespace intra365::bench {
namespace {

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "http load: %s\n", why.c_str());
  std::_Exit(1);
}

/// The whole answer's size once its header is there, else 0. Both servers say the length.
std::size_t size_of_answer(std::string_view text) {
  const auto end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  std::string header(text.substr(0, end));
  std::ranges::transform(header, header.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto at = header.find("content-length:");
  if (at == std::string::npos) stop("an answer without a length: " + header);
  const auto digit = header.find_first_of("0123456789", at);
  std::size_t length = 0;
  std::from_chars(header.data() + digit, header.data() + header.size(), length);
  return end + 4 + length;
}

class Caller {
 public:
  Caller(asio::io_context& io, unsigned short port, const std::vector<HttpRequest>& requests,
         std::size_t first, SteadyTime end, std::vector<float>& latencies)
      : socket_(io), requests_(requests), next_(first), end_(end), latencies_(latencies) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
    socket_.set_option(asio::ip::tcp::no_delay(true));
    send();
  }

 private:
  void send() {
    begun_ = std::chrono::steady_clock::now();
    if (begun_ >= end_) return;
    asio::async_write(socket_, asio::buffer(requests_[next_ % requests_.size()].text),
                      [this](const boost::system::error_code& failed, std::size_t) {
                        if (failed) stop(failed.message());
                        received_.clear();
                        receive();
                      });
  }

  void receive() {
    socket_.async_read_some(
        asio::buffer(buffer_), [this](const boost::system::error_code& failed, std::size_t size) {
          if (failed) stop(failed.message());
          received_.append(buffer_.data(), size);
          const auto whole = size_of_answer(received_);
          if (whole == 0 || received_.size() < whole) return receive();
          if (!received_.starts_with("HTTP/1.1 20") ||
              received_.find(requests_[next_ % requests_.size()].must_be_in_body) == std::string::npos)
            stop("not the right answer: " + received_);
          latencies_.push_back(
              std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - begun_).count());
          ++next_;
          send();
        });
  }

  asio::ip::tcp::socket socket_;
  const std::vector<HttpRequest>& requests_;
  std::size_t next_;
  SteadyTime begun_, end_;
  std::vector<float>& latencies_;
  std::array<char, 16384> buffer_{};
  std::string received_;
};

}  // namespace

HttpRequest json_post(const std::string& path, const std::string& headers, const std::string& body,
                      std::string must_be_in_body) {
  return {"POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + headers +
              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
          std::move(must_be_in_body)};
}

HttpRequest json_get(const std::string& path, const std::string& headers, std::string must_be_in_body) {
  return {"GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + "\r\n", std::move(must_be_in_body)};
}

std::string token_for(unsigned short port, const std::string& api_key) {
  asio::ip::tcp::iostream stream("127.0.0.1", std::to_string(port));
  const boost::json::value credentials{{"provider", "api-key"}, {"credentials", {{"apiKey", api_key}}}};
  stream << json_post("/v1/auth/token", "Connection: close\r\n", boost::json::serialize(credentials), "").text
         << std::flush;
  const std::string answer(std::istreambuf_iterator<char>(stream), {});
  const auto at = answer.find("\r\n\r\n");
  auto reply = json::decode<auth::TokenReply>(answer.substr(at == std::string::npos ? 0 : at + 4),
                                              json::Unknown::ignore);
  if (!reply) stop("no token: " + answer);
  return reply->token;
}

HttpLoad http_load(unsigned short port, const std::vector<HttpRequest>& requests, int connections,
                   double seconds) {
  asio::io_context io(1);
  std::vector<float> latencies;
  latencies.reserve(1'000'000);
  std::vector<std::unique_ptr<Caller>> callers;
  const auto begun = std::chrono::steady_clock::now();
  // Each begins in a part of its own, so that where there are enough requests none is made twice.
  for (int i = 0; i < connections; ++i) {
    const auto first = requests.size() * static_cast<std::size_t>(i) / static_cast<std::size_t>(connections);
    callers.push_back(std::make_unique<Caller>(io, port, requests, first, in(seconds), latencies));
  }
  io.run();
  const auto took = seconds_since(begun);
  HttpLoad load;
  load.per_second = static_cast<double>(latencies.size()) / took;
  load.p50_us = percentile(latencies, 0.5);
  load.p99_us = percentile(latencies, 0.99);
  return load;
}

}  // namespace intra365::bench
