// The text form of NATS keys: base32 of prefix, key and checksum. Internal to this folder.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "crypto/nkey.hpp"

namespace intra365::crypto {

using RawKey = std::array<unsigned char, 32>;

struct PublicKeyText {
  KeyKind kind;
  RawKey key;
};

/// A public key of any known kind; nullopt for everything else, seeds included.
std::optional<PublicKeyText> parse_public_key(std::string_view text);

std::string encode_seed(KeyKind kind, const RawKey& seed);
/// A seed and the kind of the key it is for.
std::optional<PublicKeyText> parse_seed(std::string_view text);

}  // namespace intra365::crypto
