// A bounded queue between a subscription and one coroutine that takes messages in order.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "nats/connection.hpp"

namespace intra365::nats {

/// What a queue has seen.
struct QueueStatistics {
  std::uint64_t received = 0, dropped = 0;
  std::size_t pending = 0, pending_bytes = 0;          ///< waiting to be taken
  std::size_t max_pending = 0, max_pending_bytes = 0;  ///< at the worst moment
};

/// Owned by one shard. When full, the newest message is dropped and counted: the slow consumer is visible
/// in `statistics()`, in the connection's `dropped` and `slow_consumer` event, and to `on_slow`.
class MessageQueue {
 public:
  static constexpr std::size_t kDefaultMaxBytes = 64u << 20;
  /// At most `limit` messages, and at most `max_bytes` of payload and headers, wait.
  MessageQueue(Connection& connection, std::size_t limit, std::size_t max_bytes = kDefaultMaxBytes);
  /// Called for the first message that is dropped; again only after the queue was less than half full.
  void on_slow(std::function<void(const QueueStatistics&)> slow);
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
  QueueStatistics statistics() const;
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
