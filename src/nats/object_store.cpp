// Writing and managing objects; reading them is in object_reader.cpp.
#include "nats/object_store.hpp"

#include <algorithm>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "crypto/digest.hpp"
#include "nats/jetstream_publisher.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/object_wire.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kNuidChars = 22;
/// What a put may have under way: enough to hide the round trip, little enough to bound memory.
constexpr std::size_t kMaxBytesInFlight = 4u << 20;

/// A source that gives one piece.
ObjectStore::Source once(std::string value) {
  auto rest = std::make_shared<std::optional<std::string>>(std::move(value));
  return [rest]() -> Task<std::optional<std::string>> {
    return [](std::shared_ptr<std::optional<std::string>> rest) -> Task<std::optional<std::string>> {
      co_return std::exchange(*rest, std::nullopt);
    }(rest);
  };
}

/// Cuts what a source gives into chunks and publishes them.
class ChunkWriter {
 public:
  ChunkWriter(JetStream& jetstream, std::string subject, std::size_t chunk_size)
      : publisher_(jetstream, {std::max<std::size_t>(kMaxBytesInFlight / chunk_size, 2)}),
        subject_(std::move(subject)),
        chunk_size_(chunk_size) {}

  Task<> add(std::string_view piece) {
    size += piece.size();
    digest.add(piece);
    while (!piece.empty()) {
      // Whole chunks leave straight from the piece; only ends are gathered.
      const auto count = std::min(piece.size(), chunk_size_ - pending_.size());
      if (pending_.empty() && count == chunk_size_) {
        CO_CHECK(co_await send(piece.substr(0, count)));
      } else {
        pending_.append(piece.substr(0, count));
        if (pending_.size() == chunk_size_) CO_CHECK(co_await flush());
      }
      piece.remove_prefix(count);
    }
    co_return Result<void>();
  }
  Task<> finish(SteadyTime deadline) {
    if (!pending_.empty()) CO_CHECK(co_await flush());
    co_return co_await publisher_.drain(deadline);
  }

  /// Waits for what is under way, so that a purge after it leaves nothing behind.
  Task<> settle(SteadyTime deadline) { return publisher_.drain(deadline); }

  std::uint64_t size = 0, chunks = 0;
  crypto::Sha256 digest;

 private:
  Task<> flush() {
    CO_CHECK(co_await send(pending_));
    pending_.clear();
    co_return Result<void>();
  }
  Task<> send(std::string_view chunk) {
    if (publisher_.failed() != 0) co_return co_await publisher_.drain(SteadyTime::min());
    const HeaderBlock no_headers;
    CO_CHECK(co_await publisher_.publish(subject_, chunk, no_headers));
    ++chunks;
    co_return Result<void>();
  }

  AsyncPublisher publisher_;
  std::string subject_, pending_;
  std::size_t chunk_size_;
};

}  // namespace

ObjectStore::ObjectStore(JetStream& jetstream, std::string bucket)
    : jetstream_(jetstream), bucket_(std::move(bucket)) {}

Task<> ObjectStore::ensure(JetStream& jetstream, const ObjectStoreConfig& config) {
  if (!wire::is_name(config.name)) co_return fail(errors::bad_name);
  StreamConfig stream;
  stream.name = wire::object_stream(config.name);
  stream.description = config.description;
  stream.subjects.push_back(wire::chunk_subject(config.name, ">"));
  stream.subjects.push_back(wire::meta_subjects(config.name));
  stream.storage = config.storage;
  stream.discard = "new";
  stream.max_age = config.ttl;
  stream.max_bytes = config.max_bytes;
  stream.num_replicas = config.replicas;
  stream.compression = config.compression;
  stream.metadata = config.metadata;
  stream.allow_rollup_hdrs = true;
  CO_CHECK(co_await jetstream.ensure_stream(stream));
  co_return Result<void>();
}

Task<> ObjectStore::remove_store(JetStream& jetstream, std::string_view bucket) {
  if (!wire::is_name(bucket)) co_return fail(errors::bad_name);
  const auto stream = wire::object_stream(bucket);
  co_return co_await jetstream.delete_stream(stream);
}

Task<ObjectInfo> ObjectStore::put(ObjectMeta meta, std::string value) {
  return write(std::move(meta), once(std::move(value)));
}

Task<ObjectInfo> ObjectStore::put(ObjectMeta meta, Source source) {
  return write(std::move(meta), std::move(source));
}

