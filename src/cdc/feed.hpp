// Change data capture: carries what a PostgreSQL publication says into a JetStream stream, exactly once and
// in order, whatever dies in between.
//
//   slot -> Batcher -> atomic batch (changes + cursor) -> acknowledged -> confirmed to PostgreSQL
//
// Where the stream cannot hold what the tables held before (it is new, or was lost; the slot was lost; a
// table came into the publication) it tells a snapshot of them: `<prefix>.snapshot.begin.<slot>`, a row each
// on
// `<prefix>.snapshot.row.<table>.<tenant>.<partition>`, `<prefix>.snapshot.end.<slot>`. What stands before
// the beginning is in it, what follows the end comes after it.
//
// From PostgreSQL 17 on the slot is kept on standbys too, so that the one that takes over goes on where the
// primary stood. Where the new primary, or a database that was restored, does not have all that the stream
// tells, that is a gap like a lost slot.
//
// INVARIANT (feed_test, "…killed…"): PostgreSQL is told only of what the stream has acknowledged, and a batch
// is stored only if nobody has taken over since (`<prefix>.writer.<slot>`) and the cursor in front of it is
// the one it was made from.
#pragma once
#include <functional>
#include <memory>

#include "cdc/batcher.hpp"
#include "nats/jetstream.hpp"
#include "postgres/replication.hpp"

namespace intra365::cdc {

/// Whether existing rows are told where the stream does not have them.
enum class Snapshots : std::uint8_t { when_needed, never };

/// When PostgreSQL is told that it may forget a change. `when_taken` loses changes: it shows that the tests
/// would notice.
enum class Acknowledge : std::uint8_t { when_stored, when_taken };

struct FeedOptions {
  postgres::ReplicationOptions replication;  ///< without `streaming` and `two_phase`
  std::string stream = "CHANGES";
  std::vector<std::string> more_subjects;  ///< of the stream, for what `on_message` makes
  BatcherOptions batches;                  ///< `source` is filled in
  std::size_t batches_in_flight = 4;       ///< stored one behind the other, while the next fills
  std::chrono::milliseconds linger{1};     ///< how long a batch waits for more once the log is drained
  std::chrono::milliseconds retry_pause{
      500};  ///< after a failure; another reader has the slot, a server is away
  std::chrono::nanoseconds max_age = std::chrono::hours(24 * 7);  ///< how long changes can be replayed
  Snapshots snapshots = Snapshots::when_needed;
  Acknowledge acknowledge = Acknowledge::when_stored;
  /// A snapshot waits so long for open transactions, then the stream goes on and it is tried again.
  std::chrono::milliseconds snapshot_patience{5000}, snapshot_retry{30000};
  std::chrono::milliseconds publication_interval{5000};  ///< between two looks at what it carries
};

/// `copying`: telling a snapshot.
enum class FeedState { connecting, waiting, streaming, copying, stopped };

struct FeedStatistics {
  std::uint64_t changes = 0, batches = 0, transactions = 0, restarts = 0;
  std::uint64_t snapshots = 0, snapshot_rows = 0;  ///< told to the end
  std::uint64_t gaps = 0;                          ///< what the stream can never tell
  BatcherCounts odd;
  std::string alarm;                    ///< the code of what stands in the way now; empty: nothing
  postgres::Lsn confirmed, server_end;  ///< their difference is what PostgreSQL has to keep for us, in bytes
};

/// Owned by one shard; not thread-safe. The JetStream outlives it. Once it has gone, nothing is told any
/// more.
class Feed {
 public:
  /// `tell` hears of states and failures, for logs and metrics: an event's name and a sentence.
  using Tell = std::function<void(std::string_view event, std::string_view detail)>;
  Feed(nats::JetStream& jetstream, FeedOptions options, Tell tell = {});
  ~Feed();

  /// Runs until it is cancelled; starts over by itself after every failure. Fails at once, with
  /// `cdc.unsupported_option`, only where the options cannot be. Several processes may run it for
  /// one slot: PostgreSQL lets one read, the others wait to take over.
  Task<> run();

  FeedState state() const;
  FeedStatistics statistics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::cdc
