#include "replica/token_replica.hpp"

#include <boost/json/serialize.hpp>

#include "contract/errors.hpp"

namespace intra365::replica {

TokenReplica::TokenReplica(nats::Connection& connection, TaskGroup& tasks, const Clock& clock,
                           guard::TokenVerifier& verifier, TenantId tenant, std::string push_subject,
                           CallSync call_sync)
    : clock_(clock),
      verifier_(verifier),
      tenant_(std::move(tenant)),
      call_sync_(std::move(call_sync)),
      replica_(connection, tasks,
               {"tokens", std::move(push_subject), [this](SteadyTime deadline) { return sync(deadline); },
                [this](const nats::MessageView& message) { return on_push(message); }}) {}

Result<const guard::Identity*> TokenReplica::leased(Result<const guard::Identity*> verified) const {
  // What is known to be over is over, however old the news; only a yes needs the lease.
  if (verified && !alive(clock_.boot_now())) return fail(errors::lease_expired);
  return verified;
}

Result<const guard::Identity*> TokenReplica::verify_header(std::string_view authorization) {
  return leased(verifier_.verify_header(authorization));
}

Result<const guard::Identity*> TokenReplica::verify(std::string_view token) {
  return leased(verifier_.verify(token));
}

Result<const guard::Identity*> TokenReplica::verify_header_without_lease(std::string_view authorization) {
  return verifier_.verify_header(authorization);
}

asio::awaitable<void> TokenReplica::until_alive(SteadyTime deadline) {
  if (!alive(clock_.boot_now()))
    co_await replica_.until_alive(std::min(deadline, std::chrono::steady_clock::now() + kPatience));
}

Task<guard::Identity> TokenReplica::verify(std::string token, SteadyTime deadline) {
  if (!alive(clock_.boot_now())) co_await replica_.until_alive(deadline);
  CO_TRY(const auto* identity, verify(std::string_view(token)));
  co_return *identity;
}

Task<> TokenReplica::sync(SteadyTime deadline) {
  auth::SyncRequest request;
  request.epoch = epoch_;
  CO_TRY(const auto reply, co_await call_sync_(request, deadline));
  if (auto keys = boost::json::serialize(reply.keys); keys != keys_) {
    CO_TRY(auto parsed, crypto::KeySet::parse(reply.keys));
    verifier_.set_keys(std::move(parsed), reply.issuer);
    keys_ = std::move(keys);
  }
  if (reply.server_time) verifier_.issuer_clock().hear(*reply.server_time, clock_.boot_now());
  for (const auto& revocation : reply.revocations) apply(revocation);
  epoch_ = std::max(epoch_, reply.epoch);
  verifier_.revocations().prune(clock_.boot_now());
  co_return Result<void>{};
}

Push TokenReplica::on_push(const nats::MessageView& message) {
  const auto push = json::decode<auth::RevocationPush>(message.payload, json::Unknown::ignore);
  if (!push) return Push::gap;
  // Applied even out of order: a revocation is never taken back, so early is better than late.
  apply(push->revocation);
  if (push->epoch <= epoch_) return Push::old;
  if (push->previous_epoch > epoch_) return Push::gap;
  epoch_ = push->epoch;
  return Push::applied;
}

void TokenReplica::apply(const auth::Revocation& revocation) {
  verifier_.revocations().add(revocation.tenant.value_or(tenant_), revocation, clock_.boot_now());
}

}  // namespace intra365::replica
