// Carries erasures out, sweep by sweep, until nothing names the person any more. Every step may be repeated,
// so a crash at any moment is only a pause.
#pragma once
#include "platform/attestor.hpp"
#include "services/privacy/store.hpp"

namespace intra365::services::privacy {

/// Owned by one shard; not thread-safe.
class Erasure {
 public:
  Erasure(platform::Environment& environment, Store& store, const platform::Attestor& attestor)
      : environment_(environment),
        store_(store),
        attestor_(attestor),
        services_(environment.nats, "privacy") {}

  /// Durable when it returns; the work goes on in the background.
  Task<Progress> begin(TenantId tenant, UserId user, Timestamp due_at, SteadyTime deadline);
  /// Sweeps what is due, for as long as the service lives.
  Task<> run();

 private:
  Task<> sweep(Claimed erasure);
  /// Consents end, so that every Mate hears of it; credentials end, so that nothing new comes.
  Task<> shut_out(const Claimed& erasure, UserId user, SteadyTime deadline);
  /// Deletes messages that name the person from every stream and bucket; returns how many.
  Task<std::int64_t> sweep_streams(const Person& person);
  Task<std::int64_t> sweep_stream(const Person& person, std::string stream);

  platform::Environment& environment_;
  Store& store_;
  const platform::Attestor& attestor_;
  platform::ServiceClient services_;
};

}  // namespace intra365::services::privacy
