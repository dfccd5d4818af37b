#include "nats/jetstream_consume.hpp"

#include <boost/json.hpp>
#include <charconv>
#include <random>

#include "nats/jetstream_wire.hpp"
#include "nats/pull_status.hpp"
#include "nats/queue.hpp"

namespace intra365::nats {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kRoomForStatus = 64;
constexpr milliseconds kBackoff{20}, kBackoffMax{1000};
constexpr milliseconds kGrace{500};  ///< how late a heartbeat may be

std::int64_t nanoseconds(std::chrono::nanoseconds duration) {
  return duration.count();
}

std::size_t number(std::string_view text) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

struct PullConsumer::State {
  State(JetStream& jetstream, std::string stream, std::string consumer, ConsumeOptions options)
      : jetstream(jetstream),
        stream(std::move(stream)),
        consumer(std::move(consumer)),
        subject("$JS.API.CONSUMER.MSG.NEXT." + this->stream + "." + this->consumer),
        valid(wire::is_name(this->stream) && wire::is_name(this->consumer)),
        options(std::move(options)) {
    this->options.idle_heartbeat = std::min(this->options.idle_heartbeat, this->options.expires / 2);
    this->options.max_messages = std::max<std::size_t>(this->options.max_messages, 1);
  }

  Result<void> attach() {
    if (!valid) return fail(errors::bad_name);
    inbox = jetstream.connection().new_inbox();
    // Twice, because what an earlier pull was still sending may come on top of a new one.
    queue.emplace(jetstream.connection(), 2 * options.max_messages + kRoomForStatus);
    return queue->subscribe(inbox, {}, MessageQueue::OnReconnect::tell);
  }

  Result<void> pull() {
    boost::json::object request;
    request["batch"] = options.max_messages - asked;
    request["expires"] = nanoseconds(options.expires);
    request["idle_heartbeat"] = nanoseconds(options.idle_heartbeat);
    if (options.max_bytes != 0) request["max_bytes"] = options.max_bytes;
    if (!options.group.empty()) {
      request["group"] = options.group;
      if (options.min_pending != 0) request["min_pending"] = options.min_pending;
      if (options.min_ack_pending != 0) request["min_ack_pending"] = options.min_ack_pending;
      if (options.priority != 0) request["priority"] = options.priority;
      if (!pin.empty()) request["id"] = pin;
    }
    const HeaderBlock no_headers;
    CHECK(jetstream.connection().publish(subject, boost::json::serialize(request), no_headers, inbox));
    asked = options.max_messages;
    ++counters.pulls;
    last_heard = Steady::now();
    return {};
  }

  /// Nothing for a message that is no delivery, or an error that ends the consuming.
  Result<std::optional<Delivered>> on_message(Message message) {
    last_heard = Steady::now();
    const auto headers = message.headers();
    if (const auto status = headers.status(); status != 0) {
      CHECK(on_status(status, headers));
      return std::nullopt;
    }
    if (asked > 0) --asked;
    const auto delivery = wire::parse_ack_subject(message.reply());
    if (!delivery) return std::nullopt;  // not from the consumer: nobody could acknowledge it
    if (!options.group.empty()) {
      const auto id = headers.get("Nats-Pin-Id");
      if (!id.empty() && id != pin) pin = id;
    }
    backoff = kBackoff;
    Delivered delivered;
    delivered.stream_sequence = delivery->stream_sequence;
    delivered.consumer_sequence = delivery->consumer_sequence;
    delivered.delivered = delivery->delivered;
    delivered.pending = delivery->pending;
    delivered.timestamp_ns = delivery->timestamp_ns;
    delivered.message = std::move(message);
    return std::optional<Delivered>(std::move(delivered));
  }

  Result<void> on_status(int status, const HeaderView& headers) {
    auto verdict = judge_pull(status, headers.status_text());
    if (verdict.next == PullNext::go_on) return {};
    if (verdict.next == PullNext::end) {
      // The pull ended before it was full: what it did not bring is not expected any more.
      const auto missing =
          headers.contains("Nats-Pending-Messages") ? number(headers.get("Nats-Pending-Messages")) : asked;
      asked -= std::min(missing, asked);
      return {};
    }
    if (verdict.error.is(errors::not_found) || verdict.error.is(errors::jetstream))
      return fail(std::move(verdict.error));
    if (verdict.error.is(errors::not_pinned)) pin.clear();
    if (verdict.error.is(errors::no_responders)) nobody_answers = true;
    recover(verdict.error.is(errors::not_pinned) ? milliseconds{0} : backoff);
    return {};
  }

