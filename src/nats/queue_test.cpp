#include "nats/queue.hpp"

#include <gtest/gtest.h>

#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

class QueueTest : public ::testing::Test {
 protected:
  static NatsServer& server() {
    static NatsServer instance;
    return instance;
  }
  Loop loop;
  std::unique_ptr<Connection> client = loop.connect(server().url());
};

TEST_F(QueueTest, messages_come_in_order) {
  MessageQueue queue(*client, 100);
  ASSERT_TRUE(queue.subscribe("a"));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(client->publish("a", std::to_string(i)));
  for (int i = 0; i < 50; ++i) {
    const auto message = loop.run(queue.next(in(5s)));
    ASSERT_TRUE(message) << message.error().detail;
    EXPECT_EQ(message->payload(), std::to_string(i));
  }
}

TEST_F(QueueTest, who_is_too_slow_sees_what_was_dropped) {
  MessageQueue queue(*client, 10);
  ASSERT_TRUE(queue.subscribe("a"));
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(client->publish("a", std::to_string(i)));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_EQ(queue.size(), 10u);
  EXPECT_EQ(queue.dropped(), 15u);
  EXPECT_EQ(client->statistics().dropped, 15u);
  EXPECT_TRUE(loop.saw("slow_consumer a"));
  EXPECT_EQ(loop.run(queue.next(in(5s)))->payload(), "0") << "the newest are dropped, not the oldest";
}

TEST_F(QueueTest, slowness_is_told_each_time_it_begins_with_its_counters) {
  MessageQueue queue(*client, 1000, 100);
  std::vector<QueueStatistics> told;
  queue.on_slow([&](const QueueStatistics& statistics) { told.push_back(statistics); });
  ASSERT_TRUE(queue.subscribe("bytes"));
  const std::string payload(30, 'x');
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(client->publish("bytes", payload));
    ASSERT_TRUE(loop.run(client->flush(in(5s))));
  };
  publish(5);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].pending, 3u);
  EXPECT_EQ(told[0].pending_bytes, 90u);
  publish(1);
  EXPECT_EQ(told.size(), 1u) << "still slow";
  while (queue.try_next()) {
  }
  publish(4);
  EXPECT_EQ(told.size(), 2u);
  EXPECT_EQ(queue.statistics().dropped, 4u);
  EXPECT_EQ(queue.statistics().received, 6u);
  EXPECT_EQ(queue.statistics().max_pending_bytes, 90u);
  while (queue.try_next()) {
  }
  const std::string large(500, 'x');
  ASSERT_TRUE(client->publish("bytes", large));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  EXPECT_TRUE(queue.try_next()) << "one message always fits";
}

TEST_F(QueueTest, empty_queue_ends_at_the_deadline_and_a_stopped_one_at_once) {
  MessageQueue queue(*client, 10);
  ASSERT_TRUE(queue.subscribe("a"));
  EXPECT_EQ(loop.run(queue.next(in(20ms))).error().code, "nats.timeout");
  ASSERT_TRUE(client->publish("a", "left"));
  ASSERT_TRUE(loop.run(client->flush(in(5s))));
  queue.stop();
  EXPECT_EQ(loop.run(queue.next())->payload(), "left");
  EXPECT_EQ(loop.run(queue.next()).error().code, "nats.closed");
}

TEST_F(QueueTest, waiting_coroutine_ends_when_the_connection_or_the_queue_goes) {
  for (const bool close_connection : {true, false}) {
    auto connection = loop.connect(server().url());
    auto queue = std::make_unique<MessageQueue>(*connection, 10);
    ASSERT_TRUE(queue->subscribe("a"));
    std::optional<std::string> code;
    asio::co_spawn(loop.io, queue->next(), [&](std::exception_ptr, Result<Message> message) {
      code = message ? "" : message.error().code;
    });
    ASSERT_TRUE(loop.run(connection->flush(in(5s))));
    ASSERT_FALSE(code);
    if (close_connection)
      connection->close();
    else
      queue.reset();
    ASSERT_TRUE(loop.until([&] { return code.has_value(); }));
    EXPECT_EQ(*code, "nats.closed");
  }
}

TEST_F(QueueTest, drained_connection_leaves_the_queue_full) {
  MessageQueue queue(*client, 100);
  ASSERT_TRUE(queue.subscribe("a"));
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(client->publish("a", ""));
  ASSERT_TRUE(loop.run(client->drain(in(5s))));
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(loop.run(queue.next(in(5s))));
  EXPECT_EQ(loop.run(queue.next(in(5s))).error().code, "nats.closed");
}

}  // namespace
}  // namespace intra365::nats
