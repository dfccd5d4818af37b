#include "cdc/feed.hpp"

#include <algorithm>
#include <deque>

#include "json/json.hpp"
#include "nats/errors.hpp"
#include "nats/jetstream_wire.hpp"
#include "postgres/snapshot_reader.hpp"

namespace intra365::cdc {
namespace {

constexpr auto kConnectTime = std::chrono::seconds(10);
constexpr auto kIdle = std::chrono::seconds(1);
constexpr std::size_t kRowsPerFetch = 500;
constexpr std::size_t kRoomForHeaders = 4096;  ///< of the largest message the server takes

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// JetStream has no room: account, server, memory, storage, or the stream's own limit.
bool is_full(const Error& error) {
  constexpr std::uint64_t kCodes[] = {10002, 10023, 10028, 10047, 10077};
  return std::ranges::any_of(kCodes, [&](auto code) { return nats::wire::has_err_code(error, code); });
}

std::string names(const std::vector<std::string>& tables) {
  std::string text;
  for (const auto& table : tables) text += (text.empty() ? "" : ", ") + table;
  return text;
}

struct CarriedTable {
  std::string name, version;
};
BOOST_DESCRIBE_STRUCT(CarriedTable, (), (name, version))

/// On `<prefix>.publication.<slot>`: what the stream tells of from here on.
struct PublicationMark {
  std::vector<CarriedTable> tables;
  std::vector<std::string> added, removed;
};
BOOST_DESCRIBE_STRUCT(PublicationMark, (), (tables, added, removed))

/// On `<prefix>.snapshot.begin.<slot>` and `….end.<slot>`, there with the number of rows.
struct SnapshotMark {
  std::string id, at;
  std::vector<std::string> tables;
  std::optional<std::uint64_t> rows;
};
BOOST_DESCRIBE_STRUCT(SnapshotMark, (), (id, at, tables, rows))

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
      held.reset();
      snapshot.reset();
      catalog.reset();
      carried.reset();
      ++statistics.restarts;
      const bool busy = !ended && ended.error().is(postgres::errors::slot_busy);
      state = busy ? FeedState::waiting : FeedState::connecting;
      if (!ended) tell_failure(ended.error(), busy);
      co_await sleep_for(options.retry_pause);
    }
    co_return Result<void>{};
  }

  /// What stands in the way is told once, not with every attempt.
  void tell_failure(const Error& error, bool busy) {
    const auto words = error.code + ": " + error.detail;
    if (words == std::exchange(last_failure, words)) return;
    if (!busy) statistics.alarm = error.code;
    say(busy ? "waiting" : "failed", words);
  }

  /// Something went through, or nothing is left to do.
  void well() {
    last_failure.clear();
    if (statistics.alarm.empty()) return;
    say("recovered", "behind " + std::exchange(statistics.alarm, {}));
  }

  std::string subject(std::string_view kind) const {
    return options.batches.subject_prefix + "." + std::string(kind) + "." + options.replication.slot;
  }

  std::string cursor_subject() const { return subject("cursor"); }
  std::string writer_subject() const { return subject("writer"); }

  /// Reads the log from where the stream ends, until something fails.
  Task<> run_once() {
    nats::StreamConfig stream;
    stream.name = options.stream;
    stream.subjects = options.more_subjects;
    stream.subjects.push_back(options.batches.subject_prefix + ".>");
    stream.description = "Changes of the database, in the order of their commits";
    stream.max_age = options.max_age;
    stream.allow_atomic = true;
    // Where an operator sets a limit, what nobody has read yet must not make room for what is new.
    stream.discard = "new";
    CO_CHECK(co_await jetstream.ensure_stream(stream));

    CO_TRY(log, co_await postgres::ReplicationStream::connect(jetstream.connection().executor(),
                                                              options.replication, now() + kConnectTime));
    CO_TRY(const auto identity, co_await log->identify());
    CO_TRY(const auto slot_made_at, co_await see_to_slot());
    failure.reset();
    Cursor from;
    CO_TRY(bool known, co_await read_cursor(from));
    // Where the log goes on that does not lead on from the stream.
    auto resumed_at = slot_made_at;
    if (known && !slot_made_at) {
      CO_TRY(resumed_at, co_await find_lost_end(from, identity));
    }
    const auto seen = cursor_sequence;
    // PostgreSQL lets one read. Who does not get the slot has not disturbed the one who has it.
    CO_CHECK(co_await log->start(resumed_at.value_or(from.end)));
    CO_CHECK(co_await take_over());
    CO_TRY(known, co_await read_cursor(from));
    if (resumed_at && cursor_sequence != seen) co_return fail(errors::fenced);
    timeline = identity.timeline;
    branch = from.branch;
    const bool wanted = options.snapshots == Snapshots::when_needed;
    snapshot_due = wanted && (!known || from.snapshot_due);
    if (resumed_at && known) {
      ++statistics.gaps;
      ++branch;
      say("gap",
          std::string(slot_made_at ? "the slot was lost" : "the database has lost the end of its log") +
              ": the stream tells changes up to " + from.end.text() + ", the log goes on at " +
              resumed_at->text());
      from = Cursor{{*resumed_at, 0}, *resumed_at, true};
      snapshot_due = wanted;
      CO_CHECK(co_await tell_gap(from));
    }
    auto batches = options.batches;
    batches.source = identity.system_id + "." + options.replication.slot;
    if (branch != 0) batches.source += "." + std::to_string(branch);
    batches.aside_subject = subject("aside");
    const auto largest = jetstream.connection().server().max_payload;
    if (largest > 2 * kRoomForHeaders)
      batches.max_payload = std::min(batches.max_payload, largest - kRoomForHeaders);
    snapshot_source = batches.source + ".snapshot";
    batcher.emplace(std::move(batches), from);
    odd_before = statistics.odd;
    CO_TRY(catalog, co_await postgres::ReplicationStream::connect(jetstream.connection().executor(),
                                                                  options.replication, now() + kConnectTime));
    CO_CHECK(co_await look_at_publication());
    // Before anything is taken: the stream must not be beyond the snapshot's place.
    co_await take_snapshot();
    state = FeedState::streaming;
    say("streaming", "from " + from.end.text());
    co_return co_await carry();
  }

  /// Makes the slot where there is none that can be read; returns where the log begins then.
  Task<std::optional<postgres::Lsn>> see_to_slot() {
    CO_TRY(auto created, co_await log->create_slot());
    if (!created) {
      CO_TRY(const bool lost, co_await log->slot_is_lost());
      if (lost) {
        CO_CHECK(co_await log->drop_slot());
        CO_TRY(created, co_await log->create_slot());
      } else {
        CO_CHECK(co_await log->keep_slot_on_standbys());
      }
    }
    if (!created) co_return std::nullopt;
    co_return created->consistent_point;
  }

  /// A standby that took over, or a database that was restored, may not have everything that the stream
  /// tells; its log then reuses the positions of what is lost. Returns where the slot stands in it.
  Task<std::optional<postgres::Lsn>> find_lost_end(const Cursor& from,
                                                   const postgres::SystemIdentity& identity) {
    bool lost = from.end > identity.end;
    if (!lost && from.timeline != 0 && from.timeline != identity.timeline) {
      CO_TRY(const auto left_at, co_await log->left_timeline_at(from.timeline, identity.timeline));
      lost = !left_at || from.end > *left_at;
    }
    if (!lost) co_return std::nullopt;
    CO_TRY(const auto stands_at, co_await log->slot_position());
    co_return stands_at;
  }

  /// From here on nobody writes but this run of the feed. A reader that was killed may have batches under way
  /// for as long as the network likes, and the numbers they expect may fit by chance; the mark that every
  /// batch names is never the same again. Behind it the stream's end and its cursor belong together.
  Task<> take_over() {
    const auto marked = co_await jetstream.publish(writer_subject(), "{}");
    if (!marked) co_return fail(in_our_words(marked.error()));
    writer_sequence = marked->sequence;
    CO_TRY(const auto stored, co_await jetstream.stream_state(options.stream));
    stream_sequence = stored.last_seq;
    marks_due = now() + options.max_age / 4;
    co_return Result<void>{};
  }

  /// The stream forgets what is old, even what this run stands on. Where nothing else is written for long,
  /// the mark and the cursor are.
  Task<> refresh_marks() {
    CO_CHECK(co_await flush());
    nats::HeaderBlock still_ours;
    still_ours.add("Nats-Expected-Last-Subject-Sequence", std::to_string(writer_sequence));
    const auto marked = co_await jetstream.publish(writer_subject(), "{}", still_ours);
    if (!marked) co_return fail(in_our_words(marked.error()));
    writer_sequence = stream_sequence = marked->sequence;
    marks_due = now() + options.max_age / 4;
    co_return co_await store_now(batcher->cut());
  }

  static Error in_our_words(const Error& error) {
    if (error.is(nats::errors::wrong_revision)) return Error(errors::fenced);
    return is_full(error) ? Error(errors::stream_full, error.detail) : error;
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
    batch.messages.push_back({subject("gap"), "{\"resumedAt\":\"" + resumed.end.text() + "\"}", {}});
    batch.cursor = resumed;
    co_return co_await store_now(std::move(batch));
  }

  /// Stores one batch behind all others and waits for it.
  Task<> store_now(Batch batch) {
    launch(std::move(batch));
    while (!in_flight.empty()) co_await wait_for_store();
    if (failure) co_return fail(*std::exchange(failure, std::nullopt));
    co_return Result<void>{};
  }

  /// Compares what the publication carries with what it carried when the stream last said so. A table that
  /// came in has rows that were never told: they are told now.
  Task<> look_at_publication() {
    publication_due = now() + options.publication_interval;
    CO_TRY(auto published, co_await catalog->published());
    if (!published) co_return fail(errors::publication_missing, options.replication.publication);
    if (carried && *carried == *published) co_return Result<void>{};
    std::vector<postgres::PublishedTable> before;
    bool known = false;
    const auto stored = co_await jetstream.last_stored(options.stream, subject("publication"));
    if (!stored && stored.error().kind != ErrorKind::not_found) co_return fail(stored.error());
    if (stored) {
      CO_TRY(auto words, json::decode<PublicationMark>(stored->message.payload(), json::Unknown::ignore));
      for (auto& one : words.tables) before.push_back({std::move(one.name), std::move(one.version)});
      known = true;
    }
    PublicationMark mark;
    const auto in = [](const auto& tables, const auto& table) {
      return std::ranges::find(tables, table) != tables.end();
    };
    for (const auto& table : *published) {
      mark.tables.push_back({table.name, table.version});
      if (known && !in(before, table)) mark.added.push_back(table.name);
    }
    for (const auto& table : before) {
      if (!in(*published, table)) mark.removed.push_back(table.name);
    }
    if (!known || !mark.added.empty() || !mark.removed.empty()) {
      if (!mark.removed.empty()) say("publication", "no longer told as before: " + names(mark.removed));
      if (!mark.added.empty()) {
        say("publication", "told from now on: " + names(mark.added));
        snapshot_due = options.snapshots == Snapshots::when_needed;
      }
      CO_CHECK(co_await flush());
      auto batch = batcher->cut();
      batch.messages.push_back({subject("publication"), json::encode(mark), {}});
      CO_CHECK(co_await store_now(std::move(batch)));
    }
    carried = *std::move(published);
    co_return Result<void>{};
  }

  /// Everything pending is stored; more is not taken meanwhile.
  Task<> flush() {
    while (!batcher->empty() || !in_flight.empty()) {
      if (failure) co_return fail(*std::exchange(failure, std::nullopt));
      if (!batcher->empty() && in_flight.size() < options.batches_in_flight)
        launch(batcher->cut());
      else
        co_await wait_for_store();
    }
    if (failure) co_return fail(*std::exchange(failure, std::nullopt));
    co_return Result<void>{};
  }

  /// Takes the snapshot that is due. Where open transactions are in its way, the stream goes on without it,
  /// and it is tried again.
  Task<> take_snapshot() {
    if (!snapshot_due || snapshot) co_return Result<void>{};
    snapshot_retry = now() + options.snapshot_retry;
    auto opened = co_await postgres::SnapshotReader::open(
        jetstream.connection().executor(), options.replication.dsn,
        options.replication.slot.substr(0, 50) + "_snapshot", options.snapshot_patience);
    if (opened)
      snapshot = *std::move(opened);
    else
      say("snapshot_delayed", opened.error().code + ": " + opened.error().detail);
    co_return Result<void>{};
  }

  /// Tells every row of the snapshot, as fast as the stream takes them.
  Task<> tell_snapshot() {
    CO_CHECK(co_await flush());
    state = FeedState::copying;
    CO_TRY(const auto tables, co_await snapshot->tables(options.replication.publication));
    for (const auto& table : tables) {
      const auto readable = co_await snapshot->select(table);
      if (readable) continue;
      // Before anybody was told that it begins. What is new need not wait for it.
      say("snapshot_delayed", readable.error().code + ": " + readable.error().detail);
      snapshot.reset();
      snapshot_retry = now() + options.snapshot_retry;
      state = FeedState::streaming;
      co_return Result<void>{};
    }
    const Transaction at{snapshot->point(), snapshot->taken_at(), 0};
    std::uint64_t number = 0;
    SnapshotMark mark{change_id(snapshot_source, at, number), at.commit.text(), {}, {}};
    for (const auto& table : tables)
      mark.tables.push_back(table.relation->schema + "." + table.relation->table);
    say("snapshot", "of " + names(mark.tables) + " at " + at.commit.text());
    batcher->add_mark(subject("snapshot.begin"), json::encode(mark));
    for (const auto& table : tables) {
      CO_CHECK(co_await snapshot->select(table));
      for (std::size_t got = kRowsPerFetch; got == kRowsPerFetch;) {
        CO_TRY(const auto rows, co_await snapshot->fetch(kRowsPerFetch));
        got = rows.size();
        for (const auto& row : rows) batcher->add_snapshot_row(*table.relation, row, at, ++number);
        CO_CHECK(log->keep_alive());
        while (batcher->full()) {
          if (failure) co_return fail(*std::exchange(failure, std::nullopt));
          if (in_flight.size() < options.batches_in_flight)
            launch(batcher->cut());
          else
            co_await wait_for_store();
        }
      }
    }
    mark.rows = number;
    mark.id = change_id(snapshot_source, at, ++number);
    batcher->add_mark(subject("snapshot.end"), json::encode(mark));
    while (batcher->full()) {
      launch(batcher->cut());
      while (!in_flight.empty()) co_await wait_for_store();
    }
    snapshot_due = false;  // as the last batch's cursor says
    CO_CHECK(co_await flush());
    snapshot.reset();
    ++statistics.snapshots;
    statistics.snapshot_rows += *mark.rows;
    state = FeedState::streaming;
    say("snapshot_told", std::to_string(*mark.rows) + " rows");
    co_return Result<void>{};
  }

  /// True when everything in front of the snapshot's place is in the stream or in the batcher.
  bool at_snapshot() const {
    if (!snapshot || batcher->inside()) return false;
    return held || (log->drained() && log->server_end() >= snapshot->point());
  }

  Task<> carry() {
    SteadyTime linger_until = SteadyTime::max();  // while the log is not drained
    for (;;) {
      CO_TRY(const bool more, take_what_is_there());
      if (more)
        linger_until = SteadyTime::max();
      else if (linger_until == SteadyTime::max())
        linger_until = now() + options.linger;
      if (failure) co_return fail(*std::exchange(failure, std::nullopt));
      if (!more && at_snapshot()) {
        CO_CHECK(co_await tell_snapshot());
        continue;
      }
      if (now() >= publication_due) CO_CHECK(co_await look_at_publication());
      if (now() >= marks_due) CO_CHECK(co_await refresh_marks());
      if (snapshot_due && !snapshot && !batcher->inside() && now() >= snapshot_retry)
        co_await take_snapshot();

      // Under load full batches follow each other closely. A small one waits for the one before it and grows
      // meanwhile, because each costs a disk sync, and syncs queue.
      const bool lingered = in_flight.empty() && !batcher->empty() && now() >= linger_until;
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
      CO_CHECK(co_await log->wait(lingers ? linger_until : now() + kIdle));
      statistics.server_end = log->server_end();
    }
  }

  /// Takes messages until there are none or a batch is full; true when there may be more.
  Result<bool> take_what_is_there() {
    if (held && !snapshot) {
      CHECK(batcher->take(*held));
      held.reset();
    }
    while (!batcher->full()) {
      if (held) return false;
      TRY(const auto frame, log->try_next());
      if (!frame) return false;
      if (snapshot) {
        const auto begins = Batcher::begins(frame->payload);
        if (begins && *begins >= snapshot->point()) {
          held = std::string(frame->payload);
          return false;
        }
      }
      const bool was_inside = batcher->inside();
      CHECK(batcher->take(frame->payload));
      if (was_inside && !batcher->inside()) ++statistics.transactions;
    }
    return true;
  }

  void confirm_what_is_done() {
    log->confirm(batcher->taken());
    if (held) return;
    well();
    // A database that writes nothing for us must not hold on to its log for our sake.
    if (!batcher->inside() && log->drained()) log->confirm(log->server_end());
    statistics.confirmed = log->confirmed();
  }

  /// A batch on its way into the stream.
  struct Storing {
    postgres::Lsn end;  ///< what may be confirmed once it is there, and all before it
    std::size_t changes = 0;
    bool stored = false;
  };

  void count_odd() {
    const auto before = statistics.odd;
    statistics.odd.set_aside = odd_before.set_aside + batcher->counts().set_aside;
    statistics.odd.schema_changes = odd_before.schema_changes + batcher->counts().schema_changes;
    if (statistics.odd.set_aside > before.set_aside)
      say("set_aside", "a change is larger than a message; it lies on " + subject("aside"));
    if (statistics.odd.schema_changes > before.schema_changes)
      say("schema", "a table has changed; its rows are told as it is now");
  }

  /// Stores a batch while the next ones fill. Nobody else writes to the stream, so the place of this cursor
  /// is known before the one in front of it is acknowledged. The server refuses the batch where another has
  /// taken over, and where the one in front of it is not there.
  void launch(Batch batch) {
    in_flight.push_back(std::make_shared<Storing>(Storing{batch.cursor.end, batch.changes}));
    batch.cursor.snapshot_due = snapshot_due;
    batch.cursor.timeline = timeline;
    batch.cursor.branch = branch;
    if (batcher) count_odd();
    nats::Outgoing cursor;
    cursor.subject = cursor_subject();
    cursor.payload = batch.cursor.json();
    cursor.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(cursor_sequence));
    auto messages = std::move(batch.messages);
    // The cursor alone could not carry both conditions.
    if (messages.empty())
      messages.push_back({subject("commit"), "{\"end\":\"" + batch.cursor.end.text() + "\"}", {}});
    auto& first = messages.front();
    first.headers.add("Nats-Expected-Last-Subject-Sequence", std::to_string(writer_sequence));
    first.headers.add("Nats-Expected-Last-Subject-Sequence-Subject", writer_subject());
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
      self->fail_with(in_our_words(stored.error()));
    } else if (stored->sequence != expected_sequence) {
      self->fail_with(Error(errors::fenced));
    } else {
      self->statistics.changes += storing->changes;
      ++self->statistics.batches;
      self->well();
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
  std::uint64_t timeline = 0, branch = 0;  ///< as in the cursor
  std::uint64_t writer_sequence = 0;       ///< of this run's mark in the stream
  std::uint64_t cursor_sequence = 0;       ///< of the last cursor in the stream
  std::uint64_t stream_sequence = 0;       ///< of the last message in the stream, those in flight counted in
  std::deque<std::shared_ptr<Storing>> in_flight;
  asio::steady_timer stored_signal;  ///< cancelled when one of them has ended
  std::optional<Error> failure;      ///< of one of them
  std::string last_failure;          ///< as it was told
  BatcherCounts odd_before;          ///< of the batchers before this one

  std::unique_ptr<postgres::ReplicationStream> catalog;  ///< for questions while the log is read
  std::optional<std::vector<postgres::PublishedTable>> carried;
  SteadyTime publication_due{}, marks_due{};
  bool snapshot_due = false;
  std::unique_ptr<postgres::SnapshotReader> snapshot;  ///< taken, and not told yet
  std::string snapshot_source;
  SteadyTime snapshot_retry{};
  std::optional<std::string> held;  ///< the first message behind the snapshot's place
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
