// Makes tokens dead everywhere: the record, the cache, the push to every enforcement point, and the sockets.
#pragma once
#include "nats/key_value.hpp"
#include "platform/environment.hpp"
#include "services/sts/store.hpp"

namespace intra365::services::sts {

/// Owned by one shard; not thread-safe.
class Revocations {
 public:
  /// `system` is a connection of the SYS account: it can see and close every client's connection.
  Revocations(platform::Environment& environment, Store& store, nats::Connection& system);
  Task<> start(SteadyTime deadline);

  Task<auth::RevokeReply> revoke_token(TenantId tenant, std::string jti, std::string actor,
                                       SteadyTime deadline);
  /// `subject` is `mate:<id>`, `user:<id>` or `key:<id>`; connections of `principal` are closed.
  Task<auth::RevokeReply> revoke_subject(TenantId tenant, std::string subject, std::string principal,
                                         std::string actor, SteadyTime deadline);
  /// Returns how many.
  Task<std::uint64_t> close_connections(TenantId tenant, std::string principal, SteadyTime deadline);

 private:
  Task<WrittenRevocation> spread(auth::Revocation revocation, std::string actor, SteadyTime deadline);

  platform::Environment& environment_;
  Store& store_;
  nats::Connection& system_;
  nats::KeyValue revoked_;
};

}  // namespace intra365::services::sts
