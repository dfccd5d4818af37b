// Reading objects, one or all of them.
#include "crypto/digest.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/object_store.hpp"
#include "nats/object_wire.hpp"

namespace intra365::nats {

struct ObjectReader::State {
  State(JetStream& jetstream, const ObjectInfo& info)
      : timeout(jetstream.timeout()), consumer(jetstream, wire::object_stream(info.bucket), options(info)) {}

  static OrderedOptions options(const ObjectInfo& info) {
    OrderedOptions options;
    options.filter_subjects.push_back(wire::chunk_subject(info.bucket, info.nuid));
    return options;
  }

  static Task<std::optional<Message>> next(std::shared_ptr<State> self, ObjectInfo info) {
    if (self->done) co_return std::optional<Message>();
    if (self->received < info.size) {
      CO_TRY(auto chunk, co_await self->consumer.next(std::chrono::steady_clock::now() + self->timeout));
      // Everything that is there has been read, and it is not everything: replaced or purged meanwhile.
      if (!chunk) co_return fail(errors::corrupt_object, "Chunks are missing; the object was replaced.");
      self->received += chunk->message.payload().size();
      self->digest.add(chunk->message.payload());
      if (self->received <= info.size) co_return std::optional<Message>(std::move(chunk->message));
    }
    self->done = true;
    self->consumer.stop();
    if (self->received != info.size) co_return fail(errors::corrupt_object, "There is more than the size.");
    if (self->digest.finish() != wire::read_digest(info.digest))
      co_return fail(errors::corrupt_object, "The digest differs.");
    co_return std::optional<Message>();
  }

  std::chrono::milliseconds timeout;
  OrderedConsumer consumer;
  crypto::Sha256 digest;
  std::uint64_t received = 0;
  bool done = false;
};

ObjectReader::ObjectReader(JetStream& jetstream, ObjectInfo info)
    : info_(std::move(info)), state_(std::make_shared<State>(jetstream, info_)) {}

Task<std::optional<Message>> ObjectReader::next() {
  return State::next(state_, info_);
}

Task<ObjectInfo> ObjectStore::info(std::string name) {
  if (!wire::is_name(bucket_) || !wire::is_object_name(name)) co_return fail(errors::bad_object);
  const auto stream = wire::object_stream(bucket_);
  const auto subject = wire::meta_subject(bucket_, name);
  CO_TRY(const auto stored, co_await jetstream_.last_stored(stream, subject));
  CO_TRY(auto info, wire::decode_object(stored.message.payload()));
  info.modified = stored.time;
  co_return info;
}

Task<ObjectReader> ObjectStore::get(std::string name) {
  CO_TRY(auto info, co_await this->info(std::move(name)));
  if (info.deleted) co_return fail(errors::not_found, "The object was deleted.");
  if (info.link) {
    if (info.link->name.empty()) co_return fail(errors::bad_object, "This is a link to a whole store.");
    ObjectStore other(jetstream_, info.link->bucket);
    auto target = co_await other.info(info.link->name);
    if (!target) co_return fail(std::move(target).error());
    if (target->deleted) co_return fail(errors::not_found, "The object behind the link was deleted.");
    if (target->link) co_return fail(errors::bad_object, "This is a link to a link.");
    info = std::move(*target);
  }
  if (!wire::is_name(info.bucket) || (info.size != 0 && !wire::is_name(info.nuid)))
    co_return fail(errors::bad_reply);
  co_return ObjectReader(jetstream_, std::move(info));
}

Task<std::string> ObjectStore::get_bytes(std::string name, std::size_t max_bytes) {
  CO_TRY(auto reader, co_await get(std::move(name)));
  if (reader.info().size > max_bytes)
    co_return fail(errors::bad_object, "The object is larger than allowed.");
  std::string value;
  value.reserve(reader.info().size);
  for (;;) {
    CO_TRY(const auto piece, co_await reader.next());
    if (!piece) co_return value;
    value.append(piece->payload());
  }
}

Task<ObjectWatcher> ObjectStore::watch(Watch what) {
  if (!wire::is_name(bucket_)) co_return fail(errors::bad_name);
  OrderedOptions options;
  options.filter_subjects.push_back(wire::meta_subjects(bucket_));
  options.deliver_policy = what == Watch::all ? "last_per_subject" : "new";
  auto consumer =
      std::make_unique<OrderedConsumer>(jetstream_, wire::object_stream(bucket_), std::move(options));
  CO_CHECK(co_await consumer->start());
  co_return ObjectWatcher(std::move(consumer));
}

Task<std::optional<ObjectInfo>> ObjectWatcher::next(SteadyTime deadline) {
  for (;;) {
    CO_TRY(auto delivered, co_await consumer_->next(deadline));
    if (!delivered) co_return std::optional<ObjectInfo>();
    auto info = wire::decode_object(delivered->message.payload());
    if (!info) continue;  // not written by an object store
    info->modified = format_rfc3339(Timestamp(
        std::chrono::duration_cast<Timestamp::duration>(std::chrono::nanoseconds(delivered->timestamp_ns))));
    co_return std::optional<ObjectInfo>(std::move(*info));
  }
}

Task<std::vector<ObjectInfo>> ObjectStore::list() {
  CO_TRY(auto watcher, co_await watch());
  const auto deadline = std::chrono::steady_clock::now() + jetstream_.timeout();
  std::map<std::string, ObjectInfo> objects;
  for (;;) {
    CO_TRY(auto info, co_await watcher.next(deadline));
    if (!info) break;
    auto name = info->meta.name;
    if (info->deleted) {
      objects.erase(name);
    } else {
      objects.insert_or_assign(std::move(name), std::move(*info));
    }
  }
  std::vector<ObjectInfo> list;
  for (auto& [name, info] : objects) list.push_back(std::move(info));
  co_return list;
}

}  // namespace intra365::nats
