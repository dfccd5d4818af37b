// The keys that the platform signs with, one ring for each use. PostgreSQL holds them sealed; every instance
// has the same ring.
#pragma once
#include <optional>
#include <string>

#include "async/task.hpp"
#include "crypto/envelope.hpp"
#include "crypto/jws.hpp"
#include "postgres/pool.hpp"

namespace intra365::platform {

/// A key of one use never signs for another, and is published apart.
enum class KeyUse {
  token,        ///< access tokens, by the STS
  attestation,  ///< documents that people keep: receipts and exports
};

/// Owned by one shard; not thread-safe.
class Keyring {
 public:
  /// Both references must outlive the ring.
  Keyring(postgres::Pool& database, const crypto::Envelope& envelope, KeyUse use)
      : database_(database), envelope_(envelope), use_(use) {}

  /// Loads the ring; makes the first key where there is none.
  Task<> start(SteadyTime deadline);
  /// The key to sign with; only after `start`.
  const crypto::SigningKey& active() const { return *active_; }
  /// JWKS of every key whose signatures may still be relied on.
  const boost::json::value& jwks() const { return jwks_; }

 private:
  Task<> load(SteadyTime deadline);
  Task<> create(SteadyTime deadline);

  postgres::Pool& database_;
  const crypto::Envelope& envelope_;
  KeyUse use_;
  std::optional<crypto::SigningKey> active_;
  boost::json::value jwks_;
};

}  // namespace intra365::platform
