#include "cdc/feed.hpp"

#include "nats/errors.hpp"

namespace intra365::cdc {
namespace {

constexpr auto kConnectTime = std::chrono::seconds(10);
constexpr auto kIdle = std::chrono::seconds(1);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

struct Feed::Impl : std::enable_shared_from_this<Feed::Impl> {
  Impl(nats::JetStream& jetstream, FeedOptions options, Tell tell)
      : jetstream(jetstream),
        options(std::move(options)),
        tell(std::move(tell)),
        stored_signal(jetstream.connection().executor()) {}

  void say(std::string_view event, std::string_view detail) const {
    if (tell) tell(event, detail);
  }

  Task<> run() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      state = FeedState::connecting;
      const auto ended = co_await contain(run_once());
      // What is under way must have an end before anything is begun again from the stream's cursor.
      while (in_flight) co_await wait_for_store();
      log.reset();
      if (cancelled.cancelled() != asio::cancellation_type::none) break;
      ++statistics.restarts;
      const bool busy = !ended && ended.error().is(postgres::errors::slot_busy);
      state = busy ? FeedState::waiting : FeedState::connecting;
      if (!ended) say(busy ? "waiting" : "failed", ended.error().code + ": " + ended.error().detail);
      co_await sleep_for(options.retry_pause);
    }
    state = FeedState::stopped;
    co_return Result<void>{};
  }

  std::string cursor_subject() const {
    return options.batches.subject_prefix + ".cursor." + options.replication.slot;
  }

  /// Reads the log from where the stream ends, until something fails.
  Task<> run_once() {
    nats::StreamConfig stream;
    stream.name = options.stream;
    stream.subjects = options.more_subjects;
    stream.subjects.push_back(options.batches.subject_prefix + ".>");
    stream.description = "Changes of the database, in the order of their commits";
    stream.max_age = options.max_age;
    stream.allow_atomic = true;
    CO_CHECK(co_await jetstream.ensure_stream(stream));

    CO_TRY(log, co_await postgres::ReplicationStream::connect(jetstream.connection().executor(),
                                                              options.replication, now() + kConnectTime));
    CO_TRY(const auto identity, co_await log->identify());
    CO_TRY(const auto created, co_await log->create_slot(options.failover_slot));
    Cursor from;
    CO_TRY(const bool known, co_await read_cursor(from));
    if (created && known) {
      say("gap", "the slot was lost: changes between " + from.end.text() + " and " +
                     created->consistent_point.text() + " are missing from the stream");
      from = Cursor{{created->consistent_point, 0}, created->consistent_point, true};
      CO_CHECK(co_await tell_gap(from));
    }
    auto batches = options.batches;
    batches.source = identity.system_id + "." + options.replication.slot;
    batcher.emplace(std::move(batches), from);
    CO_CHECK(co_await log->start(from.end));
    state = FeedState::streaming;
    say("streaming", "from " + from.end.text());
    co_return co_await carry();
  }

  /// False when the stream has none yet.
  Task<bool> read_cursor(Cursor& cursor) {
    cursor_sequence = 0;
    const auto stored = co_await jetstream.last_stored(options.stream, cursor_subject());
    if (!stored && stored.error().kind == ErrorKind::not_found) co_return false;
    if (!stored) co_return fail(stored.error());
    CO_TRY(cursor, Cursor::parse(stored->message.payload()));
    cursor_sequence = stored->sequence;
    co_return true;
  }

  /// Those who follow the stream must learn that it does not tell everything.
  Task<> tell_gap(Cursor resumed) {
    Batch batch;
    batch.messages.push_back({options.batches.subject_prefix + ".gap." + options.replication.slot,
                              "{\"resumedAt\":\"" + resumed.end.text() + "\"}",
                              {}});
    batch.cursor = resumed;
    CO_CHECK(co_await store(std::move(batch)));
    co_return Result<void>{};
  }

