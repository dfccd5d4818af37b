// Keys in text form: whatever is accepted has one spelling only.
#include <cassert>

#include "crypto/nkey.hpp"

using namespace intra365::crypto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto key = Nkey::from_seed(text)) assert(key->seed() == text);
  if (const auto key = Xkey::from_seed(text)) assert(key->seed() == text);
  for (const KeyKind kind :
       {KeyKind::operator_, KeyKind::account, KeyKind::user, KeyKind::server, KeyKind::curve})
    if (const auto raw = decode_public_key(text, kind)) assert(encode_public_key(kind, *raw) == text);
  static const Xkey xkey = Xkey::generate();
  assert(!xkey.open(text, xkey.public_key()));
  return 0;
}
