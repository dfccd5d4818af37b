// Tenants as NATS accounts: makes them, tells the servers of them, and keeps the rooms for guests.
#pragma once
#include <deque>
#include <string>
#include <unordered_map>

#include "crypto/envelope.hpp"
#include "crypto/nats_jwt.hpp"
#include "platform/environment.hpp"

namespace intra365::services::sts {

/// A tenant's account with the key that signs its users.
struct TenantAccount {
  TenantId tenant;
  std::string account;
  crypto::Nkey signing_key;
};

/// Owned by one shard; not thread-safe.
///
/// Guests: what a guest may read (`_INBOX_guest.>`) would let one guest read another's reply, and the reply
/// is a token. So each guest connection gets an account of its own from a pool: an account that takes one
/// connection at a time has nobody else in it to listen.
class Accounts {
 public:
  Accounts(platform::Environment& environment, const crypto::Envelope& envelope, crypto::Nkey operator_key,
           std::string guest_secret, nats::Connection& system);
  /// Tells the servers of every tenant and of the guest pool.
  Task<> start(SteadyTime deadline);

  /// Makes a tenant, or says that the name is taken. Its account is known to the servers when this returns.
  Task<TenantAccount> create(TenantId tenant, SteadyTime deadline);
  Task<TenantAccount> find(TenantId tenant, SteadyTime deadline);

  /// A room for one guest; free again when its connection ends, or its time is over.
  Result<TenantAccount> admit_guest();

 private:
  struct Room {
    crypto::Nkey account, signing_key;
    SteadyTime free_at{};
  };
  Task<> push(std::string account_jwt, SteadyTime deadline);
  Task<> push_guest_rooms(SteadyTime deadline);
  void on_disconnect(const nats::MessageView& event);

  platform::Environment& environment_;
  const crypto::Envelope& envelope_;
  crypto::Nkey operator_key_;
  std::string guest_secret_;
  nats::Connection& system_;
  std::unordered_map<TenantId, TenantAccount> known_;
  std::vector<Room> rooms_;
  std::size_t next_room_ = 0;
  nats::Subscription disconnects_;
};

}  // namespace intra365::services::sts
