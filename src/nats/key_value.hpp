// Key-value buckets (ADR-8) on JetStream, and a bucket mirrored in memory.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "nats/jetstream.hpp"
#include "nats/jetstream_ordered.hpp"

namespace intra365::nats {

struct BucketConfig {
  std::string name;
  int history = 1;  ///< 1 to 64 values of each key
  /// Values older than this vanish; the server leaves a marker so that watchers see it. 0: never.
  std::chrono::nanoseconds ttl{0};
  std::string storage = "file";
  std::optional<int> replicas;  ///< an operator's to choose where it is not set, as `max_bytes` is

  bool allow_atomic = false;  ///< for `put_all`; API level 2

  std::string description;
  std::optional<std::int64_t> max_bytes;
  std::int64_t max_value_bytes = -1;
  /// ADR-48: allows a time to live for single keys, and how long the marker of an expired one stays: whole
  /// seconds. 0: as `ttl` needs it. With a history longer than 1 no key goes sooner than this.
  std::chrono::nanoseconds limit_marker_ttl{0};
  std::string compression;  ///< empty or none, s2
  std::optional<Placement> placement;
  std::optional<Republish> republish;
  Metadata metadata;
};

/// How an entry came about.
enum class KeyOperation : std::uint8_t { put, remove, purge };

struct Entry {
  std::string key;
  std::string value;
  std::uint64_t revision = 0;
  bool deleted = false;                        ///< DEL or PURGE marker, or an expired value
  KeyOperation operation = KeyOperation::put;  ///< expiry reads as purge
  Timestamp created{};                         ///< when it was stored; not kept by WatchedBucket
};

struct BucketStatus {
  std::uint64_t values = 0, bytes = 0;  ///< with history and markers
  int history = 1, replicas = 1;
  std::chrono::nanoseconds ttl{0}, limit_marker_ttl{0};
  std::string storage, compression;
  Metadata metadata;
};

struct KeyWatchOptions {
  std::vector<std::string> keys;  ///< with wildcards `*` and `>`; empty: all
  bool include_history = false, ignore_deletes = false, headers_only = false, updates_only = false;
  std::uint64_t from_revision = 0;  ///< everything since this revision, history included
};

/// Follows a bucket entry by entry. Owned by one shard; the bucket's `jetstream` must outlive it.
class KeyWatcher {
 public:
  KeyWatcher() = default;  ///< to be assigned to
  /// The next entry; nothing, once, when what was there at the start has been told, for an empty bucket too.
  /// Recovers by itself; otherwise as OrderedConsumer::next.
  Task<std::optional<Entry>> next(SteadyTime deadline);
  void stop() { consumer_->stop(); }

 private:
  friend class KeyValue;
  KeyWatcher(std::unique_ptr<OrderedConsumer> consumer, std::string prefix, bool ignore_deletes)
      : consumer_(std::move(consumer)), prefix_(std::move(prefix)), ignore_deletes_(ignore_deletes) {}
  std::unique_ptr<OrderedConsumer> consumer_;
  std::string prefix_;
  bool ignore_deletes_ = false;
};

/// True for `[A-Za-z0-9/_=.-]{1,512}` without an empty token.
bool is_key(std::string_view text);

/// One bucket, read and written over the network. Keys that are not valid fail with jetstream.bad_name.
class KeyValue {
 public:
  KeyValue(JetStream& jetstream, std::string bucket);
  /// Creates the bucket, or updates it where its configuration differs.
  static Task<> ensure(JetStream& jetstream, const BucketConfig& config);

