// From the messages of a replication stream to atomic batches with the cursor inside. Pure: no I/O, no clock.
//
// Each batch ends with a cursor message that says how far the stream is, on a subject whose last sequence
// must be the one of the cursor before: so a batch is written exactly once, whoever tries it how often, and a
// process that was replaced without knowing cannot write any more.
#pragma once
#include <functional>
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

  std::string json() const;
  /// Fails with `cdc.bad_cursor`.
  static Result<Cursor> parse(std::string_view json);
};

/// Messages to store together, and the cursor that goes behind them.
struct Batch {
  std::vector<nats::Outgoing> messages;
  Cursor cursor;
};

/// What becomes of something that a transaction wrote with pg_logical_emit_message; nullopt: nothing. `id` is
/// the change's, as in `append_json`.
using OnMessage = std::function<std::optional<nats::Outgoing>(
    const postgres::pgoutput::Logical& message, const Transaction& transaction, const std::string& id)>;

struct BatcherOptions {
  std::string source;                     ///< `<system id>.<slot>`; in front of every change's id
  std::string subject_prefix = "change";  ///< changes go to `<prefix>.row.<table>.<tenant>.<partition>`
  OnMessage on_message;
  std::string tenant_column = "tenant_id";
  std::uint32_t partitions = 16;   ///< rows of one key always go to the same
  std::size_t max_messages = 999;  ///< the server takes 1,000 a batch; one is the cursor
  std::size_t max_bytes = 4u << 20;
  std::size_t max_payload = 900u << 10;  ///< a larger change is told without its values
};

/// Owned by one feed; not thread-safe.
class Batcher {
 public:
  /// `from` is the cursor found in the stream: what it covers is skipped when it comes again.
  Batcher(BatcherOptions options, Cursor from);

  /// Takes the next message of the stream. Fails with what the decoder says.
  Result<void> take(std::string_view message);

  /// True when what is pending must be written before more is taken.
  bool full() const { return pending_.size() >= options_.max_messages || bytes_ >= options_.max_bytes; }
  bool empty() const { return pending_.empty() && !mark_due_; }
  /// True inside a transaction whose end has not come.
  bool inside() const { return transaction_.has_value(); }
  /// Everything pending as one batch. A transaction that is too large for one goes in several; only the last
  /// one's cursor is complete, and where nothing is left for it, it is a batch of that cursor alone.
  Batch cut();
  /// The end of the last transaction that was taken whole. With nothing pending and nothing in flight it may
  /// be confirmed.
  postgres::Lsn taken() const { return taken_; }

 private:
  void add(const RowChange& change);
  void add_message(const postgres::pgoutput::Logical& message);
  void add(nats::Outgoing outgoing, const Position& position);
  void add_truncate(const postgres::pgoutput::Truncate& truncate);
  std::string subject_of(const RowChange& change) const;
  bool covered(const Position& position) const;

  BatcherOptions options_;
  Cursor from_;
  postgres::pgoutput::Decoder decoder_;
  std::optional<Transaction> transaction_;
  std::uint64_t index_ = 0;
  std::vector<nats::Outgoing> pending_;
  std::size_t bytes_ = 0;
  Position last_;          ///< of the last change that is pending or was cut
  bool split_ = false;     ///< a part of this transaction is cut already
  bool mark_due_ = false;  ///< it has ended, and its end is not cut yet
  postgres::Lsn taken_;
};

}  // namespace intra365::cdc
