// A TCP proxy for fault tests: between a client and a server, or between two servers, it can cut, stop and
// resume what flows.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <set>
#include <thread>

#include "async/task.hpp"

namespace intra365::testing {

/// Runs on a thread of its own; every method may be called from any thread and takes effect before it
/// returns.
class TcpProxy {
 public:
  /// Passes everything on to 127.0.0.1:`target`.
  explicit TcpProxy(std::uint16_t target);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  /// Closes what is open; new connections are let in.
  void cut();
  /// A broken network: what is open stays so and carries nothing, new connections get no answer.
  void block();
  /// Flows again; bytes that were under way when it was blocked are lost with their connections.
  void unblock();
  std::size_t open() const;

 private:
  struct Pipe;
  void run_and_wait(std::function<void()> work) const;
  asio::awaitable<void> accept();
  static asio::awaitable<void> pump(std::shared_ptr<Pipe> pipe, bool forth);
  asio::awaitable<void> serve(std::shared_ptr<Pipe> pipe);
  void close_all();

  mutable asio::io_context io_{1};
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t target_, port_;
  std::set<std::shared_ptr<Pipe>> pipes_;
  bool blocked_ = false;
  std::thread thread_;
};

}  // namespace intra365::testing
