// Key-value buckets (ADR-8) on JetStream.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "nats/jetstream.hpp"

namespace intra365::nats {

struct BucketConfig {
  std::string name;
  int history = 1;
  std::chrono::nanoseconds ttl{0};
  std::string storage = "file";
  int replicas = 1;
};

struct Entry {
  std::string key;
  std::string value;
  std::uint64_t revision = 0;
  bool deleted = false;  ///< DEL or PURGE marker
};

class KeyValue {
 public:
  KeyValue(JetStream& jetstream, std::string bucket);
  static Task<> ensure(JetStream& jetstream, const BucketConfig& config);

  Task<std::uint64_t> put(std::string_view key, std::string_view value);
  /// Fails with wrong_revision when the key exists.
  Task<std::uint64_t> create(std::string_view key, std::string_view value);
  Task<std::uint64_t> update(std::string_view key, std::string_view value, std::uint64_t revision);
  Task<> remove(std::string_view key);
  /// From the stream's leader: reads its own writes.
  Task<std::optional<Entry>> get(std::string_view key);
  Task<std::vector<std::string>> keys();

 private:
  JetStream& jetstream_;
  std::string bucket_;
};

/// A bucket mirrored in memory: every key's last value, kept up to date by an ordered consumer that recovers
/// by itself. `ready()` once the initial data is in; `on_change` runs for every entry, initial ones too.
class WatchedBucket {
 public:
  using OnChange = std::function<void(const Entry&)>;
  WatchedBucket(JetStream& jetstream, std::string bucket, OnChange on_change = {});
  ~WatchedBucket();
  /// Starts watching and returns once the initial data is in.
  Task<> start(SteadyTime deadline);
  void stop();
  const Entry* find(std::string_view key) const;
  std::size_t size() const;
  std::uint64_t revision() const;
  bool ready() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::nats
