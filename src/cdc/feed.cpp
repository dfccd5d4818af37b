#include "cdc/feed.hpp"

#include <algorithm>

#include "cdc/writer.hpp"
#include "json/json.hpp"
#include "postgres/snapshot_reader.hpp"

namespace intra365::cdc {
namespace {

constexpr auto kConnectTime = std::chrono::seconds(10);
constexpr auto kIdle = std::chrono::seconds(1);
constexpr std::size_t kRoomForHeaders = 4096;  ///< of the largest message the server takes

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

std::string names(const std::vector<std::string>& tables) {
  std::string text;
  for (const auto& table : tables) text += (text.empty() ? "" : ", ") + table;
  return text;
}

struct CarriedTable {
  std::string name, version;
  bool operator==(const CarriedTable&) const = default;
};
BOOST_DESCRIBE_STRUCT(CarriedTable, (), (name, version))

/// On `<prefix>.publication.<slot>`: what the stream tells of from here on.
struct PublicationMark {
  std::vector<CarriedTable> tables;
  std::vector<std::string> added, removed;
};
BOOST_DESCRIBE_STRUCT(PublicationMark, (), (tables, added, removed))

PublicationMark mark_of(const std::vector<postgres::PublishedTable>& published) {
  PublicationMark mark;
  for (const auto& table : published) mark.tables.push_back({table.name, table.version});
  return mark;
}

Batcher::Keys keys_of(const std::vector<postgres::PublishedTable>& published) {
  Batcher::Keys keys;
  for (const auto& table : published) keys.emplace(table.name, table.key);
  return keys;
}

/// Notes in `now` what came in and what went since `before`.
void compare(const PublicationMark& before, PublicationMark& now) {
  const auto not_in = [](const auto& tables, const auto& table) {
    return std::ranges::find(tables, table) == tables.end();
  };
  for (const auto& table : now.tables) {
    if (not_in(before.tables, table)) now.added.push_back(table.name);
  }
  for (const auto& table : before.tables) {
    if (not_in(now.tables, table)) now.removed.push_back(table.name);
  }
}

/// On `<prefix>.snapshot.begin.<slot>` and `….end.<slot>`, there with the number of rows.
struct SnapshotMark {
  std::string id, at;
  std::vector<std::string> tables;
  std::optional<std::uint64_t> rows;
};
BOOST_DESCRIBE_STRUCT(SnapshotMark, (), (id, at, tables, rows))

}  // namespace

struct Feed::Impl {
  Impl(nats::JetStream& jetstream, FeedOptions given, Tell tell)
      : jetstream(jetstream),
        options(std::move(given)),
        tell(std::move(tell)),
        writer(jetstream, {options.stream, options.batches.subject_prefix, options.replication.slot},
               [this](const auto& changes) { batch_ended(changes); }) {}

  void say(std::string_view event, std::string_view detail) const {
    if (tell) tell(event, detail);
  }

