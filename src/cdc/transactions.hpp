// For consumers of the change stream that must see a transaction whole or not at all: gathers what the stream
// holds of each until its end has come.
//
// A batch of the stream is atomic, but a large transaction goes in several; only the cursor behind the last
// of them says that it is complete. Consumers must therefore filter for the cursors, too.
#pragma once
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cdc/batcher.hpp"
#include "nats/jetstream.hpp"

namespace intra365::cdc {

namespace errors {
inline constexpr ErrorCode transaction_too_large{
    ErrorKind::exhausted, "cdc.transaction_too_large",
    "A transaction is larger than this consumer holds in memory; give it more, or take rows one by one."};
inline constexpr ErrorCode gap{
    ErrorKind::conflict, "cdc.gap",
    "The change stream does not tell everything: read the tables again, then go on behind the gap."};
}  // namespace errors

/// One message of the stream, as it was published.
struct StreamedChange {
  std::string subject, payload;
  std::uint64_t sequence = 0;  ///< in the stream
};

/// All that a transaction changed, as far as the consumer's filter lets it through, in order. Or a piece of a
/// snapshot: whoever follows it forgets what it knew at `change.snapshot.begin.…`, and takes each row as what
/// is there.
struct WholeTransaction {
  postgres::Lsn commit;
  bool snapshot = false;
  std::vector<StreamedChange> changes;
};

/// Pure: no I/O. Owned by one consumer; not thread-safe.
class TransactionAssembler {
 public:
  struct Options {
    std::string slot;
    std::string subject_prefix = "change";
    std::size_t max_bytes = 64u << 20;  ///< of the transactions that are not whole yet
    /// True for a consumer that may begin in the middle of a transaction: what comes before the first cursor
    /// is left out then, because its beginning may be missing.
    bool starts_anywhere = false;
  };
  explicit TransactionAssembler(Options options);

  /// Takes the next message of the stream; returns the transactions that are whole by it, oldest first. A
  /// message that comes again is ignored. Fails with `cdc.transaction_too_large`, `cdc.gap`, `cdc.bad_cursor`
  /// or `cdc.bad_change`; after a gap, what comes behind it is taken as usual.
  Result<std::vector<WholeTransaction>> take(StreamedChange change);
  /// Everything up to this sequence was returned: it may be acknowledged.
  std::uint64_t settled() const { return settled_; }
  std::size_t waiting_bytes() const { return bytes_; }

 private:
  Options options_;
  std::string cursor_subject_, gap_subject_, snapshot_prefix_;
  std::deque<WholeTransaction> waiting_;
  std::size_t bytes_ = 0;
  std::uint64_t last_sequence_ = 0, settled_ = 0;
  bool skipping_;
};

/// Reads whole transactions from the stream by a durable consumer. Delivered again after a crash: at least
/// once, in order. Owned by one shard; not thread-safe. The JetStream outlives it.
class TransactionConsumer {
 public:
  struct Options {
    std::string durable;
    std::string stream = "CHANGES";
    std::vector<std::string> subjects = {"change.row.>"};  ///< of the rows that are wanted
    bool snapshots = false;                                ///< take what tables held before, too
    /// RFC 3339: replays from this time on; empty: from the stream's beginning. Of a new consumer only.
    std::string from_time;
    TransactionAssembler::Options assembler;
  };
  TransactionConsumer(nats::JetStream& jetstream, Options options);

  /// Makes the consumer where it is missing.
  Task<> start();
  /// The next transactions; empty when none came within `wait`. Fails as the assembler does; after `cdc.gap`
  /// it may be called again.
  Task<std::vector<WholeTransaction>> next(std::chrono::milliseconds wait);
  /// What `next` has returned is done with; it will not come again.
  void acknowledge();

 private:
  nats::JetStream& jetstream_;
  Options options_;
  TransactionAssembler assembler_;
  std::deque<nats::Delivered> inbox_;           ///< fetched, not looked at yet
  std::deque<nats::Delivered> unacknowledged_;  ///< looked at
  std::optional<Error> failure_;                ///< to be told once what came before it is handed out
};

}  // namespace intra365::cdc
