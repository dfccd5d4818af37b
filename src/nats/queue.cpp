#include "nats/queue.hpp"

#include <deque>

#include "nats/impl.hpp"

namespace intra365::nats {

/// Shared with the subscription's handler and with the coroutine that waits: any of them may go first.
struct MessageQueue::State {
  State(const asio::any_io_executor& executor, std::size_t limit, std::size_t max_bytes)
      : limit(limit), max_bytes(max_bytes), arrived(executor, SteadyTime::max()) {}
  std::size_t limit, max_bytes;
  QueueStatistics statistics;
  std::function<void(const QueueStatistics&)> on_slow;
  bool slow = false;
  std::deque<Message> messages;
  asio::steady_timer arrived;  ///< cancelled when there is something to look at
  bool stopped = false, reconnected = false;

  static std::size_t size_of(const MessageView& view) {
    return view.payload.size() + view.headers.block().size();
  }
  /// False when there is no room.
  bool add(const MessageView& view) {
    const auto bytes = size_of(view);
    // One message always fits, however large.
    if (messages.size() >= limit || (!messages.empty() && statistics.pending_bytes + bytes > max_bytes)) {
      ++statistics.dropped;
      return false;
    }
    messages.emplace_back(view);
    ++statistics.received;
    statistics.pending = messages.size();
    statistics.pending_bytes += bytes;
    statistics.max_pending = std::max(statistics.max_pending, statistics.pending);
    statistics.max_pending_bytes = std::max(statistics.max_pending_bytes, statistics.pending_bytes);
    return true;
  }
  Message take() {
    auto message = std::move(messages.front());
    messages.pop_front();
    statistics.pending = messages.size();
    statistics.pending_bytes -= size_of(message.view());
    if (slow && messages.size() < limit / 2 + 1 && statistics.pending_bytes < max_bytes / 2 + 1) slow = false;
    return message;
  }

  void stop() {
    stopped = true;
    arrived.cancel();
  }
};

MessageQueue::MessageQueue(Connection& connection, std::size_t limit, std::size_t max_bytes)
    : connection_(&connection), state_(std::make_shared<State>(connection.executor(), limit, max_bytes)) {}

void MessageQueue::on_slow(std::function<void(const QueueStatistics&)> slow) {
  state_->on_slow = std::move(slow);
}

MessageQueue::~MessageQueue() {
  if (state_) stop();
}

Result<void> MessageQueue::subscribe(std::string_view subject, std::string_view queue_group,
                                     OnReconnect on_reconnect) {
  /// Lives in the handler and so learns when the subscription ends, whoever ended it.
  struct Filler {
    Filler(std::shared_ptr<State> state, Connection::Impl* impl) : state(std::move(state)), impl(impl) {}
    Filler(Filler&&) = default;
    ~Filler() {
      if (state) state->stop();
    }
    void operator()(const MessageView& message) {
      if (!state->add(message)) {
        ++impl->statistics_.dropped;
        if (std::exchange(state->slow, true)) return;
        impl->report("slow_consumer", message.subject);
        if (state->on_slow) state->on_slow(state->statistics);
        return;
      }
      if (state->messages.size() == 1) state->arrived.cancel();
    }
    std::shared_ptr<State> state;
    Connection::Impl* impl;  ///< runs the handler, so it outlives every call
  };
  TRY(subscription_, connection_->subscribe(subject, Filler(state_, connection_->impl_.get()), queue_group));
  if (on_reconnect == OnReconnect::tell) {
    connection_->impl_->find(subscription_.id())->on_resubscribe = [weak = std::weak_ptr(state_)] {
      const auto state = weak.lock();
      if (!state) return;
      state->reconnected = true;
      state->arrived.cancel();
    };
  }
  return {};
}

std::optional<Message> MessageQueue::try_next() {
  if (state_->messages.empty()) return std::nullopt;
  return state_->take();
}

Task<Message> MessageQueue::next(SteadyTime deadline) {
  return take(state_, deadline);
}

Task<Message> MessageQueue::take(std::shared_ptr<State> state, SteadyTime deadline) {
  while (state->messages.empty()) {
    if (state->stopped) co_return fail(errors::closed);
    if (std::exchange(state->reconnected, false)) co_return fail(errors::disconnected);
    state->arrived.expires_at(deadline);
    boost::system::error_code error;
    co_await state->arrived.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!state->messages.empty()) break;
    if (!error) co_return fail(errors::timeout, "no message arrived in time");
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
      co_return fail(intra365::errors::cancelled);
  }
  co_return state->take();
}

void MessageQueue::stop() {
  subscription_.unsubscribe();
  state_->stop();
}

QueueStatistics MessageQueue::statistics() const {
  return state_->statistics;
}
std::size_t MessageQueue::dropped() const {
  return state_->statistics.dropped;
}
std::size_t MessageQueue::size() const {
  return state_->messages.size();
}

}  // namespace intra365::nats