  Task<> run() {
    if (options.replication.streaming || options.replication.two_phase)
      co_return fail(errors::unsupported_option);
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
      while (writer.in_flight() > 0) co_await writer.wait();
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
    CO_CHECK(co_await see_to_slot());
    CO_TRY(auto found, co_await writer.read_cursor());
    CO_TRY(const auto resumed_at, co_await find_gap(found, identity));
    const auto seen = writer.cursor_sequence();
    // PostgreSQL lets one read. Who does not get the slot has not disturbed the one who has it.
    CO_CHECK(co_await log->start(resumed_at.value_or(found.value_or(Cursor{}).end)));
    CO_CHECK(co_await writer.take_over());
    marks_due = now() + options.max_age / 4;
    CO_TRY(found, co_await writer.read_cursor());
    auto from = found.value_or(Cursor{});
    if ((resumed_at || from.gap_due) && writer.cursor_sequence() != seen) co_return fail(errors::fenced);
    timeline = identity.timeline;
    branch = from.branch;
    carried.reset();
    const bool wanted = options.snapshots == Snapshots::when_needed;
    snapshot_due = wanted && (!found || from.snapshot_due || resumed_at);
    if (resumed_at) {
      CO_TRY(from, co_await tell_gap(from, *resumed_at));
    }
    auto batches = options.batches;
    batches.source = identity.system_id + "." + options.replication.slot;
    if (branch != 0) batches.source += "." + std::to_string(branch);
    batches.aside_subject = writer.subject("aside");
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

  /// Makes the slot where there is none that can be read.
  Task<> see_to_slot() {
    CO_TRY(const auto slot, co_await log->slot_state());
    if (slot == postgres::SlotState::usable) co_return co_await log->keep_slot_on_standbys();
    // A new slot does not show what was lost with the old one: the stream must know it first.
    CO_CHECK(co_await mark_gap_due());
    if (slot == postgres::SlotState::lost) CO_CHECK(co_await log->drop_slot());
    CO_CHECK(co_await log->create_slot());
    co_return Result<void>{};
  }

  /// Where there is no slot, nobody reads whom this could disturb but one who is about to make it, too.
  Task<> mark_gap_due() {
    CO_TRY(auto known, co_await writer.read_cursor());
    if (!known) co_return Result<void>{};  // a new stream begins with a snapshot
    CO_CHECK(co_await writer.take_over());
    CO_TRY(known, co_await writer.read_cursor());
    if (!known || known->gap_due) co_return Result<void>{};
    Batch batch;
    batch.cursor = *known;
    batch.cursor.gap_due = true;
    writer.launch(std::move(batch));
    co_return co_await writer.settle();
  }

  /// Where the log goes on that does not lead on from the stream; nullopt where it does.
  Task<std::optional<postgres::Lsn>> find_gap(const std::optional<Cursor>& from,
                                              const postgres::SystemIdentity& identity) {
    if (!from) co_return std::nullopt;
    // Known even when the log has grown past the lost end before the gap could be told.
    bool gap = from->gap_due || lost_end == writer.cursor_sequence();
    if (!gap) {
      CO_TRY(gap, co_await end_is_lost(*from, identity));
    }
    if (!gap) co_return std::nullopt;
    if (!from->gap_due) lost_end = writer.cursor_sequence();
    CO_TRY(const auto stands_at, co_await log->slot_position());
    co_return stands_at;
  }

  /// A standby that took over, or a database that was restored, may not have everything that the stream
  /// tells; its log then reuses the positions of what is lost.
  Task<bool> end_is_lost(const Cursor& from, const postgres::SystemIdentity& identity) {
    if (from.end > identity.end) co_return true;
    if (from.timeline == 0 || from.timeline == identity.timeline) co_return false;
    CO_TRY(const auto left_at, co_await log->left_timeline_at(from.timeline, identity.timeline));
    co_return !left_at || from.end > *left_at;
  }

  /// The stream forgets what is old, even what this run and the next one stand on. Where nothing else is
  /// written for long, the marks and the cursor are.
  Task<> refresh_marks() {
    CO_CHECK(co_await flush());
    CO_CHECK(co_await writer.renew_mark());
    marks_due = now() + options.max_age / 4;
    co_return co_await store_publication_mark(mark_of(*carried));
  }

  /// Those who follow the stream must learn that it does not tell everything. Returns where it goes on.
  Task<Cursor> tell_gap(Cursor before, postgres::Lsn resumed_at) {
    ++branch;
    Batch batch;
    batch.messages.push_back({writer.subject("gap"), "{\"resumedAt\":\"" + resumed_at.text() + "\"}", {}});
    batch.cursor = Cursor::in_front_of(resumed_at);
    CO_CHECK(co_await store_now(std::move(batch)));
    lost_end = 0;
    ++statistics.gaps;
    say("gap",
        std::string(before.gap_due ? "the slot was lost" : "the database has lost the end of its log") +
            ": the stream tells changes up to " + before.end.text() + ", the log goes on at " +
            resumed_at.text());
    co_return Cursor::in_front_of(resumed_at);
  }

  /// Stores one batch behind all others and waits for it.
  Task<> store_now(Batch batch) {
    launch(std::move(batch));
    co_return co_await writer.settle();
  }

  /// Compares what the publication carries with what it carried when the stream last said so. A table that
  /// came in has rows that were never told: they are told now.
  Task<> look_at_publication() {
    publication_due = now() + options.publication_interval;
    CO_TRY(auto published, co_await catalog->published());
    if (!published) co_return fail(errors::publication_missing, options.replication.publication);
    if (carried && *carried == *published) co_return Result<void>{};
    batcher->know_keys(keys_of(*published));
    CO_TRY(const auto before, co_await read_publication_mark());
    auto mark = mark_of(*published);
    if (before) compare(*before, mark);
    if (!mark.removed.empty()) say("publication", "no longer told as before: " + names(mark.removed));
    if (!mark.added.empty()) say("publication", "told from now on: " + names(mark.added));
    // Where the stream does not say what it tells of, any table may have come in.
    if (!before || !mark.added.empty()) snapshot_due = options.snapshots == Snapshots::when_needed;
    if (!before || !mark.added.empty() || !mark.removed.empty()) {
      CO_CHECK(co_await flush());
      CO_CHECK(co_await store_publication_mark(std::move(mark)));
    }
    carried = *std::move(published);
    co_return Result<void>{};
  }

  /// Nullopt where the stream has none.
  Task<std::optional<PublicationMark>> read_publication_mark() {
    const auto where = writer.subject("publication");
    const auto stored = co_await jetstream.last_stored(options.stream, where);
    if (!stored && stored.error().kind == ErrorKind::not_found) co_return std::nullopt;
    if (!stored) co_return fail(stored.error());
    CO_TRY(auto mark, json::decode<PublicationMark>(stored->message.payload(), json::Unknown::ignore));
    co_return mark;
  }

  Task<> store_publication_mark(PublicationMark mark) {
    auto batch = batcher->cut();
    batch.messages.push_back({writer.subject("publication"), json::encode(mark), {}});
    co_return co_await store_now(std::move(batch));
  }

  /// Everything pending is stored; more is not taken meanwhile.
  Task<> flush() {
    while (!batcher->empty()) CO_CHECK(co_await launch_when_room());
    co_return co_await writer.settle();
  }

  /// Launches what is pending as soon as not too much is under way.
  Task<> launch_when_room() {
    while (writer.in_flight() >= options.batches_in_flight) co_await writer.wait();
    CO_CHECK(writer.check());
    launch(batcher->cut());
    co_return Result<void>{};
  }

  /// Takes the snapshot that is due. Where open transactions are in its way, the stream goes on without it,
  /// and it is tried again.
  Task<> take_snapshot() {
    if (!snapshot_due || snapshot) co_return Result<void>{};
    snapshot_retry = now() + options.snapshot_retry;
    auto opened =
        co_await postgres::SnapshotReader::open(jetstream.connection().executor(), options.replication.dsn,
                                                options.replication.slot.substr(0, 50) + "_snapshot",
                                                options.snapshot_patience, options.replication.answer_time);
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
    batcher->add_mark(writer.subject("snapshot.begin"), json::encode(mark));
    for (const auto& table : tables) {
      CO_CHECK(co_await snapshot->select(table));
      for (;;) {
        CO_TRY(const auto rows, co_await snapshot->fetch(options.batches.max_bytes));
        if (rows.empty()) break;
        for (const auto& row : rows) batcher->add_snapshot_row(table.relation, row, at, ++number);
        CO_CHECK(log->keep_alive());
        while (batcher->full()) CO_CHECK(co_await launch_when_room());
      }
    }
    mark.rows = number;
    mark.id = change_id(snapshot_source, at, ++number);
    batcher->add_mark(writer.subject("snapshot.end"), json::encode(mark));
    while (batcher->full()) CO_CHECK(co_await launch_when_room());
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
      if (!more && at_snapshot()) {
        CO_CHECK(co_await tell_snapshot());
        continue;
      }
      if (now() >= publication_due) CO_CHECK(co_await look_at_publication());
      if (now() >= marks_due) CO_CHECK(co_await refresh_marks());
      if (snapshot_due && !snapshot && !batcher->inside() && now() >= snapshot_retry)
        co_await take_snapshot();
      // While all that was waited for, a batch may have failed.
      CO_CHECK(writer.check());

      // Under load full batches follow each other closely. A small one waits for the one before it and grows
      // meanwhile, because each costs a disk sync, and syncs queue.
      const bool idle = writer.in_flight() == 0;
      const bool lingers = idle && !batcher->empty();
      if ((lingers && now() >= linger_until) ||
          (batcher->full() && writer.in_flight() < options.batches_in_flight)) {
        launch(batcher->cut());
        continue;
      }
      if (idle && batcher->empty()) confirm_what_is_done();
      if (batcher->full()) {
        // The log waits in PostgreSQL, not in our memory.
        co_await writer.wait();
        continue;
      }
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
      if (options.acknowledge == Acknowledge::when_taken) confirm(batcher->taken());
    }
    return true;
  }

