// Object stores (ADR-20): values of any size, cut into chunks, on JetStream.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nats/jetstream.hpp"
#include "nats/jetstream_ordered.hpp"

namespace intra365::nats {

struct ObjectStoreConfig {
  std::string name;
  std::string description;
  std::chrono::nanoseconds ttl{0};        ///< objects older than this vanish; 0: never
  std::optional<std::int64_t> max_bytes;  ///< an operator's to choose where it is not set, as `replicas` is
  std::string storage = "file";           ///< file, memory
  std::optional<int> replicas;
  std::string compression;  ///< empty or none, s2
  Metadata metadata;
};

inline constexpr std::size_t kDefaultChunkBytes = 128u << 10;

/// What the writer of an object says of it.
struct ObjectMeta {
  std::string name;  ///< any text of 1 to 1,024 bytes
  std::string description;
  std::map<std::string, std::vector<std::string>> headers;
  Metadata metadata;
  std::size_t max_chunk_size = kDefaultChunkBytes;
};

/// Where an object stands in for another: of the same or another store. Without a name it is the whole store.
struct ObjectLink {
  std::string bucket, name;
};

struct ObjectInfo {
  ObjectMeta meta;
  std::string bucket;
  std::string nuid;  ///< names the chunks; new for every `put`
  std::uint64_t size = 0, chunks = 0;
  std::string digest;  ///< `SHA-256=<base64url>`
  bool deleted = false;
  std::optional<ObjectLink> link;
  std::string modified;  ///< RFC 3339: when this was stored, which is not part of what is stored
};

/// Reads one object from front to back.
class ObjectReader {
 public:
  ObjectReader() = default;  ///< to be assigned to
  /// Of the object itself, where a link was followed.
  const ObjectInfo& info() const { return info_; }
  /// The next piece of the value, nothing at its end. Fails with object.corrupt when size or digest are not
  /// those of `info`; what was read before must not be used then.
  Task<std::optional<Message>> next();

 private:
  friend class ObjectStore;
  ObjectReader(JetStream& jetstream, ObjectInfo info);
  struct State;
  ObjectInfo info_;
  std::shared_ptr<State> state_;
};

/// Tells of changed objects.
class ObjectWatcher {
 public:
  ObjectWatcher() = default;  ///< to be assigned to
  /// The next object that was put, changed or deleted; nothing, once, when the objects that were there have
  /// been told. Otherwise as OrderedConsumer::next.
  Task<std::optional<ObjectInfo>> next(SteadyTime deadline);
  void stop() { consumer_->stop(); }

 private:
  friend class ObjectStore;
  explicit ObjectWatcher(std::unique_ptr<OrderedConsumer> consumer) : consumer_(std::move(consumer)) {}
  std::unique_ptr<OrderedConsumer> consumer_;
};

/// One object store. Owned by one shard; `jetstream` must outlive it.
class ObjectStore {
 public:
  /// Gives the next piece of a value, of any size; nothing at its end.
  using Source = std::function<Task<std::optional<std::string>>()>;

  ObjectStore(JetStream& jetstream, std::string bucket);
  /// Creates the store, or updates it where its configuration differs.
  static Task<> ensure(JetStream& jetstream, const ObjectStoreConfig& config);
  static Task<> remove_store(JetStream& jetstream, std::string_view bucket);

  /// Stores a value, which replaces an older one of this name once it is there completely: a reader sees the
  /// one or the other. When `source` fails, or storing does, nothing has changed.
  Task<ObjectInfo> put(ObjectMeta meta, Source source);
  Task<ObjectInfo> put(ObjectMeta meta, std::string value);
  /// Fails with jetstream.not_found for an object that is not there, or deleted. Follows a link to an object.
  Task<ObjectReader> get(std::string name);
  /// The whole value; object.malformed when it is larger than `max_bytes`.
  Task<std::string> get_bytes(std::string name, std::size_t max_bytes);
  /// Of links and deleted objects too.
  Task<ObjectInfo> info(std::string name);
  /// Changes name, description, headers and metadata; the value stays. Fails with jetstream.exists where
  /// another object has the new name.
  Task<ObjectInfo> update_meta(std::string name, ObjectMeta meta);
  /// Leaves a marker; the value's bytes go.
  Task<> remove(std::string name);
  /// `name` becomes a link to an object that is neither a link nor deleted. object.malformed otherwise, and
  /// where `name` is an object with a value.
  Task<ObjectInfo> link(std::string name, const ObjectInfo& target);
  /// `name` becomes a link to another store.
  Task<ObjectInfo> link_store(std::string name, std::string_view bucket);
  /// Every object that is not deleted, by name.
  Task<std::vector<ObjectInfo>> list();
  enum class Watch : std::uint8_t { all, changes_only };
  Task<ObjectWatcher> watch(Watch what = Watch::all);
  /// Nothing can be changed any more. For good.
  Task<> seal();
  Task<StreamInfo> status();

 private:
  Task<ObjectInfo> store_info(ObjectInfo info);
  Task<ObjectInfo> write(ObjectMeta meta, Source source);
  Task<> purge_chunks(std::string nuid);

  JetStream& jetstream_;
  std::string bucket_;
};

}  // namespace intra365::nats
