// Works on the rows of the change stream: those of one key in their order, those of different keys at the
// same time. A row that cannot be handled is set aside, and with it everything of its key that follows, in
// order, until somebody has mended the reason; all other keys go on.
//
// At least once: after a crash the rows since the last place are handled again, from each key's first one on.
// Of several processes one works; another takes over when its place stands still.
#pragma once
#include <boost/json/object.hpp>
#include <functional>
#include <memory>

#include "cdc/keyed_order.hpp"
#include "cdc/transactions.hpp"
#include "nats/key_value.hpp"

namespace intra365::cdc {

struct KeyedChange {
  std::string
      operation;  ///< insert, update, delete, read, truncate; gap, snapshot.begin, snapshot.end (marks.hpp)
  std::string subject;
  std::uint64_t sequence = 0;  ///< in the stream
  boost::json::object told;    ///< as `append_json` tells it
};

struct KeyedOptions {
  /// A token. Its place is kept in the bucket `cdc_places`, what it sets aside in the stream `ASIDE_<name>`.
  std::string name;
  std::string slot;  ///< of the feed
  std::vector<std::string> tables;
  std::string
      from_time;  ///< RFC 3339: where a consumer without a place begins; empty: at the stream's beginning
  std::string stream = "CHANGES", subject_prefix = "change";
  std::size_t parallel = 16;                   ///< keys that are worked on at once
  std::size_t most_in_hand = 2048;             ///< rows that are read and not done with
  int attempts = 5;                            ///< then a row is set aside
  std::chrono::milliseconds retry_pause{100};  ///< doubled with each attempt
  std::chrono::milliseconds place_interval{500}, stand_by{3000};
};

struct KeyedStatistics {
  std::uint64_t handled = 0, retried = 0, set_aside = 0, released = 0;
  std::uint64_t settled = 0;  ///< sequence of the stream: everything up to it is done with
};

/// A row that waits for somebody to mend the reason.
struct Aside {
  std::string key;           ///< a token that names it, for `release`
  std::string code, detail;  ///< why the first of its key could not be handled
  std::uint64_t changes = 0;
};

/// Owned by one shard; not thread-safe. The JetStream outlives it.
class KeyedConsumer {
 public:
  /// Handles one row; an error means that it is tried again. What concerns every key (`truncate` and the
  /// marks) comes alone: everything before it is done with, nothing behind it has begun, and it is never set
  /// aside.
  using Handler = std::function<Task<>(KeyedChange change)>;
  using Tell = std::function<void(std::string_view event, std::string_view detail)>;
  KeyedConsumer(nats::JetStream& jetstream, KeyedOptions options, Handler handler, Tell tell = {});
  ~KeyedConsumer();

  /// Runs until it is cancelled; starts over from its place after every failure.
  Task<> run();
  /// What is set aside now.
  Task<std::vector<Aside>> aside();
  /// Tries what is set aside of a key again, in its order, and goes on with it. While `run` runs.
  void release(std::string key);
  const KeyedStatistics& statistics() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::cdc
