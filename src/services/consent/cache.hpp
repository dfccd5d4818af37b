// Writes the consents that change to their KV bucket, many at once: a cache for whoever wants to watch them,
// never the truth. Several processes write it: no entry is replaced by an older one, by the Mate's epoch.
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

  /// Queues the record; a newer one of the same consent takes its place. Returns its position in the queue.
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
  struct Value {
    std::string text;
    std::uint64_t epoch = 0;
    bool fresh = false;  ///< nobody can have written it before
  };
  using Values = std::map<std::string, Value>;  ///< by key
  Task<> keep_writing();
  /// Takes out of `values`, which must outlive the call, what was written or is older than what stands there.
  Task<> write(Values& values);
  Task<> put(const std::vector<nats::KeyValue::Pair>& pairs);

  static constexpr std::size_t kMaxWaiting = 50'000;
  static constexpr std::size_t kMaxAtOnce = 500;

  platform::Environment& environment_;
  nats::KeyValue bucket_;
  Values waiting_;
  std::uint64_t queued_ = 0, written_ = 0;
  asio::steady_timer changed_;  ///< cancelled when something was queued
  asio::steady_timer wrote_;    ///< cancelled when something was written
};

}  // namespace intra365::services::consent
