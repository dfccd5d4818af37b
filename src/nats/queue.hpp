// A bounded queue between a subscription and one coroutine that takes messages in order.
#pragma once
#include <memory>
#include <optional>

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
  /// What `next` does when the connection came back and messages may have been missed.
  enum class OnReconnect : std::uint8_t {
    go_on,
    tell,  ///< fails once with `nats.disconnected`, when the queue is empty
  };
  /// Subscribes and starts filling. May be called once.
  Result<void> subscribe(std::string_view subject, std::string_view queue_group = {},
                         OnReconnect on_reconnect = OnReconnect::go_on);
  /// The next message, `nats.timeout` after `deadline`, `nats.closed` once the queue was stopped, or the
  /// connection closed, and the queue is empty. One coroutine at a time.
  Task<Message> next(SteadyTime deadline = SteadyTime::max());
  /// The next message if it is there already: without a coroutine, for the hot path.
  std::optional<Message> try_next();
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
