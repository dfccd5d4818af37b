// The keys that sign access tokens. PostgreSQL holds them sealed; every instance has the same ring.
#pragma once
#include <optional>
#include <string>

#include "crypto/envelope.hpp"
#include "crypto/jws.hpp"
#include "guard/token.hpp"
#include "platform/environment.hpp"

namespace intra365::services::sts {

/// Owned by one shard; not thread-safe.
class Keyring {
 public:
  Keyring(platform::Environment& environment, const crypto::Envelope& envelope)
      : database_(environment.database), envelope_(envelope) {}

  /// Loads the ring; makes the first key where there is none.
  Task<> start(SteadyTime deadline);
  std::string sign(const guard::AccessTokenClaims& claims) const;
  /// JWKS of every key whose tokens may still live.
  const boost::json::value& jwks() const { return jwks_; }

 private:
  Task<> load(SteadyTime deadline);
  Task<> create(SteadyTime deadline);

  postgres::Pool& database_;
  const crypto::Envelope& envelope_;
  std::optional<crypto::SigningKey> active_;
  boost::json::value jwks_;
};

}  // namespace intra365::services::sts
