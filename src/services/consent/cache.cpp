#include "services/consent/cache.hpp"

namespace intra365::services::consent {
namespace {

constexpr auto kGather = std::chrono::milliseconds(1);
constexpr auto kRetry = std::chrono::milliseconds(200);

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
  waiting_[key] = text_of(record);
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
    std::vector<nats::KeyValue::Pair> values;
    const bool all = waiting_.size() <= kMaxAtOnce;
    while (!waiting_.empty() && values.size() < kMaxAtOnce) {
      auto node = waiting_.extract(waiting_.begin());
      values.push_back({std::move(node.key()), std::move(node.mapped())});
    }
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

Task<> Cache::write(const std::vector<nats::KeyValue::Pair>& values) {
  if (values.size() > 1) co_return co_await bucket_.put_all(values);
  CO_CHECK(co_await bucket_.put(values.front().key, values.front().value));
  co_return Result<void>{};
}

}  // namespace intra365::services::consent
