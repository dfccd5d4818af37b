#include "platform/attestor.hpp"

#include "crypto/attestation.hpp"

namespace intra365::platform {

Task<> Attestor::start() {
  if (environment_.config.keys.key_encryption_key_file.empty())
    co_return fail(errors::bad_config, "keys.keyEncryptionKeyFile: needed by the roles consent and privacy");
  CO_TRY(auto key, read_key(environment_.config.keys.key_encryption_key_file));
  envelope_.emplace(std::move(key));
  keyring_.emplace(environment_.database, *envelope_, KeyUse::attestation);
  co_return co_await keyring_->start(std::chrono::steady_clock::now() + std::chrono::seconds(20));
}

AttestedDocument Attestor::attest(std::string_view typ, boost::json::value document) const {
  AttestedDocument attested;
  attested.signature = crypto::attest(keyring_->active(), typ, document, environment_.clock.now());
  attested.document = std::move(document);
  return attested;
}

}  // namespace intra365::platform