  /// Returns the revision: the stream's sequence, which grows over all keys of the bucket.
  Task<std::uint64_t> put(std::string_view key, std::string_view value);
  struct Pair {
    std::string key, value;
    std::optional<std::uint64_t> revision = std::nullopt;  ///< must be the key's last one (0: never written)
  };
  /// Up to 1,000 values at once, all or none, for the price of one. Needs `allow_atomic` of the bucket. Fails
  /// with wrong_revision where a key is not at the revision it must have.
  Task<> put_all(std::span<const Pair> values);
  /// A key's new value, or none any more.
  struct Change {
    std::string key;
    std::optional<std::string> value;
  };
  /// Up to 999 changes and a mark behind them, all or none; returns the mark's revision. Fails with
  /// wrong_revision unless `mark_revision` is its last (0: it has never been written): of several writers
  /// that follow the same source, only one goes on. Needs `allow_atomic` of the bucket.
  Task<std::uint64_t> change_all(std::span<const Change> changes, const Pair& mark,
                                 std::uint64_t mark_revision);
  /// Fails with wrong_revision when the key exists. A deleted key may be created again. With `ttl` the value
  /// vanishes after whole seconds (`limit_marker_ttl` of the bucket).
  Task<std::uint64_t> create(std::string_view key, std::string_view value,
                             std::chrono::seconds ttl = std::chrono::seconds(0));
  /// Fails with wrong_revision unless `revision` is the key's last one (0: the key has never been written).
  Task<std::uint64_t> update(std::string_view key, std::string_view value, std::uint64_t revision,
                             std::chrono::seconds ttl = std::chrono::seconds(0));
  /// Leaves a marker; history stays. With a revision it must be the key's last one.
  Task<> remove(std::string_view key, std::optional<std::uint64_t> revision = std::nullopt);
  /// Leaves a marker and deletes the history with it; with `ttl` the marker itself goes after a while.
  Task<> purge(std::string_view key, std::chrono::seconds ttl = std::chrono::seconds(0),
               std::optional<std::uint64_t> revision = std::nullopt);
  /// Purges every key whose last message is a marker older than `age`; returns how many.
  Task<std::size_t> purge_deletes(std::chrono::seconds age);

  /// The leader has every write; any replica or mirror is quicker and may be behind.
  enum class Read : std::uint8_t { leader, any };
  /// Nothing for a key that was deleted or never written.
  Task<std::optional<Entry>> get(std::string_view key, Read from = Read::leader);
  /// The last entries of up to 1,000 keys, markers included, without those never written; from any replica.
  Task<std::vector<Entry>> get_all(std::span<const std::string> keys);
  /// The value that a key had at a revision: also one that has been replaced, as far as history goes. Nothing
  /// where the revision is not one of this key.
  Task<std::optional<Entry>> get_revision(std::string_view key, std::uint64_t revision);
  /// What is left of a key's past, oldest first, markers included.
  Task<std::vector<Entry>> history(std::string_view key);
  /// Every key that has a value and matches one of `filters`, sorted. Meant for tools: it reads the headers
  /// of all of them.
  Task<std::vector<std::string>> keys(std::vector<std::string> filters = {});
  Task<KeyWatcher> watch(KeyWatchOptions options = {});
  Task<BucketStatus> status();

  static Task<> remove_bucket(JetStream& jetstream, std::string_view bucket);
  static Task<std::vector<std::string>> buckets(JetStream& jetstream);

 private:
  std::string subject(std::string_view key) const;
  Task<std::uint64_t> write(std::string_view key, std::string_view value, const HeaderBlock& headers);

  JetStream& jetstream_;
  std::string bucket_;
};

/// A bucket mirrored in memory: every key's last value, kept up to date by an ordered consumer that recovers
/// by itself from lost messages, reconnects, server restarts and a bucket that was deleted and made anew.
/// Owned by one shard; `jetstream` must outlive it, and its executor must run. `on_change` runs on the
/// executor for every entry, initial ones too, after the mirror holds it; it may stop or destroy the bucket.
class WatchedBucket {
 public:
  using OnChange = std::function<void(const Entry&)>;
  WatchedBucket(JetStream& jetstream, std::string bucket, OnChange on_change = {});
  ~WatchedBucket();
  WatchedBucket(const WatchedBucket&) = delete;
  WatchedBucket& operator=(const WatchedBucket&) = delete;

  /// Starts watching and returns once the initial data is in. A bucket that does not exist yet is waited
  /// for. Fails with the last reason at `deadline`, and does not watch then. May be called once.
  Task<> start(SteadyTime deadline);
  void stop();
  /// Waits until everything up to `revision` (what `put` returned) is in the mirror.
  Task<> wait_for(std::uint64_t revision, SteadyTime deadline);

  /// The live value of a key, or null. O(1), no I/O; valid until the executor runs something else.
  const Entry* find(std::string_view key) const;
  /// Keys that have a value.
  std::size_t size() const;
  /// Everything up to this revision is in the mirror; moves when nothing more is pending. Goes back only
  /// when the bucket was made anew.
  std::uint64_t revision() const;
  /// True once the initial data is in; false again while a bucket that was made anew is being loaded.
  bool ready() const;
  /// True while the mirror follows the server: ready, and heartbeats arrive. False within 1.5 seconds of
  /// losing the server; the mirror then answers from what it last knew.
  bool current() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::nats
