// Durable messages: makes a stream, stores some one by one and some all-or-nothing, reads them back through a
// consumer and acknowledges.
//
//   stream [URL]
#include <iostream>

#include "nats/jetstream.hpp"

using namespace intra365;

namespace {

SteadyTime in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

Task<> keep_and_read(nats::Connection& connection) {
  CO_CHECK(co_await connection.connect(in(std::chrono::seconds(5))));
  nats::JetStream jetstream(connection);

  nats::StreamConfig stream;
  stream.name = "ORDERS";
  stream.subjects = {"orders.>"};
  stream.allow_atomic = true;
  CO_CHECK(co_await jetstream.ensure_stream(stream));

  // Sent twice with one id, stored once: safe to repeat when an answer was lost.
  nats::HeaderBlock headers;
  headers.add("Nats-Msg-Id", "order-1");
  CO_CHECK(co_await jetstream.publish("orders.new", "one", headers));
  CO_TRY(const auto again, co_await jetstream.publish("orders.new", "one", headers));
  std::cout << "stored once: " << std::boolalpha << again.duplicate << std::endl;

  // All or nothing, and one disk sync for all of them.
  std::vector<nats::Outgoing> batch;
  for (const auto* payload : {"two", "three"}) {
    nats::Outgoing message;
    message.subject = "orders.new";
    message.payload = payload;
    batch.push_back(std::move(message));
  }
  CO_CHECK(co_await jetstream.publish_batch(batch));

  nats::ConsumerConfig consumer;
  consumer.durable_name = "billing";
  CO_CHECK(co_await jetstream.ensure_consumer("ORDERS", consumer));
  CO_TRY(const auto messages, co_await jetstream.fetch("ORDERS", "billing", 3, std::chrono::seconds(2)));
  for (const auto& one : messages) {
    std::cout << one.stream_sequence << " " << one.message.payload() << std::endl;
    CO_CHECK(co_await jetstream.acknowledge_sync(one));
  }
  CO_CHECK(co_await jetstream.delete_stream("ORDERS"));
  co_return co_await connection.drain(in(std::chrono::seconds(1)));
}

}  // namespace

int main(int count, char** arguments) {
  asio::io_context io(1);
  nats::Options options;
  if (count > 1) options.urls = {arguments[1]};
  nats::Connection connection(io.get_executor(), options);
  int exit_code = 1;
  asio::co_spawn(io, contain(keep_and_read(connection)), [&](std::exception_ptr, Result<void> outcome) {
    if (!outcome) std::cerr << outcome.error().code << ": " << outcome.error().detail << std::endl;
    exit_code = outcome ? 0 : 1;
  });
  io.run();
  return exit_code;
}
