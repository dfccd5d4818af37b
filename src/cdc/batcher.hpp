// From the messages of a replication stream to atomic batches with the cursor inside. Pure: no I/O, no clock.
//
// Each batch ends with a cursor message that says how far the stream is, on a subject whose last sequence
// must be the one of the cursor before: so a batch is written exactly once, whoever tries it how often, and a
// process that was replaced without knowing cannot write any more.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cdc/change.hpp"
#include "cdc/errors.hpp"
#include "nats/jetstream.hpp"

namespace intra365::cdc {

/// How far a stream is. `complete`: the transaction at `position` is in it to its end.
struct Cursor {
  Position position;
  postgres::Lsn end;  ///< what may be confirmed to PostgreSQL; of the last complete transaction
  bool complete = true;
  /// The stream does not hold what the tables held before; a snapshot of them must be told.
  bool snapshot_due = false;
  std::uint64_t timeline = 0;  ///< of the database's log that `end` is a place in; 0: not known
  /// How often the stream has left a log whose end was lost. Positions of two branches may be equal.
  std::uint64_t branch = 0;
  /// The slot was lost: what the next one tells does not lead on from here, and nobody has been told yet.
  bool gap_due = false;

  /// Covers what was committed in front of `position` and nothing behind it, not even what begins there.
  static Cursor in_front_of(postgres::Lsn position);
  std::string json() const;
  /// Fails with `cdc.bad_cursor`.
  static Result<Cursor> parse(std::string_view json);
};

/// Messages to store together, and the cursor that goes behind them.
struct Batch {
  std::vector<nats::Outgoing> messages;
  Cursor cursor;
  std::size_t changes = 0;  ///< of the messages; the others explain one
};

/// What becomes of something that a transaction wrote with pg_logical_emit_message; nullopt: nothing. What it
/// fails with is counted, and the message set aside. `id` is the change's, as in `append_json`.
using OnMessage = std::function<Result<std::optional<nats::Outgoing>>(
    const postgres::pgoutput::Logical& message, const Transaction& transaction, const std::string& id)>;

struct BatcherOptions {
  std::string source;                     ///< `<system id>.<slot>[.<branch>]`; in front of every change's id
  std::string subject_prefix = "change";  ///< changes go to `<prefix>.row.<table>.<tenant>.<partition>`
  OnMessage on_message;
  std::string tenant_column = "tenant_id";
  std::uint32_t partitions = 16;   ///< rows of one key always go to the same
  std::size_t max_messages = 999;  ///< the server takes 1,000 a batch; one is the cursor
  std::size_t max_bytes = 4u << 20;
  /// A larger change is set aside: told at its place with its key only, and whole in parts on
  /// `<prefix>.aside.<slot>`, as far as `max_aside` goes.
  std::size_t max_payload = 900u << 10;
  std::size_t max_aside = 64u << 20;  ///< beyond it, only the key is told
  std::string aside_subject;          ///< filled in by the feed
};

/// What was told of and could not be told as it is, for alarms.
struct BatcherCounts {
  std::uint64_t set_aside = 0;       ///< larger than a message may be
  std::uint64_t left_out = 0;        ///< larger even than what may be set aside
  std::uint64_t malformed = 0;       ///< events that are none
  std::uint64_t schema_changes = 0;  ///< of tables, as their rows came
};

/// Owned by one feed; not thread-safe.
class Batcher {
 public:
  /// `from` is the cursor found in the stream: what it covers is skipped when it comes again.
  Batcher(BatcherOptions options, Cursor from);

  /// By the table's name with its schema, the columns that tell its rows apart. Used where the log does not
  /// say: with replica identity full every column is part of the key for it.
  using Keys = std::map<std::string, std::vector<std::string>>;
  void know_keys(Keys keys);

  /// Takes the next message of the stream. Fails with `postgres.bad_replication` on what cannot be read or is
  /// part of a transaction that has not committed: streaming and two-phase are not for a batcher.
  Result<void> take(std::string_view message);

