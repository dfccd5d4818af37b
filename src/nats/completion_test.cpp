// Operations without coroutines, and cancelled ones.
#include "nats/completion.hpp"

#include <gtest/gtest.h>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "nats/jetstream_consume.hpp"
#include "nats/jetstream_ordered.hpp"
#include "nats/jetstream_publisher.hpp"
#include "nats/key_value.hpp"
#include "nats/object_store.hpp"
#include "nats/queue.hpp"
#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

TEST(Completion, handler_and_future_get_the_result) {
  NatsServer server("jetstream {}\n");
  Loop loop;
  const auto client = loop.make(server.url());
  JetStream jetstream(*client);
  std::string told;
  start(loop.io.get_executor(), client->connect(in(5s)),
        [&](Result<void> connected) { told = connected ? "connected" : connected.error().code; });
  ASSERT_TRUE(loop.until([&] { return !told.empty(); }));
  EXPECT_EQ(told, "connected");
  told.clear();
  start(loop.io.get_executor(), jetstream.publish("nobody.stores", ""),
        [&](Result<PublishAck> ack) { told = ack ? "stored" : ack.error().code; });
  ASSERT_TRUE(loop.until([&] { return !told.empty(); }));
  EXPECT_EQ(told, "nats.no_responders");

  loop.io.restart();
  auto work = asio::make_work_guard(loop.io);
  std::thread thread([&] { loop.io.run(); });
  auto future = start(loop.io.get_executor(), client->round_trip(in(5s)), asio::use_future);
  EXPECT_TRUE(future.get());
  work.reset();
  asio::post(loop.io, [&] { client->close(); });
  thread.join();
}

/// Starts an operation that waits, cancels it, and gives the code it ended with.
template <class T>
std::string cancel(Loop& loop, Task<T> task) {
  asio::cancellation_signal signal;
  std::string code;
  start(loop.io.get_executor(), std::move(task),
        asio::bind_cancellation_slot(
            signal.slot(), [&](Result<T> result) { code = result ? "ended" : result.error().code; }));
  for (int i = 0; i < 20; ++i) loop.io.poll();
  EXPECT_EQ(code, "") << "it should be waiting";
  const auto began = std::chrono::steady_clock::now();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_TRUE(loop.until([&] { return !code.empty(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
  return code;
}

TEST(Cancellation, ends_every_operation_that_waits) {
  NatsServer server("jetstream {}\n");
  Loop loop;
  const auto client = loop.connect(server.url());
  JetStream jetstream(*client);
  StreamConfig config;
  config.name = "s";
  ASSERT_TRUE(loop.run(jetstream.create_stream(config)));
  ConsumerConfig durable;
  durable.durable_name = "c";
  ASSERT_TRUE(loop.run(jetstream.ensure_consumer("s", durable)));
  BucketConfig bucket_config;
  bucket_config.name = "b";
  ASSERT_TRUE(loop.run(KeyValue::ensure(jetstream, bucket_config)));
  KeyValue bucket(jetstream, "b");
  WatchedBucket mirror(jetstream, "b");
  ASSERT_TRUE(loop.run(mirror.start(in(5s))));
  const auto silent = client->subscribe("silent", [](const MessageView&) {});
  const HeaderBlock none;
  MessageQueue queue(*client, 10);
  ASSERT_TRUE(queue.subscribe("q"));
  PullConsumer consumer(jetstream, "s", "c");
  OrderedConsumer ordered(jetstream, "s");
  ASSERT_TRUE(loop.run(ordered.next(in(5s)))) << "the end of what is there";
  auto watcher = loop.run(bucket.watch());
  ASSERT_TRUE(watcher && loop.run(watcher->next(in(5s))));

  EXPECT_EQ(cancel(loop, client->request("silent", "", none, in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, client->request_many("silent", "", none, in(60s), 10, 10s)), "cancelled");
  EXPECT_EQ(cancel(loop, queue.next(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, jetstream.fetch("s", "c", 1, 60s)), "cancelled");
  EXPECT_EQ(cancel(loop, consumer.next(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, ordered.next(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, watcher->next(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, mirror.wait_for(1000, in(60s))), "cancelled");
  server.pause();
  EXPECT_EQ(cancel(loop, client->flush(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, jetstream.publish("s", "")), "cancelled");
  EXPECT_EQ(cancel(loop, bucket.get("k")), "cancelled");
  const auto other = loop.make(server.url());
  EXPECT_EQ(cancel(loop, other->connect(in(60s))), "cancelled");
  EXPECT_EQ(cancel(loop, client->drain(in(60s))), "cancelled");
  server.resume();
}

}  // namespace
}  // namespace intra365::nats
