// Tokens and key sets: the input as a whole token, as the claims of a signed one, and as a JWKS.
#include <boost/json.hpp>

#include <cassert>

#include "crypto/jws.hpp"

using namespace intra365::crypto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const SigningKey key = SigningKey::from_seed(std::string(32, 's')).value();
  static const KeySet keys =
      KeySet::parse(boost::json::value(boost::json::object{{"keys", boost::json::array{key.public_jwk()}}}))
          .value();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto verified = keys.verify(text)) assert(verified->kid == key.kid());
  if (const auto verified = keys.verify(key.sign("JWT", text))) assert(verified->payload == text);
  if (const auto parsed = KeySet::parse(text)) assert(parsed->size() <= 100);
  return 0;
}
