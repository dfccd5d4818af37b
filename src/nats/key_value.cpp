// Reading and writing a bucket over the network (ADR-8, ADR-48).
#include "nats/key_value.hpp"

#include <algorithm>

#include "nats/jetstream_wire.hpp"
#include "nats/key_value_wire.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kMaxKeyLength = 512;
constexpr int kMaxHistory = 64;
constexpr std::string_view kExpectedSequence = "Nats-Expected-Last-Subject-Sequence";
/// How long an expiry marker stays: longer than a watcher resumes without reading everything again.
constexpr std::chrono::seconds kMarkerTtl{60};

HeaderBlock expecting(std::optional<std::uint64_t> revision, std::chrono::seconds ttl) {
  HeaderBlock headers;
  if (revision) headers.add(kExpectedSequence, std::to_string(*revision));
  if (ttl.count() > 0) headers.add("Nats-TTL", std::to_string(ttl.count()) + "s");
  return headers;
}

}  // namespace

bool is_key(std::string_view text) {
  if (text.empty() || text.size() > kMaxKeyLength || text.front() == '.' || text.back() == '.') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/_=.-").find(c) != std::string_view::npos;
  });
}

KeyValue::KeyValue(JetStream& jetstream, std::string bucket)
    : jetstream_(jetstream), bucket_(std::move(bucket)) {}

Task<> KeyValue::ensure(JetStream& jetstream, const BucketConfig& config) {
  if (!wire::is_name(config.name) || config.history < 1 || config.history > kMaxHistory)
    co_return fail(errors::bad_name);
  StreamConfig stream;
  stream.name = wire::bucket_stream(config.name);
  stream.subjects.push_back(wire::bucket_prefix(config.name) + ">");
  stream.storage = config.storage;
  stream.discard = "new";
  stream.max_msgs_per_subject = config.history;
  stream.num_replicas = config.replicas;
  stream.allow_rollup_hdrs = true;
  stream.deny_delete = true;
  stream.allow_atomic = config.allow_atomic;
  stream.description = config.description;
  stream.max_bytes = config.max_bytes;
  stream.max_msg_size = config.max_value_bytes;
  stream.compression = config.compression;
  stream.placement = config.placement;
  stream.republish = config.republish;
  stream.metadata = config.metadata;
  stream.max_age = config.ttl;
  if (config.ttl.count() > 0 || config.limit_marker_ttl.count() > 0) {
    stream.allow_msg_ttl = true;
    stream.subject_delete_marker_ttl =
        config.limit_marker_ttl.count() > 0 ? config.limit_marker_ttl : kMarkerTtl;
  }
  CO_CHECK(co_await jetstream.ensure_stream(stream));
  co_return Result<void>();
}

std::string KeyValue::subject(std::string_view key) const {
  return wire::bucket_prefix(bucket_) + std::string(key);
}

Task<std::uint64_t> KeyValue::write(std::string_view key, std::string_view value,
                                    const HeaderBlock& headers) {
  if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
  const auto to = subject(key);
  CO_TRY(const auto ack, co_await jetstream_.publish(to, value, headers));
  co_return ack.sequence;
}

Task<std::uint64_t> KeyValue::put(std::string_view key, std::string_view value) {
  const HeaderBlock no_headers;
  co_return co_await write(key, value, no_headers);
}

Task<> KeyValue::put_all(std::span<const Pair> values) {
  std::vector<Outgoing> messages;
  for (const auto& [key, value, revision] : values) {
    if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
    auto& message = messages.emplace_back();
    message.subject = subject(key);
    message.payload = value;
    message.headers = expecting(revision, {});
  }
  if (messages.empty()) co_return Result<void>{};
  CO_CHECK(co_await jetstream_.publish_batch(messages));
  co_return Result<void>{};
}

Task<std::uint64_t> KeyValue::change_all(std::span<const Change> changes, const Pair& mark,
                                         std::uint64_t mark_revision) {
  std::vector<Outgoing> messages;
  messages.reserve(changes.size() + 1);
  for (const auto& [key, value] : changes) {
    if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
    auto& message = messages.emplace_back();
    message.subject = subject(key);
    message.payload = value.value_or("");
    if (!value) message.headers.add("KV-Operation", "DEL");
  }
  if (!is_key(mark.key)) co_return fail(errors::bad_name);
  auto& last = messages.emplace_back();
  last.subject = subject(mark.key);
  last.payload = mark.value;
  last.headers.add(kExpectedSequence, std::to_string(mark_revision));
  CO_TRY(const auto stored, co_await jetstream_.publish_batch(messages));
  co_return stored.sequence;
}

Task<std::uint64_t> KeyValue::update(std::string_view key, std::string_view value, std::uint64_t revision,
                                     std::chrono::seconds ttl) {
  const auto headers = expecting(revision, ttl);
  co_return co_await write(key, value, headers);
}

Task<std::uint64_t> KeyValue::create(std::string_view key, std::string_view value, std::chrono::seconds ttl) {
  auto first = co_await update(key, value, 0, ttl);
  if (first || !first.error().is(errors::wrong_revision)) co_return first;
  // The key has been written before. Where its last message says that it is gone, it may be made again,
  // and only on top of exactly that message.
  const auto name = subject(key);
  const auto last = co_await jetstream_.last_stored(wire::bucket_stream(bucket_), name);
  if (!last && !last.error().is(errors::not_found)) co_return fail(last.error());
  if (last && !wire::is_deletion(last->message.headers())) co_return first;
  co_return co_await update(key, value, last ? last->sequence : 0, ttl);
}

Task<> KeyValue::remove(std::string_view key, std::optional<std::uint64_t> revision) {
  auto headers = expecting(revision, {});
  headers.add("KV-Operation", "DEL");
  CO_CHECK(co_await write(key, "", headers));
  co_return Result<void>();
}

Task<> KeyValue::purge(std::string_view key, std::chrono::seconds ttl,
                       std::optional<std::uint64_t> revision) {
  auto headers = expecting(revision, ttl);
  headers.add("KV-Operation", "PURGE");
  headers.add("Nats-Rollup", "sub");
  CO_CHECK(co_await write(key, "", headers));
  co_return Result<void>();
}

}  // namespace intra365::nats