  Task<> carry() {
    SteadyTime drained_since = SteadyTime::max();
    for (;;) {
      CO_TRY(const bool more, take_what_is_there());
      if (more)
        drained_since = SteadyTime::max();
      else if (drained_since == SteadyTime::max())
        drained_since = now();
      if (failure) co_return fail(*std::exchange(failure, std::nullopt));

      const bool due = batcher->full() || (!batcher->empty() && now() >= drained_since + options.linger);
      if (due && !in_flight) {
        launch(batcher->cut());
        continue;
      }
      if (batcher->empty() && !in_flight) confirm_what_is_done();
      if (batcher->full()) {
        // The log waits in PostgreSQL, not in our memory.
        co_await wait_for_store();
        continue;
      }
      CO_CHECK(
          co_await log->wait(batcher->empty() || in_flight ? now() + kIdle : drained_since + options.linger));
      statistics.server_end = log->server_end();
    }
  }

  /// Takes messages until there are none or a batch is full; true when there may be more.
  Result<bool> take_what_is_there() {
    while (!batcher->full()) {
      TRY(const auto frame, log->try_next());
      if (!frame) return false;
      const bool was_inside = batcher->inside();
      CHECK(batcher->take(frame->payload));
      if (was_inside && !batcher->inside()) ++statistics.transactions;
    }
    return true;
  }

  void confirm_what_is_done() {
    log->confirm(batcher->taken());
    // A database that writes nothing for us must not hold on to its log for our sake.
    if (!batcher->inside() && log->drained()) log->confirm(log->server_end());
    statistics.confirmed = log->confirmed();
  }

  /// Stores a batch while the next one fills. One at a time: the next cursor must know this one's place.
  void launch(Batch batch) {
    in_flight = true;
    asio::co_spawn(jetstream.connection().executor(), store_in_flight(shared_from_this(), std::move(batch)),
                   asio::detached);
  }

  static asio::awaitable<void> store_in_flight(std::shared_ptr<Impl> self, Batch batch) {
    auto stored = co_await contain(self->store(std::move(batch)));
    self->in_flight = false;
    self->stored_signal.cancel();
    if (!stored) self->failure = std::move(stored).error();
    if (self->log) {
      if (stored) self->log->confirm(*stored);
      self->statistics.confirmed = self->log->confirmed();
      self->log->interrupt();
    }
  }

  asio::awaitable<void> wait_for_store() {
    stored_signal.expires_after(kIdle);
    boost::system::error_code ignored;
    co_await stored_signal.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  /// Returns what may be confirmed now.
  Task<postgres::Lsn> store(Batch batch) {
    auto messages = std::move(batch.messages);
    const auto changes = messages.size();
    nats::Outgoing cursor;
    cursor.subject = cursor_subject();
    cursor.payload = batch.cursor.json();
    cursor.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(cursor_sequence));
    messages.push_back(std::move(cursor));
    const auto stored = co_await jetstream.publish_batch(messages);
    if (!stored && stored.error().is(nats::errors::wrong_revision)) co_return fail(errors::fenced);
    if (!stored) co_return fail(stored.error());
    cursor_sequence = stored->sequence;
    statistics.changes += changes;
    ++statistics.batches;
    co_return batch.cursor.end;
  }

  nats::JetStream& jetstream;
  FeedOptions options;
  Tell tell;
  FeedState state = FeedState::connecting;
  FeedStatistics statistics;
  std::unique_ptr<postgres::ReplicationStream> log;
  std::optional<Batcher> batcher;
  std::uint64_t cursor_sequence = 0;  ///< of the last cursor in the stream
  bool in_flight = false;
  asio::steady_timer stored_signal;  ///< cancelled when nothing is in flight any more
  std::optional<Error> failure;      ///< of the batch that was in flight
};

Feed::Feed(nats::JetStream& jetstream, FeedOptions options, Tell tell)
    : impl_(std::make_shared<Impl>(jetstream, std::move(options), std::move(tell))) {}
Feed::~Feed() = default;

Task<> Feed::run() {
  return impl_->run();
}
FeedState Feed::state() const {
  return impl_->state;
}
FeedStatistics Feed::statistics() const {
  return impl_->statistics;
}

}  // namespace intra365::cdc
