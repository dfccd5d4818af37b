// A bounded queue between a subscription and one coroutine that takes messages in order.
#pragma once
#include <memory>

#include "nats/connection.hpp"

namespace intra365::nats {

/// Owned by one shard. When full, the newest message is dropped and counted: the slow consumer is visible
/// in `dropped()` and in the connection's statistics.
class MessageQueue {
 public:
  MessageQueue(Connection& connection, std::size_t limit);
  /// Stops; a coroutine that waits in `next` gets `nats.closed`.
  ~MessageQueue();
  MessageQueue(MessageQueue&&) noexcept = default;
  MessageQueue& operator=(MessageQueue&&) noexcept = delete;
  /// Subscribes and starts filling. May be called once.
  Result<void> subscribe(std::string_view subject, std::string_view queue_group = {});
  /// The next message, `nats.timeout` after `deadline`, `nats.closed` once the queue was stopped, or the
  /// connection closed, and the queue is empty. One coroutine at a time.
  Task<Message> next(SteadyTime deadline = SteadyTime::max());
  /// Unsubscribes; what is in the queue can still be taken.
  void stop();
  std::size_t dropped() const;
  std::size_t size() const;

 private:
  struct State;
  static Task<Message> take(std::shared_ptr<State> state, SteadyTime deadline);
  Connection* connection_;
  std::shared_ptr<State> state_;
  Subscription subscription_;
};

}  // namespace intra365::nats
