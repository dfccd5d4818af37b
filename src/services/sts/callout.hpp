// The auth callout: nats-server asks who a new connection is, and gets a user JWT that says what it may do.
#pragma once
#include "nats/connection.hpp"
#include "platform/environment.hpp"
#include "services/sts/accounts.hpp"
#include "services/sts/store.hpp"

namespace intra365::services::sts {

/// Owned by one shard; not thread-safe. Answers from the only connection in the AUTH account.
class Callout {
 public:
  Callout(platform::Environment& environment, Store& store, Accounts& accounts, nats::Connection& auth,
          crypto::Nkey auth_account, crypto::Xkey xkey);
  Task<> start();
  void stop();

 private:
  Task<> answer(nats::Message request);
  /// The user JWT for a connection, or why there is none.
  Task<std::string> decide(crypto::AuthorizationRequest request, SteadyTime deadline);
  Task<Principal> authenticate(crypto::AuthorizationRequest request, SteadyTime deadline);
  void audit(const crypto::AuthorizationRequest& request, const Principal* principal, const Error* error);

  platform::Environment& environment_;
  Store& store_;
  Accounts& accounts_;
  nats::Connection& auth_;
  crypto::Nkey auth_account_;
  crypto::Xkey xkey_;
  nats::Subscription subscription_;
};

}  // namespace intra365::services::sts