  /// True when what is pending must be written before more is taken.
  bool full() const { return pending_.size() >= options_.max_messages || bytes_ >= options_.max_bytes; }
  bool empty() const { return pending_.empty() && !mark_due_; }
  /// True inside a transaction whose end has not come.
  bool inside() const { return transaction_.has_value(); }
  /// Everything pending as one batch. A transaction that is too large for one goes in several; only the last
  /// one's cursor is complete, and where nothing is left for it, it is a batch of that cursor alone.
  Batch cut();
  /// The commit that `message` begins, where it begins a transaction.
  static std::optional<postgres::Lsn> begins(std::string_view message);
  /// A row of a snapshot taken at `at`, behind everything that is pending. Outside of transactions only.
  void add_snapshot_row(const std::shared_ptr<const postgres::pgoutput::Relation>& relation,
                        const postgres::pgoutput::Tuple& row, const Transaction& at, std::uint64_t number);
  /// A word to those who follow the stream, behind everything that is pending.
  void add_mark(std::string subject, std::string payload);
  const BatcherCounts& counts() const { return counts_; }
  /// The end of the last transaction that was taken whole. With nothing pending and nothing in flight it may
  /// be confirmed.
  postgres::Lsn taken() const { return taken_; }

 private:
  Result<void> on(const postgres::pgoutput::Begin& begin);
  Result<void> on(const postgres::pgoutput::Commit& commit);
  Result<void> on(const postgres::pgoutput::RelationChanged& changed);
  Result<void> on(const postgres::pgoutput::Insert& insert);
  Result<void> on(const postgres::pgoutput::Update& update);
  Result<void> on(const postgres::pgoutput::Delete& deleted);
  Result<void> on(const postgres::pgoutput::Truncate& truncate);
  Result<void> on(const postgres::pgoutput::Logical& message);
  Result<void> on(const postgres::pgoutput::Origin&) { return {}; }
  Result<void> on(const postgres::pgoutput::Type&) { return {}; }
  template <class Other>
  Result<void> on(const Other& other);

  const postgres::pgoutput::Relation& keyed(
      const std::shared_ptr<const postgres::pgoutput::Relation>& relation);
  Result<void> add(const RowChange& change);
  Result<void> add_move(const RowChange& update);
  nats::Outgoing message_of(const RowChange& change, const Position& position);
  void add(nats::Outgoing outgoing, const Position& position, bool counts = true);
  void add_together(std::vector<nats::Outgoing> messages, const Position& position);
  std::size_t put_aside(std::string_view whole, const Position& position, const std::string& id);
  void set_aside(nats::Outgoing& outgoing, const Position& position, const std::string& id,
                 std::string instead);
  std::size_t add_aside(std::string_view whole, const Position& position, const std::string& id,
                        std::string_view operation);
  void describe(const postgres::pgoutput::Relation& relation, const Position& position);
  std::string subject_at(std::string_view kind, const postgres::pgoutput::Relation& relation,
                         std::string_view tenant, std::uint32_t partition) const;
  std::string subject_of(std::string_view kind, const RowChange& change) const;
  bool covered(const Position& position) const;

  BatcherOptions options_;
  Cursor from_;
  postgres::pgoutput::Decoder decoder_;
  std::optional<Transaction> transaction_;
  std::uint64_t index_ = 0;
  struct Pending {
    nats::Outgoing message;
    Position position;
    bool outside;              ///< belongs to no transaction
    bool counts;               ///< is a change or an event, not something that explains one
    std::size_t together = 1;  ///< messages from here on that go into one batch; 0: it goes with those before
  };
  std::deque<Pending> pending_;
  std::size_t bytes_ = 0;
  Position last_;          ///< of the last change that is pending or was cut
  bool split_ = false;     ///< a part of this transaction is cut already
  bool mark_due_ = false;  ///< it has ended, and its end is not cut yet
  postgres::Lsn taken_;
  Cursor cut_;  ///< of the last batch
  /// Tables as they were last described, by their id in the database.
  std::map<std::uint32_t, std::string> described_;
  const postgres::pgoutput::Relation* last_described_ = nullptr;
  Keys keys_;
  struct Keyed {
    std::shared_ptr<const postgres::pgoutput::Relation> told, keyed;  ///< as the log has it, and with its key
  };
  std::map<std::uint32_t, Keyed> keyed_;  ///< by the table's id
  BatcherCounts counts_;
};

}  // namespace intra365::cdc
