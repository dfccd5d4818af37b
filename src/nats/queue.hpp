// A bounded queue between a subscription and one coroutine that takes messages in order.
#pragma once
#include <deque>

#include "nats/connection.hpp"

namespace intra365::nats {

/// Owned by one shard. When full, the newest message is dropped and counted: the slow consumer is visible
/// in `dropped()` and in the connection's statistics.
class MessageQueue {
 public:
  MessageQueue(Connection& connection, std::size_t limit);
  /// Subscribes and starts filling. May be called once.
  Result<void> subscribe(std::string_view subject, std::string_view queue_group = {});
  /// The next message, `nats.timeout` after `deadline`, `nats.closed` once the queue was stopped and is empty.
  Task<Message> next(SteadyTime deadline = SteadyTime::max());
  void stop();
  std::size_t dropped() const { return dropped_; }
  std::size_t size() const { return messages_.size(); }

 private:
  Connection& connection_;
  std::size_t limit_, dropped_ = 0;
  std::deque<Message> messages_;
  Subscription subscription_;
  asio::steady_timer arrived_;
  bool stopped_ = false;
};

}  // namespace intra365::nats
