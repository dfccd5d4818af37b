// Signs documents that people keep, with keys of their own kind, and seals what only the platform may read.
#pragma once
#include <optional>

#include "contract/attested.hpp"
#include "platform/environment.hpp"
#include "platform/keyring.hpp"

namespace intra365::platform {

/// Owned by one shard; not thread-safe. Use nothing before `start`.
class Attestor {
 public:
  explicit Attestor(Environment& environment) : environment_(environment) {}

  /// Fails where the configuration names no key-encryption key.
  Task<> start();
  /// `typ`: one of `crypto::attested`.
  AttestedDocument attest(std::string_view typ, boost::json::value document) const;
  const boost::json::value& jwks() const { return keyring_->jwks(); }
  /// Under the key-encryption key.
  const crypto::Envelope& envelope() const { return *envelope_; }

 private:
  Environment& environment_;
  std::optional<crypto::Envelope> envelope_;
  std::optional<Keyring> keyring_;
};

}  // namespace intra365::platform
