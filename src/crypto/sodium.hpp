// libsodium, initialised before its first use, and the few byte views that its C interface needs.
#pragma once
#include <sodium.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace intra365::crypto {

/// Chooses libsodium's fastest code for this CPU, once per process. Call it before the first primitive of
/// every object that makes keys; it costs a nanosecond afterwards.
inline void ensure_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) std::abort();  // no random source: nothing secure can be done in this process
}

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
inline unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

/// Overwrites a secret in a way that the compiler does not remove.
inline void wipe(std::string& secret) {
  sodium_memzero(secret.data(), secret.size());
}

}  // namespace intra365::crypto