  /// Tells PostgreSQL that everything in front of `position` is in the stream. After a failure nothing is.
  void confirm(postgres::Lsn position) {
    if (!writer.check()) return;
    log->confirm(position);
    statistics.confirmed = log->confirmed();
  }

  /// With nothing pending and nothing under way.
  void confirm_what_is_done() {
    confirm(batcher->taken());
    if (held) return;
    well();
    // A database that writes nothing for us must not hold on to its log for our sake.
    if (!batcher->inside() && log->drained()) confirm(log->server_end());
  }

  void count_odd() {
    const auto& counts = batcher->counts();
    const auto news = [&](std::uint64_t BatcherCounts::*of) {
      return odd_before.*of + counts.*of > std::exchange(statistics.odd.*of, odd_before.*of + counts.*of);
    };
    if (news(&BatcherCounts::set_aside))
      say("set_aside", "a change is larger than a message; it lies on " + writer.subject("aside"));
    if (news(&BatcherCounts::left_out)) say("left_out", errors::too_large.meaning);
    if (news(&BatcherCounts::malformed))
      say("malformed", "an event is not well-formed; it lies on " + writer.subject("aside"));
    if (news(&BatcherCounts::schema_changes))
      say("schema", "a table has changed; its rows are told as it is now");
  }

  /// Stores a batch while the next ones fill.
  void launch(Batch batch) {
    batch.cursor.snapshot_due = snapshot_due;
    batch.cursor.timeline = timeline;
    batch.cursor.branch = branch;
    if (batcher) count_odd();
    writer.launch(std::move(batch));
  }

  void batch_ended(const Result<std::size_t>& changes) {
    if (changes) {
      statistics.changes += *changes;
      ++statistics.batches;
      well();
    }
    if (!log) return;
    confirm(writer.stored());
    log->interrupt();
  }

  nats::JetStream& jetstream;
  FeedOptions options;
  Tell tell;
  FeedState state = FeedState::connecting;
  FeedStatistics statistics;
  Writer writer;
  std::unique_ptr<postgres::ReplicationStream> log;
  std::optional<Batcher> batcher;
  std::uint64_t timeline = 0, branch = 0;  ///< as in the cursor
  std::uint64_t lost_end = 0;              ///< sequence of a cursor beyond what the database has
  std::string last_failure;                ///< as it was told
  BatcherCounts odd_before;                ///< of the batchers before this one

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
    : impl_(std::make_unique<Impl>(jetstream, std::move(options), std::move(tell))) {}
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
