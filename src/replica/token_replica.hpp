// Feeds a TokenVerifier: signing keys and revocations, pushed and synced from the STS.
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
  bool alive(SteadyTime now) const { return replica_.alive(now); }

 private:
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