Task<ObjectInfo> ObjectStore::write(ObjectMeta meta, Source source) {
  constexpr std::size_t kLeastChunkBytes = 1;
  if (!wire::is_object_name(meta.name) || meta.max_chunk_size < kLeastChunkBytes ||
      meta.max_chunk_size > jetstream_.connection().server().max_payload)
    co_return fail(errors::bad_object);
  auto before = co_await info(meta.name);
  if (!before && !before.error().is(errors::not_found)) co_return fail(std::move(before).error());

  const auto nuid = random_token(kNuidChars);
  ChunkWriter writer(jetstream_, wire::chunk_subject(bucket_, nuid), meta.max_chunk_size);
  Result<void> outcome;
  for (;;) {
    auto piece = co_await source();
    if (!piece) outcome = fail(std::move(piece).error());
    if (!outcome || !*piece) break;
    outcome = co_await writer.add(**piece);
    if (!outcome) break;
  }
  if (outcome) outcome = co_await writer.finish(std::chrono::steady_clock::now() + jetstream_.timeout());

  ObjectInfo info;
  info.meta = std::move(meta);
  info.nuid = nuid;
  info.size = writer.size;
  info.chunks = writer.chunks;
  info.digest = wire::object_digest(writer.digest.finish());
  Result<ObjectInfo> stored = fail(errors::bad_object);
  if (outcome) stored = co_await store_info(std::move(info));
  if (!outcome || !stored) {
    (void)co_await writer.settle(std::chrono::steady_clock::now() + jetstream_.timeout());
    (void)co_await purge_chunks(nuid);
    if (!outcome) co_return fail(std::move(outcome).error());
    co_return stored;
  }
  if (before && !before->nuid.empty() && before->nuid != nuid) CO_CHECK(co_await purge_chunks(before->nuid));
  co_return stored;
}

Task<ObjectInfo> ObjectStore::store_info(ObjectInfo info) {
  if (!wire::is_name(bucket_)) co_return fail(errors::bad_name);
  info.bucket = bucket_;
  HeaderBlock headers;
  headers.add("Nats-Rollup", "sub");
  const auto subject = wire::meta_subject(bucket_, info.meta.name);
  const auto body = wire::encode_object(info);
  CO_CHECK(co_await jetstream_.publish(subject, body, headers));
  info.modified = format_rfc3339(system_clock().now());
  co_return info;
}

Task<> ObjectStore::purge_chunks(std::string nuid) {
  const auto stream = wire::object_stream(bucket_);
  const auto chunks = wire::chunk_subject(bucket_, nuid);
  co_return co_await jetstream_.purge_stream(stream, chunks);
}

Task<ObjectInfo> ObjectStore::update_meta(std::string name, ObjectMeta meta) {
  if (!wire::is_object_name(meta.name)) co_return fail(errors::bad_object);
  CO_TRY(auto info, co_await this->info(name));
  if (info.deleted) co_return fail(errors::not_found, "The object was deleted.");
  const bool renamed = meta.name != name;
  if (renamed) {
    const auto other = co_await this->info(meta.name);
    if (other && !other->deleted) co_return fail(errors::exists, "There is an object of the new name.");
    if (!other && !other.error().is(errors::not_found)) co_return fail(other.error());
  }
  meta.max_chunk_size = info.meta.max_chunk_size;
  info.meta = std::move(meta);
  CO_TRY(auto stored, co_await store_info(std::move(info)));
  if (renamed) {
    const auto stream = wire::object_stream(bucket_);
    const auto old = wire::meta_subject(bucket_, name);
    CO_CHECK(co_await jetstream_.purge_stream(stream, old));
  }
  co_return stored;
}

Task<> ObjectStore::remove(std::string name) {
  CO_TRY(auto info, co_await this->info(name));
  if (info.deleted) co_return fail(errors::not_found, "The object was deleted.");
  const auto nuid = info.nuid;
  info.deleted = true;
  info.size = info.chunks = 0;
  info.digest.clear();
  CO_CHECK(co_await store_info(std::move(info)));
  if (nuid.empty()) co_return Result<void>();
  co_return co_await purge_chunks(nuid);
}

Task<ObjectInfo> ObjectStore::link(std::string name, const ObjectInfo& target) {
  if (!wire::is_object_name(name) || target.link || target.deleted || target.bucket.empty())
    co_return fail(errors::bad_object);
  ObjectInfo info;
  info.link.emplace();
  info.link->bucket = target.bucket;
  info.link->name = target.meta.name;
  info.meta.name = name;
  info.nuid = random_token(kNuidChars);
  const auto before = co_await this->info(name);
  if (before && !before->deleted && !before->link) co_return fail(errors::bad_object);
  if (!before && !before.error().is(errors::not_found)) co_return fail(before.error());
  co_return co_await store_info(std::move(info));
}

Task<ObjectInfo> ObjectStore::link_store(std::string name, std::string_view bucket) {
  if (!wire::is_object_name(name) || !wire::is_name(bucket)) co_return fail(errors::bad_object);
  ObjectInfo info;
  info.link.emplace();
  info.link->bucket = bucket;
  info.meta.name = name;
  info.nuid = random_token(kNuidChars);
  const auto before = co_await this->info(name);
  if (before && !before->deleted && !before->link) co_return fail(errors::bad_object);
  if (!before && !before.error().is(errors::not_found)) co_return fail(before.error());
  co_return co_await store_info(std::move(info));
}

Task<> ObjectStore::seal() {
  const auto stream = wire::object_stream(bucket_);
  co_return co_await jetstream_.seal_stream(stream);
}

Task<StreamInfo> ObjectStore::status() {
  const auto stream = wire::object_stream(bucket_);
  co_return co_await jetstream_.stream_info(stream);
}

}  // namespace intra365::nats
