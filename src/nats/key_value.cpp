// Reading and writing a bucket over the network (ADR-8, ADR-48).
#include "nats/key_value.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/ids.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/key_value_wire.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kMaxKeyLength = 512;
constexpr int kMaxHistory = 64;
constexpr std::size_t kKeysPerFetch = 1000;
constexpr std::string_view kExpectedSequence = "Nats-Expected-Last-Subject-Sequence";
/// How long an expiry marker stays: longer than a watcher resumes without reading everything again.
constexpr std::chrono::seconds kMarkerTtl{60};

HeaderBlock expecting(std::uint64_t revision) {
  HeaderBlock headers;
  headers.add(kExpectedSequence, std::to_string(revision));
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
  if (config.ttl.count() > 0) {
    stream.max_age = config.ttl;
    stream.allow_msg_ttl = true;
    stream.subject_delete_marker_ttl = kMarkerTtl;
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

Task<std::uint64_t> KeyValue::update(std::string_view key, std::string_view value, std::uint64_t revision) {
  const auto headers = expecting(revision);
  co_return co_await write(key, value, headers);
}

Task<std::uint64_t> KeyValue::create(std::string_view key, std::string_view value) {
  auto first = co_await update(key, value, 0);
  if (first || !first.error().is(errors::wrong_revision)) co_return first;
  // The key has been written before. Where its last message says that it is gone, it may be made again,
  // and only on top of exactly that message.
  const auto name = subject(key);
  const auto last = co_await jetstream_.last_stored(wire::bucket_stream(bucket_), name);
  if (!last && !last.error().is(errors::not_found)) co_return fail(last.error());
  if (last && !wire::is_deletion(last->message.headers())) co_return first;
  co_return co_await update(key, value, last ? last->sequence : 0);
}

Task<> KeyValue::remove(std::string_view key) {
  HeaderBlock headers;
  headers.add("KV-Operation", "DEL");
  CO_CHECK(co_await write(key, "", headers));
  co_return Result<void>();
}

Task<> KeyValue::purge(std::string_view key) {
  HeaderBlock headers;
  headers.add("KV-Operation", "PURGE");
  headers.add("Nats-Rollup", "sub");
  CO_CHECK(co_await write(key, "", headers));
  co_return Result<void>();
}

Task<std::optional<Entry>> KeyValue::get(std::string_view key) {
  if (!wire::is_name(bucket_) || !is_key(key)) co_return fail(errors::bad_name);
  const auto name = subject(key);
  const auto last = co_await jetstream_.last_stored(wire::bucket_stream(bucket_), name);
  if (!last) {
    // "No message found" and "no such stream" are both 404; only the first means that the key is not there.
    if (!wire::has_err_code(last.error(), wire::kNoMessageFound)) co_return fail(last.error());
    co_return std::nullopt;
  }
  if (wire::is_deletion(last->message.headers())) co_return std::nullopt;
  Entry entry;
  entry.key = key;
  entry.value = last->message.payload();
  entry.revision = last->sequence;
  co_return std::optional<Entry>(std::move(entry));
}

Task<std::vector<std::string>> KeyValue::keys() {
  if (!wire::is_name(bucket_)) co_return fail(errors::bad_name);
  const auto stream = wire::bucket_stream(bucket_);
  const auto prefix = wire::bucket_prefix(bucket_);
  const auto consumer = "keys-" + random_token(16);

  namespace json = boost::json;
  json::object config;
  config["name"] = consumer;
  config["deliver_policy"] = "last_per_subject";
  config["filter_subject"] = prefix + ">";
  config["ack_policy"] = "none";
  config["headers_only"] = true;
  config["mem_storage"] = true;
  config["num_replicas"] = 1;
  config["inactive_threshold"] = std::int64_t{std::chrono::nanoseconds(std::chrono::seconds(30)).count()};
  json::object request;
  request["stream_name"] = stream;
  request["config"] = std::move(config);
  const auto until = std::chrono::steady_clock::now() + jetstream_.timeout();
  CO_TRY(const auto made,
         co_await wire::call(jetstream_.connection(), "CONSUMER.CREATE." + stream + "." + consumer,
                             json::serialize(request), until));

  std::set<std::string, std::less<>> keys;  // a key that is written while we read comes twice
  Result<void> outcome;
  for (auto pending = wire::number(made, "num_pending"); pending > 0 && outcome;) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(pending, kKeysPerFetch));
    const auto batch = co_await jetstream_.fetch(stream, consumer, want, jetstream_.timeout());
    if (!batch) {
      outcome = fail(batch.error());
    } else if (batch->empty()) {
      pending = 0;  // what was pending has been replaced or deleted meanwhile
    } else {
      for (const auto& delivered : *batch) {
        const auto subject = delivered.message.subject();
        if (!subject.starts_with(prefix)) continue;
        std::string key(subject.substr(prefix.size()));
        if (wire::is_deletion(delivered.message.headers())) {
          keys.erase(key);
        } else {
          keys.insert(std::move(key));
        }
      }
      pending = batch->back().pending;
    }
  }
  (void)co_await jetstream_.delete_consumer(stream, consumer);
  CO_CHECK(outcome);
  co_return std::vector<std::string>(keys.begin(), keys.end());
}

}  // namespace intra365::nats
