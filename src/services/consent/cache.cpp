#include "services/consent/cache.hpp"

#include <unordered_map>

namespace intra365::services::consent {
namespace {

constexpr auto kGather = std::chrono::milliseconds(1);
constexpr auto kRetry = std::chrono::milliseconds(200);
constexpr int kMostTries = 10;

/// What an entry says of its age.
struct Age {
  std::uint64_t mate_epoch = 0;
};
BOOST_DESCRIBE_STRUCT(Age, (), (mate_epoch))

/// What says nothing is older than everything.
std::uint64_t epoch_of(const nats::Entry& entry) {
  const auto age = json::decode<Age>(entry.value, json::Unknown::ignore);
  return age && !entry.deleted ? age->mate_epoch : 0;
}

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

asio::awaitable<void> wait(asio::steady_timer& timer) {
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace

Cache::Cache(platform::Environment& environment)
    : environment_(environment),
      bucket_(environment.jetstream, std::string(bucket)),
      changed_(environment.executor, SteadyTime::max()),
      wrote_(environment.executor, SteadyTime::max()) {}

Task<> Cache::start() {
  CO_CHECK(co_await make_bucket());
  co_return environment_.tasks.spawn(keep_writing());
}

Task<> Cache::make_bucket() {
  nats::BucketConfig config;
  config.name = bucket;
  config.allow_atomic = true;
  config.description = "Consents as they stand now: a cache, PostgreSQL is the truth";
  co_return co_await nats::KeyValue::ensure(environment_.jetstream, config);
}

std::string Cache::text_of(const intra365::consent::Consent& record) {
  auto slim = record;
  slim.metadata = nullptr;  // evidence is not for caches
  slim.members.reset();     // nor is who lives with whom
  return json::encode(slim);
}

std::string Cache::key_of(const TenantId& tenant, const ConsentId& consent) {
  return tenant.str() + "." + consent.str();
}

std::uint64_t Cache::put(const TenantId& tenant, const intra365::consent::Consent& record) {
  const auto key = key_of(tenant, record.consent_id);
  // Too far behind to catch up with: reconciling with the truth makes it good.
  if (waiting_.size() >= kMaxWaiting && !waiting_.contains(key)) return queued_ + 1;
  auto& waiting = waiting_[key];
  if (record.mate_epoch >= waiting.epoch) {
    waiting.text = text_of(record);
    waiting.epoch = record.mate_epoch;
    waiting.fresh = record.revision == 1 && !record.parent_id && !record.members;
  }
  changed_.cancel();
  return ++queued_;
}

Task<bool> Cache::written(std::uint64_t position, SteadyTime deadline) {
  while (written_ < position) {
    if (now() >= deadline) co_return false;
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer limit(environment_.executor, deadline);
    boost::system::error_code ignored;
    co_await (limit.async_wait(asio::redirect_error(asio::use_awaitable, ignored)) || wait(wrote_));
  }
  co_return true;
}

Task<> Cache::keep_writing() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    if (waiting_.empty()) {
      co_await wait(changed_);
      continue;
    }
    if (waiting_.size() < kMaxAtOnce) co_await sleep_for(kGather);
    const auto position = queued_;
    Values values;
    const bool all = waiting_.size() <= kMaxAtOnce;
    while (!waiting_.empty() && values.size() < kMaxAtOnce) values.insert(waiting_.extract(waiting_.begin()));
    while (cancelled.cancelled() == asio::cancellation_type::none && !(co_await contain(write(values)))) {
      environment_.telemetry.log.write(
          platform::LogLevel::warning, "the consent cache is behind",
          {{"waiting", static_cast<std::int64_t>(waiting_.size() + values.size())}});
      co_await sleep_for(kRetry);
      co_await contain(make_bucket());  // perhaps somebody deleted it
    }
    if (all) written_ = position;
    wrote_.cancel();
  }
  co_return Result<void>{};
}

Task<> Cache::write(Values& values) {
  Result<void> written;
  for (int n = 0; n < kMostTries && !values.empty(); ++n) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : values) {
      if (!value.fresh) keys.push_back(key);
    }
    CO_TRY(const auto entries, co_await bucket_.get_all(keys));
    std::unordered_map<std::string_view, std::uint64_t> revisions;
    for (const auto& entry : entries) {
      const auto& value = values.at(entry.key);
      const auto epoch = epoch_of(entry);
      // Another process was faster. Of the same epoch may be what only says it otherwise, as under a
      // pseudonym.
      if (epoch > value.epoch || (epoch == value.epoch && entry.value == value.text))
        values.erase(entry.key);
      else
        revisions[entry.key] = entry.revision;
    }
    if (values.empty()) break;
    std::vector<nats::KeyValue::Pair> pairs;
    for (const auto& [key, value] : values) pairs.push_back({key, value.text, revisions[key]});
    written = co_await put(pairs);
    if (written) values.clear();
    if (!written && !written.error().is(nats::errors::wrong_revision)) break;
    for (auto& [key, value] : values) value.fresh = false;
  }
  if (values.empty()) co_return Result<void>{};
  co_return written;
}

Task<> Cache::put(const std::vector<nats::KeyValue::Pair>& pairs) {
  if (pairs.size() > 1) co_return co_await bucket_.put_all(pairs);
  const auto& only = pairs.front();
  CO_CHECK(co_await bucket_.update(only.key, only.value, only.revision.value_or(0)));
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