  void recover(milliseconds pause) {
    ++counters.recoveries;
    asked = 0;
    pull_after = Steady::now() + pause;
    backoff = std::min(backoff * 2, kBackoffMax);
  }

  SteadyTime silent_at() const { return last_heard + 2 * options.idle_heartbeat + kGrace; }

  JetStream& jetstream;
  std::string stream, consumer, subject;
  bool valid;
  ConsumeOptions options;
  std::string inbox, pin;
  std::optional<MessageQueue> queue;
  std::size_t asked = 0;  ///< messages that the server still owes us
  SteadyTime last_heard{}, pull_after{};
  milliseconds backoff = kBackoff;
  Counters counters;
  std::optional<Error> ended;  ///< met by `try_next`, told by `next`
  bool nobody_answers = false, stopped = false;
};

PullConsumer::PullConsumer(JetStream& jetstream, std::string stream, std::string consumer,
                           ConsumeOptions options)
    : state_(std::make_shared<State>(jetstream, std::move(stream), std::move(consumer), std::move(options))) {
}

PullConsumer::~PullConsumer() {
  if (state_) stop();
}

Task<Delivered> PullConsumer::next(SteadyTime deadline) {
  return take(state_, deadline);
}

Task<Delivered> PullConsumer::take(std::shared_ptr<State> state, SteadyTime deadline) {
  if (!state->queue && !state->stopped) CO_CHECK(state->attach());
  while (!state->stopped) {
    if (auto ended = std::exchange(state->ended, std::nullopt)) co_return fail(std::move(*ended));
    if (std::exchange(state->nobody_answers, false)) {
      // Between two leaders, or no such consumer at all?
      const auto info = co_await state->jetstream.consumer_info(state->stream, state->consumer);
      if (!info && info.error().is(errors::not_found)) co_return fail(info.error());
      continue;
    }
    const auto now = Steady::now();
    if (state->asked <= state->options.max_messages / 2 && now >= state->pull_after) {
      if (auto pulled = state->pull(); !pulled) {
        if (pulled.error().is(errors::closed)) co_return fail(std::move(pulled).error());
        // Waits for the connection, where that is what is missing; else a little.
        if (pulled.error().is(errors::disconnected)) {
          auto connected = co_await state->jetstream.connection().connect(deadline);
          if (!connected) co_return fail(std::move(connected).error());
          continue;
        }
        state->recover(state->backoff);
      }
    }
    auto until = std::min(deadline, state->silent_at());
    if (state->asked <= state->options.max_messages / 2)
      until = std::min(until, std::max(state->pull_after, now));
    auto message = co_await state->queue->next(until);
    if (state->stopped) break;
    if (message) {
      CO_TRY(auto delivered, state->on_message(std::move(*message)));
      if (delivered) co_return std::move(*delivered);
    } else if (message.error().is(errors::disconnected)) {
      state->recover({});
    } else if (!message.error().is(errors::timeout)) {
      co_return fail(std::move(message).error());
    } else if (Steady::now() >= state->silent_at()) {
      ++state->counters.missed_heartbeats;
      state->recover({});
    } else if (Steady::now() >= deadline) {
      co_return fail(std::move(message).error());
    }
  }
  co_return fail(errors::closed);
}

std::optional<Delivered> PullConsumer::try_next() {
  if (!state_->queue || state_->stopped) return std::nullopt;
  if (state_->asked <= state_->options.max_messages / 2) return std::nullopt;  // `next` has to pull
  if (auto message = state_->queue->try_next()) {
    auto delivered = state_->on_message(std::move(*message));
    if (delivered) return std::move(*delivered);
    state_->ended = std::move(delivered).error();
  }
  return std::nullopt;
}

void PullConsumer::stop() {
  state_->stopped = true;
  if (state_->queue) state_->queue->stop();
}

const PullConsumer::Counters& PullConsumer::counters() const {
  return state_->counters;
}
const std::string& PullConsumer::pin_id() const {
  return state_->pin;
}

}  // namespace intra365::nats
