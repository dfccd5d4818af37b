// Key-value buckets (ADR-8) on JetStream, and a bucket mirrored in memory.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nats/jetstream.hpp"

namespace intra365::nats {

struct BucketConfig {
  std::string name;
  int history = 1;  ///< 1 to 64 values of each key
  /// Values older than this vanish; the server leaves a marker so that watchers see it. 0: never.
  std::chrono::nanoseconds ttl{0};
  std::string storage = "file";
  int replicas = 1;
};

struct Entry {
  std::string key;
  std::string value;
  std::uint64_t revision = 0;
  bool deleted = false;  ///< DEL or PURGE marker, or an expired value
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
  /// Fails with wrong_revision when the key exists. A deleted key may be created again.
  Task<std::uint64_t> create(std::string_view key, std::string_view value);
  /// Fails with wrong_revision unless `revision` is the key's last one (0: the key has never been written).
  Task<std::uint64_t> update(std::string_view key, std::string_view value, std::uint64_t revision);
  /// Leaves a marker; history stays.
  Task<> remove(std::string_view key);
  /// Leaves a marker and deletes the history with it.
  Task<> purge(std::string_view key);
  /// From the stream's leader: reads its own writes. Nothing for a key that was deleted or never written.
  Task<std::optional<Entry>> get(std::string_view key);
  /// Every key that has a value, sorted. Meant for tools: it reads the whole bucket's headers.
  Task<std::vector<std::string>> keys();

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
