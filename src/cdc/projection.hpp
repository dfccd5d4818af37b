// Keeps a key-value bucket as a picture of tables, from the change stream: each row that is wanted has its
// entry, and the bucket is what the tables were after some transaction (one of more than `max_entries` rows
// comes in several batches).
//
//   stream -> whole transactions -> atomic batch (entries + mark) -> bucket
//
// The mark says how far the stream is in the bucket, and stands in the batch behind the sequence it was read
// with: each change is in the bucket once, whoever dies when, and of several processes one writes.
#pragma once
#include <boost/json/object.hpp>
#include <functional>
#include <memory>

#include "cdc/transactions.hpp"
#include "nats/key_value.hpp"

namespace intra365::cdc {

/// A row of the change stream, as `append_json` tells it.
struct ProjectedRow {
  std::string_view table;
  const boost::json::object& key;  ///< the columns of the primary key
  const boost::json::object* row;  ///< null: it was deleted
};

struct ProjectionOptions {
  std::string bucket;
  std::string slot;                 ///< of the feed
  std::vector<std::string> tables;  ///< the row's entry is made from its own columns only
  /// The row's entry; no value: it has none any more. Nothing: it never has one. A pure function.
  std::function<std::optional<nats::KeyValue::Change>(const ProjectedRow&)> entry_of;
  std::string stream = "CHANGES", subject_prefix = "change";
  std::size_t max_entries = 500;  ///< of one batch
  std::size_t max_transaction_bytes = 64u << 20;
  std::chrono::milliseconds retry_pause{500};
  /// After another process has written: how long its mark must stand still before this one goes on.
  std::chrono::milliseconds stand_by{3000};
};

struct ProjectionStatistics {
  std::uint64_t entries = 0, batches = 0;
  std::uint64_t snapshots = 0;  ///< taken to their end
  std::uint64_t gaps = 0;       ///< what the stream had forgotten before it was read
  std::uint64_t sequence = 0;   ///< of the stream: everything up to it is in the bucket
};

/// Owned by one shard; not thread-safe. The JetStream outlives it.
class Projection {
 public:
  /// `tell` hears of failures and gaps: an event's name and a sentence.
  using Tell = std::function<void(std::string_view event, std::string_view detail)>;
  Projection(nats::JetStream& jetstream, ProjectionOptions options, Tell tell = {});
  ~Projection();

  /// Runs until it is cancelled; starts over from the mark after every failure.
  Task<> run();
  const ProjectionStatistics& statistics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::cdc
