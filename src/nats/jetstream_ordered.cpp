#include "nats/jetstream_ordered.hpp"

#include <random>

#include "base/ids.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/queue.hpp"

namespace intra365::nats {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kHeartbeat{1000};
constexpr milliseconds kSilence{2500};  ///< two heartbeats missing
constexpr milliseconds kBackoff{20}, kBackoffMax{1000};
constexpr std::chrono::seconds kInactive{30};  ///< when the server drops a consumer that nobody listens to

/// Failures that another attempt would meet again.
bool is_final(const Error& error) {
  return error.is(errors::not_found) || error.is(errors::bad_name) || error.is(errors::bad_subject) ||
         error.is(errors::permission) || error.is(errors::closed) || error.is(errors::jetstream) ||
         error.is(intra365::errors::cancelled);
}

}  // namespace

struct OrderedConsumer::State {
  State(JetStream& jetstream, std::string stream, OrderedOptions options)
      : jetstream(jetstream), stream(std::move(stream)), options(std::move(options)) {}

  static Task<> attach(std::shared_ptr<State> self);
  Result<std::optional<Delivered>> on_message(Message message);
  void on_control(const HeaderView& headers, std::string_view reply);
  void detach();

  ConsumerConfig config() const {
    ConsumerConfig config;
    config.name = consumer;
    config.filter_subjects = options.filter_subjects;
    config.deliver_policy = options.deliver_policy;
    config.opt_start_seq = options.opt_start_seq;
    config.opt_start_time = options.opt_start_time;
    if (resume_from != 0) {
      config.deliver_policy = "by_start_sequence";
      config.opt_start_seq = resume_from;
      config.opt_start_time.clear();
    }
    config.headers_only = options.headers_only;
    config.ack_policy = "none";
    config.max_deliver = 1;
    config.deliver_subject = inbox;
    config.flow_control = true;
    config.idle_heartbeat = kHeartbeat;
    config.inactive_threshold = kInactive;
    config.mem_storage = true;
    config.num_replicas = 1;
    return config;
  }

  JetStream& jetstream;
  std::string stream;
  OrderedOptions options;

  std::string consumer, inbox;
  std::optional<MessageQueue> queue;  ///< set while there is a consumer
  std::uint64_t next_consumer_sequence = 1;
  std::uint64_t resume_from = 0;  ///< stream sequence; 0: as the options say
  SteadyTime last_heard{};
  bool caught_up = false, announced = false, stopped = false;
  std::uint64_t attached = 0;
  milliseconds backoff = kBackoff;
};

Task<> OrderedConsumer::State::attach(std::shared_ptr<State> self) {
  auto& connection = self->jetstream.connection();
  self->detach();
  self->consumer = "ordered-" + random_token(20);
  self->inbox = connection.new_inbox();
  self->next_consumer_sequence = 1;
  self->queue.emplace(connection, self->options.max_queued);
  CO_CHECK(self->queue->subscribe(self->inbox, {}, MessageQueue::OnReconnect::tell));
  const auto config = self->config();
  auto made = co_await self->jetstream.create_consumer(self->stream, config);
  if (self->stopped) co_return fail(errors::closed);
  if (!made) {
    self->queue.reset();
    co_return fail(std::move(made).error());
  }
  ++self->attached;
  self->last_heard = Steady::now();
  if (made->delivered.consumer_seq == 0) {
    if (made->num_pending == 0) self->caught_up = true;
    // Where only what is new counts, a restart must not skip what came in between.
    if (self->resume_from == 0 && self->options.deliver_policy == "new")
      self->resume_from = made->delivered.stream_seq + 1;
  }
  co_return Result<void>();
}

void OrderedConsumer::State::detach() {
  if (!queue) return;
  queue.reset();
  auto& connection = jetstream.connection();
  if (!connection.connected()) return;
  // Politeness only: the server drops it by itself after kInactive.
  const HeaderBlock no_headers;
  connection.async_request("$JS.API.CONSUMER.DELETE." + stream + "." + consumer, "", no_headers,
                           Steady::now() + jetstream.timeout(), [](const auto&) {});
}

