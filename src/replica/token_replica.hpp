// Feeds a TokenVerifier: signing keys and revocations, pushed and synced from the STS. Whether it may be
// asked is a question of the lease.
#pragma once
#include "contract/operations/auth.hpp"
#include "guard/token.hpp"
#include "replica/replica.hpp"

namespace intra365::replica {

/// Owned by one shard. `tenant` is used for revocations that do not name theirs (an SDK hears only of its
/// own).
class TokenReplica {
 public:
  using CallSync = std::function<Task<auth::SyncReply>(auth::SyncRequest, SteadyTime deadline)>;
  TokenReplica(nats::Connection& connection, TaskGroup& tasks, const Clock& clock,
               guard::TokenVerifier& verifier, TenantId tenant, std::string push_subject, CallSync call_sync);
  Task<> start(SteadyTime deadline) { return replica_.start(deadline); }
  Task<> refresh(SteadyTime deadline) { return replica_.refresh(deadline); }
  bool alive(BootTime now) const { return replica_.alive(now); }
  /// Waits until the lease is there, at most until `deadline` and for kPatience.
  asio::awaitable<void> until_alive(SteadyTime deadline);

  /// Who this is, as TokenVerifier says; `guard.lease_expired` for somebody who may have been revoked
  /// meanwhile. The pointer holds until the next call.
  Result<const guard::Identity*> verify_header(std::string_view authorization);
  Result<const guard::Identity*> verify(std::string_view token);
  /// The same, waiting for the truth where the lease has run out; for what can wait and must not fail
  /// meanwhile, such as a login.
  Task<guard::Identity> verify(std::string token, SteadyTime deadline);
  /// Whatever the lease says: for the questions by which others renew theirs.
  Result<const guard::Identity*> verify_header_without_lease(std::string_view authorization);

 private:
  Result<const guard::Identity*> leased(Result<const guard::Identity*> verified) const;
  Task<> sync(SteadyTime deadline);
  Push on_push(const nats::MessageView& message);
  void apply(const auth::Revocation& revocation);

  const Clock& clock_;
  guard::TokenVerifier& verifier_;
  TenantId tenant_;
  CallSync call_sync_;
  std::uint64_t epoch_ = 0;
  std::string keys_;  ///< JWKS as last seen; keys are parsed again only when it changes
  Replica replica_;
};

}  // namespace intra365::replica
