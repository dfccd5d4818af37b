// Credentials files: what is read from one can be written and read again.
#include <cassert>

#include "crypto/nats_jwt.hpp"

using namespace intra365::crypto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto credentials = parse_creds_file({reinterpret_cast<const char*>(data), size});
  if (!credentials) return 0;
  const auto again = parse_creds_file(creds_file(credentials->jwt, credentials->seed));
  assert(again && again->jwt == credentials->jwt && again->seed == credentials->seed);
  return 0;
}