void OrderedConsumer::State::on_control(const HeaderView& headers, std::string_view reply) {
  if (headers.status() != 100) return detach();
  auto& connection = jetstream.connection();
  // Flow control: what came before this message has been taken, so the server may go on.
  if (!reply.empty()) return (void)connection.publish(reply, "");
  const auto stalled = headers.get("Nats-Consumer-Stalled");
  if (!stalled.empty()) return (void)connection.publish(stalled, "");
  const auto last = headers.get("Nats-Last-Consumer");
  if (!last.empty() && last != std::to_string(next_consumer_sequence - 1)) return detach();
  caught_up = true;  // the server is idle: what was pending may have been purged
}

/// Nothing for a message that is not for the caller.
Result<std::optional<Delivered>> OrderedConsumer::State::on_message(Message message) {
  last_heard = Steady::now();
  if (const auto headers = message.headers(); headers.status() != 0) {
    on_control(headers, message.reply());
    return std::nullopt;
  }
  const auto delivery = wire::parse_ack_subject(message.reply());
  if (!delivery) return std::nullopt;
  if (delivery->consumer_sequence != next_consumer_sequence) {
    detach();
    return std::nullopt;
  }
  ++next_consumer_sequence;
  resume_from = delivery->stream_sequence + 1;
  backoff = kBackoff;
  if (delivery->pending == 0) caught_up = true;
  Delivered delivered;
  delivered.message = std::move(message);
  delivered.stream_sequence = delivery->stream_sequence;
  delivered.consumer_sequence = delivery->consumer_sequence;
  delivered.delivered = delivery->delivered;
  delivered.pending = delivery->pending;
  delivered.timestamp_ns = delivery->timestamp_ns;
  return std::optional<Delivered>(std::move(delivered));
}

OrderedConsumer::OrderedConsumer(JetStream& jetstream, std::string stream, OrderedOptions options)
    : state_(std::make_shared<State>(jetstream, std::move(stream), std::move(options))) {}

OrderedConsumer::~OrderedConsumer() {
  if (state_) stop();
}

Task<> OrderedConsumer::start() {
  return State::attach(state_);
}

Task<std::optional<Delivered>> OrderedConsumer::next(SteadyTime deadline) {
  return take(state_, deadline);
}

Task<std::optional<Delivered>> OrderedConsumer::take(std::shared_ptr<State> state, SteadyTime deadline) {
  while (!state->stopped) {
    if (!state->queue) {
      auto attached = co_await State::attach(state);
      if (attached) continue;
      if (is_final(attached.error())) co_return fail(std::move(attached).error());
      // Full jitter, so that many readers of one server do not come back in step.
      static thread_local std::minstd_rand jitter(std::random_device{}());
      const auto pause = milliseconds(1 + jitter() % static_cast<unsigned>(state->backoff.count()));
      state->backoff = std::min(state->backoff * 2, kBackoffMax);
      if (Steady::now() + pause >= deadline) co_return fail(std::move(attached).error());
      co_await sleep_for(pause);
      continue;
    }
    if (state->caught_up && !state->announced && state->queue->size() == 0) {
      state->announced = true;
      co_return std::optional<Delivered>();
    }
    const auto silent_at = std::max(state->last_heard + kSilence, Steady::now());
    auto message = co_await state->queue->next(std::min(deadline, silent_at));
    if (state->stopped) break;
    if (message) {
      CO_TRY(auto delivered, state->on_message(std::move(*message)));
      if (delivered) co_return std::move(delivered);
    } else if (message.error().is(errors::disconnected)) {
      state->detach();
    } else if (!message.error().is(errors::timeout)) {
      co_return fail(std::move(message).error());
    } else if (Steady::now() >= state->last_heard + kSilence) {
      state->detach();
    } else if (Steady::now() >= deadline) {
      co_return fail(std::move(message).error());
    }
    if (Steady::now() >= deadline && !state->queue) co_return fail(errors::timeout);
  }
  co_return fail(errors::closed);
}

void OrderedConsumer::stop() {
  if (state_->stopped) return;
  state_->stopped = true;
  if (state_->queue) state_->detach();
}

std::uint64_t OrderedConsumer::restarts() const {
  return state_->attached > 0 ? state_->attached - 1 : 0;
}

}  // namespace intra365::nats
