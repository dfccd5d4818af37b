#include "streaming/reader.hpp"

#include <algorithm>
#include <deque>

#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "streaming/word.hpp"

namespace intra365::streaming {
namespace {

/// Room for what is no part: heartbeats and the end.
constexpr std::size_t kRoomForOthers = 32;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// Of our inbox, at the place where this Mate, and no other, may send parts to.
std::string inbox_for(nats::Connection& connection, const MateId& mate) {
  auto inbox = connection.new_inbox();
  return inbox.insert(inbox.rfind('.'), ".stream." + mate.str());
}

}  // namespace

struct Reader::State : std::enable_shared_from_this<Reader::State> {
  State(nats::Connection& connection, ReaderOptions options)
      : connection(connection),
        options(options),
        queue(connection, static_cast<std::size_t>(options.window) + kRoomForOthers),
        heard_at(now()),
        asked_at(now()),
        heartbeat(connection.executor()) {}

  void tell(std::string_view header, std::string_view value) {
    if (control.empty()) return;
    nats::HeaderBlock block;
    block.add(header, value);
    static_cast<void>(connection.publish(control, {}, block));  // lost only with the connection
  }
  void tell_taken() {
    tell(headers::stream_taken, std::to_string(parts));
    told = parts;
  }
  void cancel() {
    if (over) return;
    over = true;
    tell(headers::stream_cancel, "1");
    stop();
  }
  void stop() {
    queue.stop();
    heartbeat.cancel();
  }
  /// Says that we are here, however slowly parts are taken.
  void beat() {
    heartbeat.expires_after(options.pace.heartbeat);
    heartbeat.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto state = weak.lock();
      if (error || !state || state->over) return;
      if (!state->waiting) state->gather();  // whoever waits takes for itself
      if (state->over) return;
      state->tell_taken();
      state->beat();
    });
  }
  SteadyTime patience() const {
    auto until = std::min(options.deadline, heard_at + options.pace.silence);
    if (options.part_timeout.count() > 0) until = std::min(until, asked_at + options.part_timeout);
    return until;
  }
  /// Which patience it was that has come to its end.
  const ErrorCode& impatience(SteadyTime at) const {
    if (at >= options.deadline) return intra365::errors::deadline;
    return at >= heard_at + options.pace.silence ? errors::silent : nats::errors::timeout;
  }
  void give_up(Error error) {
    cancel();
    last = fail(std::move(error));
  }
  void finish(Result<void> how) {
    over = true;
    stop();
    last = std::move(how);
  }
  static Result<void> outcome_of(const nats::Message& message) {
    const auto received = message.headers();
    if (auto error = read_error(received.get(headers::error_code), received.get(headers::error_text),
                                message.payload()))
      return fail(*std::move(error));
    return {};
  }

  /// Takes what has arrived, so that a reader who is slow to ask still hears and answers.
  void gather() {
    while (auto message = queue.try_next()) {
      if (!over) hear(*message);
    }
  }
  void hear(const nats::Message& message) {
    heard_at = now();
    const auto word = read_word(message.headers());
    if (word.kind == Word::Kind::nobody) return finish(fail(nats::errors::no_responders));
    if (word.kind == Word::Kind::plain) {  // an answer that is not in parts
      auto outcome = outcome_of(message);
      if (outcome) ready.emplace_back(message.payload());
      return finish(std::move(outcome));
    }
    if (control.empty()) control = message.reply();
    if (word.kind == Word::Kind::end) {
      auto outcome = outcome_of(message);
      if (outcome && word.number != heard) outcome = fail(errors::gap);  // one that ended well must be whole
      return finish(std::move(outcome));
    }
    if (word.kind == Word::Kind::heartbeat) return;
    if (word.kind == Word::Kind::part && word.number <= heard) return;  // it came twice
    if (word.kind != Word::Kind::part || word.number != heard + 1) return give_up(Error(errors::gap));
    // Whoever keeps to the window has heard of what was taken before it sends more.
    if (ready.size() >= static_cast<std::size_t>(options.window))
      return give_up(Error(errors::window_exceeded));
    ++heard;
    ready.emplace_back(message.payload());
  }
  std::string pop() {
    auto part = std::move(ready.front());
    ready.pop_front();
    ++parts;
    if (!over && parts - told >= static_cast<std::uint64_t>(options.window + 1) / 2) tell_taken();
    return part;
  }

  nats::Connection& connection;
  ReaderOptions options;
  nats::MessageQueue queue;
  std::string control;
  std::deque<std::string> ready;     ///< heard and not yet taken; at most the window
  std::optional<Result<void>> last;  ///< how the answer has ended
  std::uint64_t heard = 0, parts = 0, told = 0;
  SteadyTime heard_at, asked_at;
  asio::steady_timer heartbeat;
  bool over = false, waiting = false;
};

Result<Reader> Reader::open(nats::Connection& connection, const MateId& mate, std::string_view subject,
                            std::string_view payload, nats::HeaderBlock request_headers,
                            ReaderOptions options) {
  options.window = std::clamp(options.window, 1, kMaxWindow);
  const auto state = std::make_shared<State>(connection, options);
  const auto inbox = inbox_for(connection, mate);
  CHECK(state->queue.subscribe(inbox, {}, nats::MessageQueue::OnReconnect::tell));
  request_headers.add(headers::stream, std::to_string(options.window));
  CHECK(connection.publish(subject, payload, request_headers, inbox));
  state->beat();
  return Reader(state);
}

Reader& Reader::operator=(Reader&& other) noexcept {
  if (state_ && state_ != other.state_) state_->cancel();
  state_ = std::move(other.state_);
  return *this;
}

Reader::~Reader() {
  if (state_) state_->cancel();
}

std::uint64_t Reader::parts() const {
  return state_->parts;
}

void Reader::cancel() {
  state_->cancel();
}

Task<std::optional<std::string>> Reader::next() {
  state_->asked_at = now();
  return take(state_);
}

Task<std::optional<std::string>> Reader::take(std::shared_ptr<State> state) {
  while (true) {
    state->gather();
    if (!state->ready.empty()) co_return state->pop();
    if (state->last && !*state->last) co_return fail(state->last->error());
    if (state->over) co_return std::nullopt;
    state->waiting = true;
    const auto message = co_await contain(state->queue.next(state->patience()));
    state->waiting = false;
    if (state->over) continue;  // cancelled meanwhile
    if (message) {
      state->hear(*message);
    } else if (!message.error().is(nats::errors::timeout)) {
      state->give_up(message.error());
    } else if (now() >= state->patience()) {
      state->give_up(Error(state->impatience(now())));
    }
  }
}

}  // namespace intra365::streaming
