// A service and a client of it in one program: answers requests on `greet`, asks itself, drains.
//
//   request_reply [URL]
#include <iostream>

#include "nats/service.hpp"

using namespace intra365;

namespace {

SteadyTime in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

/// An answer that is known at once needs no coroutine. `return work(...)` with a coroutine that owns what it
/// needs is for the others.
nats::ServiceAnswer greet(const nats::MessageView& request, std::size_t) {
  if (request.payload.empty()) return nats::ServiceReply{"", 400, "a name is needed"};
  return nats::ServiceReply{"Hello, " + std::string(request.payload)};
}

Task<> talk(nats::Connection& connection) {
  CO_CHECK(co_await connection.connect(in(std::chrono::seconds(5))));

  nats::ServiceConfig config;
  config.name = "greeter";
  config.version = "1.0.0";
  config.endpoints.emplace_back();
  config.endpoints.back().name = "greet";
  config.endpoints.back().subject = "greet";
  nats::Service service(connection, std::move(config), greet);
  CO_CHECK(service.start());

  const nats::HeaderBlock no_headers;
  CO_TRY(const auto reply,
         co_await connection.request("greet", "Ada", no_headers, in(std::chrono::seconds(1))));
  std::cout << reply.payload() << std::endl;

  // Nobody listens there: that is known at once, not after the deadline.
  const auto nobody = co_await connection.request("nowhere", "?", no_headers, in(std::chrono::seconds(1)));
  std::cout << (nobody ? "somebody?" : nobody.error().code) << std::endl;

  CO_CHECK(co_await service.drain(in(std::chrono::seconds(1))));
  co_return co_await connection.drain(in(std::chrono::seconds(1)));
}

}  // namespace

int main(int count, char** arguments) {
  asio::io_context io(1);
  nats::Options options;
  if (count > 1) options.urls = {arguments[1]};
  nats::Connection connection(io.get_executor(), options);
  int exit_code = 1;
  asio::co_spawn(io, contain(talk(connection)), [&](std::exception_ptr, Result<void> outcome) {
    if (!outcome) std::cerr << outcome.error().code << ": " << outcome.error().detail << std::endl;
    exit_code = outcome ? 0 : 1;
  });
  io.run();
  return exit_code;
}
