// The Security & Token Service's operations: tokens, principals, keys, tenants.
#pragma once
#include <optional>
#include <unordered_map>

#include "platform/keyring.hpp"
#include "platform/service.hpp"
#include "platform/vault.hpp"
#include "services/sts/accounts.hpp"
#include "services/sts/callout.hpp"
#include "services/sts/revocations.hpp"
#include "services/sts/store.hpp"

namespace intra365::services::sts {

/// Owned by one shard; not thread-safe.
class Sts final : public platform::Service {
 public:
  explicit Sts(platform::Environment& environment);
  ~Sts() override;

  std::vector<platform::BoundOperation> operations() override;
  Task<> start() override;
  Task<> stop() override;

 private:
  using Caller = platform::Caller;

  // tokens.cpp
  Task<auth::TokenReply> token_request(const Caller& caller, const auth::TokenRequest& request);
  Task<auth::ValidateReply> token_validate(const Caller& caller, const auth::ValidateRequest& request);
  Task<auth::TokenReply> token_refresh(const Caller& caller, const auth::RefreshRequest& request);
  Task<auth::RevokeReply> token_revoke(const Caller& caller, const auth::RevokeRequest& request);
  Task<auth::RevokeReply> lock_out(const Caller& caller, const auth::LockOutRequest& request);
  Task<auth::SyncReply> sync(const Caller& caller, const auth::SyncRequest& request);
  Task<auth::TokenReply> delegate_token(const Caller& caller, const auth::DelegateTokenRequest& request);
  Task<auth::TokenReply> issue(Principal principal, std::optional<std::string> refresh_token,
                               SteadyTime deadline);
  Task<auth::TokenReply> reuse(RefreshRow row, SteadyTime deadline);
  auth::TokenReply reply_for(const Principal& principal, const guard::AccessTokenClaims& claims) const;

  // principals.cpp
  Task<auth::UserCreateReply> user_create(const Caller& caller, const auth::UserCreateRequest& request);
  Task<auth::UserListReply> user_list(const Caller& caller, const auth::UserListRequest& request);
  Task<auth::MateCreateReply> mate_create(const Caller& caller, const auth::MateCreateRequest& request);
  Task<auth::KeyCreateReply> key_create(const Caller& caller, const auth::KeyCreateRequest& request);
  Task<auth::KeyListReply> key_list(const Caller& caller, const auth::ListRequest& request);
  Task<auth::RevokeReply> key_revoke(const Caller& caller, const auth::KeyRevokeRequest& request);
  Task<auth::TenantCreateReply> tenant_create(const Caller& caller, const auth::TenantCreateRequest& request);
  Task<auth::TenantListReply> tenant_list(const Caller& caller, const auth::ListRequest& request);
  Task<> ensure_default_tenant(SteadyTime deadline);
  Task<std::string> create_operator(TenantId tenant, std::vector<std::string> roles, SteadyTime deadline);

  /// Seals what a new key or person is called.
  Task<> seal_names(NewPrincipal& principal, SteadyTime deadline);
  Task<> seal_name(const TenantId& tenant, const ApiKeyText& key, NewKey& details, SteadyTime deadline);

  struct Secrets;  ///< what is read from files at start
  Result<void> open_secrets();

  platform::Environment& environment_;
  Store store_;
  std::unique_ptr<Secrets> secrets_;
  std::optional<nats::Connection> system_, auth_;
  std::optional<platform::Keyring> keyring_;
  std::optional<platform::Vault> vault_;
  std::optional<Accounts> accounts_;
  std::optional<Revocations> revocations_;
  std::optional<Callout> callout_;
};

}  // namespace intra365::services::sts
