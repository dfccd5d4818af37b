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
  /// or `cdc.bad_change`. After a failure what comes behind it is taken as usual; a transaction (or snapshot)
  /// that cannot be whole by then is never returned, and settled only with its end.
  Result<std::vector<WholeTransaction>> take(StreamedChange change);
  /// Everything up to this sequence was returned: it may be acknowledged.
  std::uint64_t settled() const { return settled_; }
  std::size_t waiting_bytes() const { return bytes_; }
  /// Forgets what is not settled: it comes once more, in order.
  void go_back();

 private:
  /// Whose a change is: a transaction's, or a snapshot's.
  struct Of {
    postgres::Lsn commit;
    bool snapshot = false;
    bool operator==(const Of&) const = default;
  };
  Result<std::vector<WholeTransaction>> take_cursor(const StreamedChange& change);
  Error take_stranger(const std::string& subject);
  Of of_last() const { return {waiting_.back().commit, waiting_.back().snapshot}; }
  void drop_last();
  void forget();

  Options options_;
  std::string cursor_subject_, gap_subject_, snapshot_prefix_;
  std::deque<WholeTransaction> waiting_;
  std::size_t bytes_ = 0;
  std::uint64_t last_sequence_ = 0, settled_ = 0;
  bool skipping_;
  std::optional<Of> refused_;  ///< what more comes of it is dropped, until its end
  bool in_doubt_ = false;      ///< whose the last change was is not known
};

/// Reads whole transactions from the stream by a durable consumer, one process at a time. What was not
/// acknowledged comes again after a crash: at least once, in order. Owned by one shard; not thread-safe. The
/// JetStream outlives it.
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

  /// Makes the consumer where it is missing; else goes on behind what was acknowledged.
  Task<> start();
  /// The next transactions; empty when none came within `wait`. Fails as the assembler does, once; called
  /// again, it goes on behind what it failed at. Who wants that after all, with more memory say, acknowledges
  /// nothing any more and makes another consumer.
  Task<std::vector<WholeTransaction>> next(std::chrono::milliseconds wait);
  /// What `next` has returned is done with; it will not come again.
  void acknowledge();

 private:
  nats::ConsumerConfig config() const;
  Task<> begin_again();
  bool take_inbox(std::vector<WholeTransaction>& whole);
  void settle(const nats::Delivered& delivered);

  nats::JetStream& jetstream_;
  Options options_;
  TransactionAssembler assembler_;
  std::deque<nats::Delivered> inbox_;       ///< fetched, not looked at yet
  std::uint64_t delivered_ = 0;             ///< number of the last delivery that was looked at
  std::optional<nats::Delivered> settled_;  ///< the last that may be acknowledged
  struct Failed {
    Error error;
    nats::Delivered at;
  };
  std::optional<Failed> failed_;  ///< to be told once what came before it is handed out
};

}  // namespace intra365::cdc
