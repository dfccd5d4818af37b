// Reading a bucket over the network: single values, histories, listings, watching.
#include <algorithm>
#include <set>

#include "nats/jetstream_wire.hpp"
#include "nats/key_value.hpp"
#include "nats/key_value_wire.hpp"

namespace intra365::nats {
namespace {

Entry entry_of(std::string_view key, const MessageView& message, std::uint64_t revision) {
  Entry entry;
  entry.key = key;
  entry.revision = revision;
  entry.operation = wire::key_operation(message.headers);
  entry.deleted = entry.operation != KeyOperation::put;
  if (!entry.deleted) entry.value = message.payload;
  return entry;
}

Entry entry_of(std::string_view key, const StoredMessage& stored) {
  auto entry = entry_of(key, stored.message.view(), stored.sequence);
  entry.created = parse_rfc3339(stored.time).value_or(Timestamp());
  return entry;
}

/// A key, or a pattern of keys.
bool is_key_filter(std::string_view text) {
  std::string key(text);
  for (auto& c : key) {
    if (c == '*' || c == '>') c = 'x';
  }
  return is_key(key) && is_subscribe_subject(text);
}

}  // namespace

Task<std::optional<Entry>> KeyValue::get(std::string_view key, Read from) {
  if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
  const auto stream = wire::bucket_stream(bucket_);
  Result<StoredMessage> last = fail(errors::not_found);
  if (from == Read::leader) {
    const auto name = subject(key);
    last = co_await jetstream_.last_stored(stream, name);
    // "No message found" and "no such stream" are both 404; only the first means that the key is not there.
    if (!last && !wire::has_err_code(last.error(), wire::kNoMessageFound)) co_return fail(last.error());
  } else {
    DirectQuery query;
    query.last_by_subj = subject(key);
    last = co_await jetstream_.direct_get(stream, query);
    if (!last && !last.error().is(errors::not_found)) co_return fail(last.error());
  }
  if (!last) co_return std::nullopt;
  auto entry = entry_of(key, *last);
  if (entry.deleted) co_return std::nullopt;
  co_return std::optional<Entry>(std::move(entry));
}

Task<std::vector<Entry>> KeyValue::get_all(std::span<const std::string> keys) {
  DirectBatchQuery last;
  for (const auto& key : keys) {
    if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
    last.multi_last.push_back(subject(key));
  }
  std::vector<Entry> entries;
  if (keys.empty()) co_return entries;
  const auto stream = wire::bucket_stream(bucket_);
  CO_TRY(const auto batch, co_await jetstream_.direct_get_batch(stream, last));
  const auto prefix = wire::bucket_prefix(bucket_).size();
  for (const auto& one : batch.messages) {
    if (one.message.subject().size() > prefix)
      entries.push_back(entry_of(one.message.subject().substr(prefix), one));
  }
  co_return entries;
}

Task<std::optional<Entry>> KeyValue::get_revision(std::string_view key, std::uint64_t revision) {
  if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
  const auto stream = wire::bucket_stream(bucket_);
  const auto stored = co_await jetstream_.message(stream, revision);
  if (!stored) {
    if (!wire::has_err_code(stored.error(), wire::kNoMessageFound)) co_return fail(stored.error());
    co_return std::nullopt;
  }
  if (stored->message.subject() != subject(key)) co_return std::nullopt;
  auto entry = entry_of(key, *stored);
  if (entry.deleted) co_return std::nullopt;
  co_return std::optional<Entry>(std::move(entry));
}

Task<KeyWatcher> KeyValue::watch(KeyWatchOptions options) {
  if (!wire::is_name(bucket_)) co_return fail(errors::bad_name);
  const auto prefix = wire::bucket_prefix(bucket_);
  OrderedOptions ordered;
  for (const auto& key : options.keys) {
    if (!is_key_filter(key)) co_return fail(errors::bad_name);
    ordered.filter_subjects.push_back(prefix + key);
  }
  if (options.keys.empty()) ordered.filter_subjects.push_back(prefix + ">");
  ordered.headers_only = options.headers_only;
  ordered.deliver_policy = options.include_history ? "all" : "last_per_subject";
  if (options.updates_only) ordered.deliver_policy = "new";
  if (options.from_revision != 0) {
    ordered.deliver_policy = "by_start_sequence";
    ordered.opt_start_seq = options.from_revision;
  }
  auto consumer =
      std::make_unique<OrderedConsumer>(jetstream_, wire::bucket_stream(bucket_), std::move(ordered));
  CO_CHECK(co_await consumer->start());
  co_return KeyWatcher(std::move(consumer), prefix, options.ignore_deletes);
}

Task<std::optional<Entry>> KeyWatcher::next(SteadyTime deadline) {
  for (;;) {
    CO_TRY(auto delivered, co_await consumer_->next(deadline));
    if (!delivered) co_return std::optional<Entry>();
    const auto subject = delivered->message.subject();
    if (!subject.starts_with(prefix_)) continue;
    auto entry =
        entry_of(subject.substr(prefix_.size()), delivered->message.view(), delivered->stream_sequence);
    if (entry.deleted && ignore_deletes_) continue;
    const std::chrono::nanoseconds stored(delivered->timestamp_ns);
    entry.created = Timestamp(std::chrono::duration_cast<Timestamp::duration>(stored));
    co_return std::optional<Entry>(std::move(entry));
  }
}

Task<std::vector<Entry>> KeyValue::history(std::string_view key) {
  if (!is_key(key)) co_return fail(errors::bad_name);
  KeyWatchOptions options;
  options.keys.emplace_back(key);
  options.include_history = true;
  CO_TRY(auto watcher, co_await watch(std::move(options)));
  const auto deadline = std::chrono::steady_clock::now() + jetstream_.timeout();
  std::vector<Entry> entries;
  for (;;) {
    CO_TRY(auto entry, co_await watcher.next(deadline));
    if (!entry) co_return entries;
    entries.push_back(std::move(*entry));
  }
}

Task<std::vector<std::string>> KeyValue::keys(std::vector<std::string> filters) {
  KeyWatchOptions options;
  options.keys = std::move(filters);
  options.headers_only = true;
  CO_TRY(auto watcher, co_await watch(std::move(options)));
  const auto deadline = std::chrono::steady_clock::now() + jetstream_.timeout();
  std::set<std::string, std::less<>> keys;  // a key that is written while we read comes twice
  for (;;) {
    CO_TRY(auto entry, co_await watcher.next(deadline));
    if (!entry) break;
    if (entry->deleted) {
      keys.erase(entry->key);
    } else {
      keys.insert(std::move(entry->key));
    }
  }
  co_return std::vector<std::string>(keys.begin(), keys.end());
}

Task<std::size_t> KeyValue::purge_deletes(std::chrono::seconds age) {
  KeyWatchOptions options;
  options.headers_only = true;
  CO_TRY(auto watcher, co_await watch(std::move(options)));
  const auto deadline = std::chrono::steady_clock::now() + jetstream_.timeout();
  const auto before = system_clock().now() - age;
  std::vector<Entry> markers;
  for (;;) {
    CO_TRY(auto entry, co_await watcher.next(deadline));
    if (!entry) break;
    if (entry->deleted && entry->created <= before) markers.push_back(std::move(*entry));
  }
  watcher.stop();
  const auto stream = wire::bucket_stream(bucket_);
  for (const auto& marker : markers) {
    // Up to the marker and no further: the key may have been written again meanwhile.
    PurgeOptions purge;
    purge.filter = subject(marker.key);
    purge.seq = marker.revision + 1;
    CO_CHECK(co_await jetstream_.purge(stream, purge));
  }
  co_return markers.size();
}

Task<BucketStatus> KeyValue::status() {
  if (!wire::is_name(bucket_)) co_return fail(errors::bad_name);
  const auto stream = wire::bucket_stream(bucket_);
  CO_TRY(const auto info, co_await jetstream_.stream_info(stream));
  BucketStatus status;
  status.values = info.state.messages;
  status.bytes = info.state.bytes;
  status.history = static_cast<int>(info.config.max_msgs_per_subject);
  status.replicas = info.config.num_replicas.value_or(1);
  status.ttl = info.config.max_age;
  status.limit_marker_ttl = info.config.subject_delete_marker_ttl;
  status.storage = info.config.storage;
  status.compression = info.config.compression;
  status.metadata = info.config.metadata;
  co_return status;
}

Task<> KeyValue::remove_bucket(JetStream& jetstream, std::string_view bucket) {
  if (!wire::is_name(bucket)) co_return fail(errors::bad_name);
  const auto stream = wire::bucket_stream(bucket);
  co_return co_await jetstream.delete_stream(stream);
}

Task<std::vector<std::string>> KeyValue::buckets(JetStream& jetstream) {
  CO_TRY(const auto streams, co_await jetstream.stream_names("$KV.*.>"));
  const std::string prefix = wire::bucket_stream("");
  std::vector<std::string> buckets;
  for (const auto& stream : streams) {
    if (stream.starts_with(prefix)) buckets.push_back(stream.substr(prefix.size()));
  }
  co_return buckets;
}

}  // namespace intra365::nats
