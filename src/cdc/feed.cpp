#include "cdc/feed.hpp"

#include <deque>

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
    // Cancellation may leave this coroutine from any wait.
    struct Stopped {
      FeedState& state;
      ~Stopped() { state = FeedState::stopped; }
    };
    const Stopped stopped{state};
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      state = FeedState::connecting;
      const auto ended = co_await contain(run_once());
      // What is under way must have an end before anything is begun again from the stream's cursor.
      while (!in_flight.empty()) co_await wait_for_store();
      log.reset();
      if (cancelled.cancelled() != asio::cancellation_type::none) break;
      ++statistics.restarts;
      const bool busy = !ended && ended.error().is(postgres::errors::slot_busy);
      state = busy ? FeedState::waiting : FeedState::connecting;
      if (!ended) say(busy ? "waiting" : "failed", ended.error().code + ": " + ended.error().detail);
      co_await sleep_for(options.retry_pause);
    }
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
    failure.reset();
    CO_TRY(const auto stored, co_await jetstream.stream_state(options.stream));
    stream_sequence = stored.last_seq;
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
    launch(std::move(batch));
    while (!in_flight.empty()) co_await wait_for_store();
    if (failure) co_return fail(*std::exchange(failure, std::nullopt));
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

      // Under load full batches follow each other closely. A small one waits for the one before it and grows
      // meanwhile, because each costs a disk sync, and syncs queue.
      const bool lingered = in_flight.empty() && !batcher->empty() && now() >= drained_since + options.linger;
      if (lingered || (batcher->full() && in_flight.size() < options.batches_in_flight)) {
        launch(batcher->cut());
        continue;
      }
      if (batcher->empty() && in_flight.empty()) confirm_what_is_done();
      if (batcher->full()) {
        // The log waits in PostgreSQL, not in our memory.
        co_await wait_for_store();
        continue;
      }
      const bool lingers = !batcher->empty() && in_flight.empty();
      CO_CHECK(co_await log->wait(lingers ? drained_since + options.linger : now() + kIdle));
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

  /// A batch on its way into the stream.
  struct Storing {
    postgres::Lsn end;  ///< what may be confirmed once it is there, and all before it
    bool stored = false;
  };

  /// Stores a batch while the next ones fill. Nobody else writes to the stream, so the place of this cursor
  /// is known before the one in front of it is acknowledged; where that is wrong, the server refuses the
  /// batch.
  void launch(Batch batch) {
    in_flight.push_back(std::make_shared<Storing>(Storing{batch.cursor.end}));
    nats::Outgoing cursor;
    cursor.subject = cursor_subject();
    cursor.payload = batch.cursor.json();
    cursor.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(cursor_sequence));
    auto messages = std::move(batch.messages);
    messages.push_back(std::move(cursor));
    stream_sequence += messages.size();
    cursor_sequence = stream_sequence;
    asio::co_spawn(jetstream.connection().executor(),
                   store(shared_from_this(), in_flight.back(), std::move(messages), cursor_sequence),
                   asio::detached);
  }

  static asio::awaitable<void> store(std::shared_ptr<Impl> self, std::shared_ptr<Storing> storing,
                                     std::vector<nats::Outgoing> messages, std::uint64_t expected_sequence) {
    const auto stored = co_await contain(self->jetstream.publish_batch(messages));
    if (!stored) {
      const bool fenced = stored.error().is(nats::errors::wrong_revision);
      self->fail_with(fenced ? Error(errors::fenced) : stored.error());
    } else if (stored->sequence != expected_sequence) {
      self->fail_with(Error(errors::fenced));
    } else {
      self->statistics.changes += messages.size() - 1;
      ++self->statistics.batches;
    }
    self->settle(*storing);
  }

  /// The first failure is the one that tells; those behind it only follow from it.
  void fail_with(Error error) {
    if (!failure) failure = std::move(error);
  }

  /// Confirms what is stored without a gap in front of it. After a failure nothing is confirmed any more.
  void settle(Storing& storing) {
    storing.stored = true;
    while (!in_flight.empty() && in_flight.front()->stored) {
      if (log && !failure) log->confirm(in_flight.front()->end);
      in_flight.pop_front();
    }
    if (log) {
      statistics.confirmed = log->confirmed();
      log->interrupt();
    }
    stored_signal.cancel();
  }

  asio::awaitable<void> wait_for_store() {
    stored_signal.expires_after(kIdle);
    boost::system::error_code ignored;
    co_await stored_signal.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  nats::JetStream& jetstream;
  FeedOptions options;
  Tell tell;
  FeedState state = FeedState::connecting;
  FeedStatistics statistics;
  std::unique_ptr<postgres::ReplicationStream> log;
  std::optional<Batcher> batcher;
  std::uint64_t cursor_sequence = 0;  ///< of the last cursor in the stream
  std::uint64_t stream_sequence = 0;  ///< of the last message in the stream, those in flight counted in
  std::deque<std::shared_ptr<Storing>> in_flight;
  asio::steady_timer stored_signal;  ///< cancelled when one of them has ended
  std::optional<Error> failure;      ///< of one of them
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
