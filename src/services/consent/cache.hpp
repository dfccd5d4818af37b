// Writes the consents that change to their KV bucket, many at once: a cache for whoever wants to watch them,
// never the truth.
#pragma once
#include <map>

#include "contract/operations/consent.hpp"
#include "nats/key_value.hpp"
#include "platform/environment.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks.
class Cache {
 public:
  explicit Cache(platform::Environment& environment);
  /// Makes the bucket where it is missing.
  Task<> start();

  /// Queues the record; a newer one of the same consent takes its place.
  std::uint64_t put(const TenantId& tenant, const intra365::consent::Consent& record);
  /// What stands in the bucket, and where.
  static std::string text_of(const intra365::consent::Consent& record);
  static std::string key_of(const TenantId& tenant, const ConsentId& consent);
  static constexpr std::string_view bucket = "consents";
  /// Makes the bucket where it is missing.
  Task<> make_bucket();

  /// Waits until what was queued up to a position is in the bucket; false when it is not by then.
  Task<bool> written(std::uint64_t position, SteadyTime deadline);

 private:
  Task<> keep_writing();
  Task<> write(const std::vector<nats::KeyValue::Pair>& values);

  static constexpr std::size_t kMaxWaiting = 50'000;
  static constexpr std::size_t kMaxAtOnce = 500;

  platform::Environment& environment_;
  nats::KeyValue bucket_;
  std::map<std::string, std::string> waiting_;  ///< by key
  std::uint64_t queued_ = 0, written_ = 0;
  asio::steady_timer changed_;  ///< cancelled when something was queued
  asio::steady_timer wrote_;    ///< cancelled when something was written
};

}  // namespace intra365::services::consent
