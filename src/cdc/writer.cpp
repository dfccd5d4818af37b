#include "cdc/writer.hpp"

#include <algorithm>

#include "nats/errors.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::cdc {
namespace {

constexpr auto kLongestWait = std::chrono::seconds(1);

/// JetStream has no room: account, server, memory, storage, or the stream's own limit.
bool is_full(const Error& error) {
  constexpr std::uint64_t kCodes[] = {10002, 10023, 10028, 10047, 10077};
  return std::ranges::any_of(kCodes, [&](auto code) { return nats::wire::has_err_code(error, code); });
}

Error in_our_words(const Error& error) {
  if (error.is(nats::errors::wrong_revision)) return Error(errors::fenced);
  return is_full(error) ? Error(errors::stream_full, error.detail) : error;
}

/// A batch on its way into the stream.
struct Storing {
  postgres::Lsn end;  ///< what may be confirmed once it is there, and all before it
  std::size_t changes = 0;
  bool ended = false;
};

}  // namespace

/// Shared with the batches under way, which cannot be called back.
struct Writer::State {
  State(nats::JetStream& jetstream, Options options, Ended ended)
      : jetstream(jetstream),
        options(std::move(options)),
        ended(std::move(ended)),
        signal(jetstream.connection().executor()) {}

  std::string subject(std::string_view kind) const {
    return options.subject_prefix + "." + std::string(kind) + "." + options.slot;
  }

  /// INVARIANT (feed_test, "…something_else…"): nothing is stored behind the first failure, so nothing behind
  /// it may be confirmed, however the others end.
  void end(Storing& storing, Result<void> outcome) {
    storing.ended = true;
    if (!outcome && !failure) failure = outcome.error();
    while (!in_flight.empty() && in_flight.front()->ended) {
      if (!failure) stored = in_flight.front()->end;
      in_flight.pop_front();
    }
    signal.cancel();
    if (!ended) return;
    if (outcome)
      ended(storing.changes);
    else
      ended(fail(std::move(outcome).error()));
  }

  /// `expected`: the place of its cursor in the stream.
  static asio::awaitable<void> store(std::shared_ptr<State> self, std::shared_ptr<Storing> storing,
                                     std::vector<nats::Outgoing> messages, std::uint64_t expected) {
    const auto stored = co_await contain(self->jetstream.publish_batch(messages));
    if (!stored)
      self->end(*storing, fail(in_our_words(stored.error())));
    else if (stored->sequence != expected)
      self->end(*storing, fail(errors::fenced));
    else
      self->end(*storing, {});
  }

  nats::JetStream& jetstream;
  Options options;
  Ended ended;
  std::uint64_t mark_sequence = 0;    ///< of our mark in the stream
  std::uint64_t cursor_sequence = 0;  ///< of the last cursor in the stream
  std::uint64_t stream_sequence = 0;  ///< of the last message in the stream, those under way counted in
  std::deque<std::shared_ptr<Storing>> in_flight;
  asio::steady_timer signal;  ///< cancelled when one of them has ended
  std::optional<Error> failure;
  postgres::Lsn stored;
};

Writer::Writer(nats::JetStream& jetstream, Options options, Ended ended)
    : state_(std::make_shared<State>(jetstream, std::move(options), std::move(ended))) {}

Writer::~Writer() {
  state_->ended = nullptr;
}

std::string Writer::subject(std::string_view kind) const {
  return state_->subject(kind);
}

/// A writer that was killed may have batches under way for as long as the network likes, and the numbers they
/// expect may fit by chance; the mark that every batch names is never the same again. Behind it the stream's
/// end and its cursor belong together.
Task<> Writer::take_over() {
  const auto mark = subject("writer");
  const auto marked = co_await state_->jetstream.publish(mark, "{}");
  if (!marked) co_return fail(in_our_words(marked.error()));
  CO_TRY(const auto stream, co_await state_->jetstream.stream_state(state_->options.stream));
  state_->mark_sequence = marked->sequence;
  state_->stream_sequence = stream.last_seq;
  state_->failure.reset();
  state_->stored = {};
  co_return Result<void>{};
}

Task<> Writer::renew_mark() {
  nats::HeaderBlock still_ours;
  still_ours.add("Nats-Expected-Last-Subject-Sequence", std::to_string(state_->mark_sequence));
  const auto mark = subject("writer");
  const auto marked = co_await state_->jetstream.publish(mark, "{}", still_ours);
  if (!marked) co_return fail(in_our_words(marked.error()));
  state_->mark_sequence = state_->stream_sequence = marked->sequence;
  co_return Result<void>{};
}

Task<std::optional<Cursor>> Writer::read_cursor() {
  state_->cursor_sequence = 0;
  const auto where = subject("cursor");
  const auto stored = co_await state_->jetstream.last_stored(state_->options.stream, where);
  if (!stored && stored.error().kind == ErrorKind::not_found) co_return std::nullopt;
  if (!stored) co_return fail(stored.error());
  CO_TRY(const auto cursor, Cursor::parse(stored->message.payload()));
  state_->cursor_sequence = stored->sequence;
  co_return cursor;
}

std::uint64_t Writer::cursor_sequence() const {
  return state_->cursor_sequence;
}

/// Nobody else writes to the stream, so the place of this cursor is known before the one in front of it is
/// acknowledged.
void Writer::launch(Batch batch) {
  auto& state = *state_;
  auto messages = std::move(batch.messages);
  // The cursor alone could not carry both conditions.
  if (messages.empty())
    messages.push_back({subject("commit"), "{\"end\":\"" + batch.cursor.end.text() + "\"}", {}});
  auto& first = messages.front();
  first.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(state.mark_sequence));
  first.headers.add("Nats-Expected-Last-Subject-Sequence-Subject", subject("writer"));
  auto& cursor = messages.emplace_back();
  cursor.subject = subject("cursor");
  cursor.payload = batch.cursor.json();
  cursor.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(state.cursor_sequence));
  state.stream_sequence += messages.size();
  state.cursor_sequence = state.stream_sequence;
  auto storing = std::make_shared<Storing>(Storing{batch.cursor.end, batch.changes});
  state.in_flight.push_back(storing);
  asio::co_spawn(state.jetstream.connection().executor(),
                 State::store(state_, std::move(storing), std::move(messages), state.cursor_sequence),
                 asio::detached);
}

std::size_t Writer::in_flight() const {
  return state_->in_flight.size();
}

asio::awaitable<void> Writer::wait() {
  state_->signal.expires_after(kLongestWait);
  boost::system::error_code ignored;
  co_await state_->signal.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<> Writer::settle() {
  while (in_flight() > 0) co_await wait();
  co_return check();
}

Result<void> Writer::check() const {
  if (state_->failure) return fail(*state_->failure);
  return {};
}

postgres::Lsn Writer::stored() const {
  return state_->stored;
}

}  // namespace intra365::cdc
