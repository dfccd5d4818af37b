// Secrets at rest: authenticated encryption under a key-encryption key, bound to the row they belong to.
#pragma once
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_envelope{ErrorKind::internal, "envelope.broken",
                                        "A stored secret cannot be opened with this key for this row."};
}  // namespace intra365::errors

namespace intra365::crypto {

/// XChaCha20-Poly1305 with a random nonce; `context` (table, row id, tenant) is authenticated, not stored.
class Envelope {
 public:
  explicit Envelope(std::string key_32_bytes);
  ~Envelope();
  std::string seal(std::string_view plain, std::string_view context) const;
  Result<std::string> open(std::string_view sealed, std::string_view context) const;

 private:
  std::string key_;
};

}  // namespace intra365::crypto
