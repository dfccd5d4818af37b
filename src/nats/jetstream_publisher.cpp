#include "nats/jetstream_publisher.hpp"

#include <list>

#include "nats/jetstream_wire.hpp"

namespace intra365::nats {

struct AsyncPublisher::State {
  State(asio::any_io_executor executor, std::size_t limit) : executor(std::move(executor)), limit(limit) {}

  void finish(Done done, Result<PublishAck> ack) {
    --in_flight;
    if (ack) {
      ++acknowledged;
    } else {
      ++failed;
      if (!first_error) first_error = ack.error();
    }
    for (auto* timer : waiting) timer->cancel();
    if (done) done(std::move(ack));
  }

  /// Until an acknowledgement arrives; `nats.timeout` after `deadline`.
  static Task<> wait(std::shared_ptr<State> self, SteadyTime deadline) {
    asio::steady_timer timer(self->executor, deadline);
    const auto at = self->waiting.insert(self->waiting.end(), &timer);
    struct Leave {
      State& state;
      std::list<asio::steady_timer*>::iterator at;
      ~Leave() { state.waiting.erase(at); }
    } const leave{*self, at};
    boost::system::error_code error;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!error) co_return fail(errors::timeout);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return fail(intra365::errors::cancelled);
    co_return Result<void>();
  }

  asio::any_io_executor executor;
  std::size_t limit, in_flight = 0;
  std::uint64_t acknowledged = 0, failed = 0;
  std::optional<Error> first_error;
  std::list<asio::steady_timer*> waiting;
};

AsyncPublisher::AsyncPublisher(JetStream& jetstream, PublisherOptions options)
    : jetstream_(jetstream),
      state_(std::make_shared<State>(jetstream.connection().executor(), options.max_in_flight)) {}

Result<void> AsyncPublisher::try_publish(std::string_view subject, std::string_view payload,
                                         const HeaderBlock& headers, Done done) {
  if (state_->in_flight >= state_->limit) return fail(errors::window_full);
  auto& connection = jetstream_.connection();
  // An acknowledgement needs a connection; holding messages for later is for plain publishing.
  if (!connection.connected()) return fail(errors::disconnected);
  CHECK(connection.can_publish(subject, payload, headers));
  ++state_->in_flight;
  connection.async_request(subject, payload, headers, std::chrono::steady_clock::now() + jetstream_.timeout(),
                           [state = state_, done = std::move(done)](Result<MessageView> reply) mutable {
                             if (reply) {
                               state->finish(std::move(done), wire::decode_publish_ack(reply->payload));
                             } else {
                               state->finish(std::move(done), fail(std::move(reply).error()));
                             }
                           });
  return {};
}

Task<> AsyncPublisher::publish(std::string_view subject, std::string_view payload, const HeaderBlock& headers,
                               Done done) {
  const auto deadline = std::chrono::steady_clock::now() + jetstream_.timeout();
  while (state_->in_flight >= state_->limit) CO_CHECK(co_await State::wait(state_, deadline));
  auto ready = jetstream_.connection().can_publish(subject, payload, headers);
  if (!ready && ready.error().is(errors::buffer_full)) {
    CO_CHECK(co_await jetstream_.connection().writable(deadline));
  } else if (!ready) {
    co_return ready;
  }
  co_return try_publish(subject, payload, headers, std::move(done));
}

Task<> AsyncPublisher::drain(SteadyTime deadline) {
  while (state_->in_flight > 0) {
    auto waited = co_await State::wait(state_, deadline);
    if (!waited) co_return waited;
  }
  if (auto error = std::exchange(state_->first_error, std::nullopt)) co_return fail(std::move(*error));
  co_return Result<void>();
}

std::size_t AsyncPublisher::in_flight() const {
  return state_->in_flight;
}
std::uint64_t AsyncPublisher::acknowledged() const {
  return state_->acknowledged;
}
std::uint64_t AsyncPublisher::failed() const {
  return state_->failed;
}

}  // namespace intra365::nats
