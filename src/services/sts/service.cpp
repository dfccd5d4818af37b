#include "services/sts/service.hpp"

#include "crypto/encoding.hpp"
#include "services/sts/secrets.hpp"
#include "services/sts/sts.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> sts();
}

namespace intra365::services::sts {

platform::ServiceModule module() {
  return {
      .name = "sts",
      .description = "Security & Token Service: who is there, and what proves it",
      .migrations = migrations::sts(),
      .make = [](platform::Environment& environment) { return std::make_unique<Sts>(environment); },
  };
}

Sts::Sts(platform::Environment& environment) : environment_(environment), store_(environment) {}
Sts::~Sts() = default;

std::vector<platform::BoundOperation> Sts::operations() {
  using platform::bind;
  return {
      bind(auth::token_request, *this, &Sts::token_request),
      bind(auth::token_validate, *this, &Sts::token_validate),
      bind(auth::token_refresh, *this, &Sts::token_refresh),
      bind(auth::token_revoke, *this, &Sts::token_revoke),
      bind(auth::sync, *this, &Sts::sync),
      bind(auth::delegate_token, *this, &Sts::delegate_token),
      bind(auth::lock_out, *this, &Sts::lock_out),
      bind(auth::user_create, *this, &Sts::user_create),
      bind(auth::user_list, *this, &Sts::user_list),
      bind(auth::mate_create, *this, &Sts::mate_create),
      bind(auth::key_create, *this, &Sts::key_create),
      bind(auth::key_list, *this, &Sts::key_list),
      bind(auth::key_revoke, *this, &Sts::key_revoke),
      bind(auth::tenant_create, *this, &Sts::tenant_create),
      bind(auth::tenant_list, *this, &Sts::tenant_list),
  };
}

Result<void> Sts::open_secrets() {
  const auto& keys = environment_.config.keys;
  TRY(const auto operator_seed, platform::read_secret(keys.operator_signing_seed_file));
  TRY(auto operator_key, crypto::Nkey::from_seed(operator_seed));
  TRY(const auto auth_seed, platform::read_secret(keys.auth_account_seed_file));
  TRY(auto auth_account, crypto::Nkey::from_seed(auth_seed));
  TRY(const auto xkey_seed, platform::read_secret(keys.callout_xkey_seed_file));
  TRY(auto xkey, crypto::Xkey::from_seed(xkey_seed));
  TRY(const auto key_encryption_key, platform::read_key(keys.key_encryption_key_file));
  secrets_.reset(new Secrets{std::move(operator_key), std::move(auth_account), std::move(xkey),
                             crypto::Envelope(key_encryption_key),
                             crypto::hmac_sha256(key_encryption_key, "guest rooms")});
  return {};
}

Task<> Sts::start() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto& config = environment_.config;
  CO_CHECK(open_secrets());

  auto system = platform::connection_options(config, config.nats.system_creds_file, "intra365-sts-system",
                                             environment_.telemetry);
  system_.emplace(environment_.executor, std::move(system));
  CO_CHECK(co_await system_->connect(deadline));
  auto callout = platform::connection_options(config, config.nats.auth_creds_file, "intra365-sts-callout",
                                              environment_.telemetry);
  auth_.emplace(environment_.executor, std::move(callout));
  CO_CHECK(co_await auth_->connect(deadline));

  keyring_.emplace(environment_.database, secrets_->envelope, platform::KeyUse::token);
  CO_CHECK(co_await keyring_->start(deadline));
  vault_.emplace(environment_.database, secrets_->envelope);
  accounts_.emplace(environment_, secrets_->envelope, secrets_->operator_key, secrets_->guest_secret,
                    *system_);
  CO_CHECK(co_await accounts_->start(deadline));
  revocations_.emplace(environment_, store_, *system_);
  CO_CHECK(co_await revocations_->start(deadline));
  CO_CHECK(co_await ensure_default_tenant(deadline));
  callout_.emplace(environment_, store_, *accounts_, *auth_, secrets_->auth_account, secrets_->callout_xkey);
  co_return co_await callout_->start();
}

Task<> Sts::stop() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  if (callout_) callout_->stop();
  if (auth_) co_await auth_->drain(deadline);
  if (system_) co_await system_->drain(deadline);
  co_return Result<void>{};
}

}  // namespace intra365::services::sts
