#include "tests/nats/proxy.hpp"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <future>

namespace intra365::testing {

using tcp = asio::ip::tcp;

struct TcpProxy::Pipe {
  explicit Pipe(tcp::socket accepted)
      : near(std::move(accepted)),
        far(near.get_executor()),
        resumed(near.get_executor(), SteadyTime::max()) {}
  tcp::socket near, far;
  asio::steady_timer resumed;
  bool blocked = false;

  void close() {
    boost::system::error_code ignored;
    near.close(ignored);
    far.close(ignored);
    resumed.cancel();
  }
};

TcpProxy::TcpProxy(std::uint16_t target)
    : acceptor_(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      target_(target),
      port_(acceptor_.local_endpoint().port()) {
  asio::co_spawn(io_, accept(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
}

TcpProxy::~TcpProxy() {
  run_and_wait([this] {
    acceptor_.close();
    close_all();
  });
  thread_.join();
}

void TcpProxy::run_and_wait(std::function<void()> work) const {
  std::promise<void> done;
  asio::post(io_, [&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void TcpProxy::close_all() {
  for (const auto& pipe : pipes_) pipe->close();
}

void TcpProxy::cut() {
  run_and_wait([this] { close_all(); });
}

void TcpProxy::block() {
  run_and_wait([this] {
    blocked_ = true;
    for (const auto& pipe : pipes_) pipe->blocked = true;
  });
}

void TcpProxy::unblock() {
  run_and_wait([this] {
    blocked_ = false;
    close_all();
  });
}

std::size_t TcpProxy::open() const {
  std::size_t count = 0;
  run_and_wait([&] { count = pipes_.size(); });
  return count;
}

asio::awaitable<void> TcpProxy::accept() {
  for (;;) {
    boost::system::error_code error;
    auto socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    auto pipe = std::make_shared<Pipe>(std::move(socket));
    pipe->blocked = blocked_;
    pipes_.insert(pipe);
    asio::co_spawn(io_, serve(std::move(pipe)), asio::detached);
  }
}

asio::awaitable<void> TcpProxy::serve(std::shared_ptr<Pipe> pipe) {
  using namespace asio::experimental::awaitable_operators;
  boost::system::error_code error;
  const tcp::endpoint server(asio::ip::address_v4::loopback(), target_);
  co_await pipe->far.async_connect(server, asio::redirect_error(asio::use_awaitable, error));
  if (!error) {
    pipe->near.set_option(tcp::no_delay(true), error);
    pipe->far.set_option(tcp::no_delay(true), error);
    co_await (pump(pipe, true) && pump(pipe, false));
  }
  pipe->close();
  pipes_.erase(pipe);
}

asio::awaitable<void> TcpProxy::pump(std::shared_ptr<Pipe> pipe, bool forth) {
  auto& from = forth ? pipe->near : pipe->far;
  auto& to = forth ? pipe->far : pipe->near;
  std::array<char, 65536> bytes;
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  while (!error) {
    const auto count = co_await from.async_read_some(asio::buffer(bytes), token);
    while (!error && pipe->blocked && from.is_open()) {
      boost::system::error_code ignored;
      co_await pipe->resumed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    if (!error) co_await asio::async_write(to, asio::buffer(bytes, count), token);
  }
  pipe->close();
}

}  // namespace intra365::testing
