// Strict verification of compact JWS. The order matters: form first (cheap), then the key that the token
// names, then that key's own algorithm, then the signature, and only a signed payload is parsed.
#include "crypto/jws.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "crypto/encoding.hpp"
#include "crypto/strict_json.hpp"
#include "crypto/verification_key.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxToken = 16 * 1024;
constexpr std::size_t kMaxKeySet = 256 * 1024;
constexpr std::size_t kMaxKeys = 100;

/// Header members that bring their own key, change how the rest is read, or belong to encrypted tokens.
constexpr std::array<std::string_view, 10> kForbidden = {"crit", "b64", "jwk", "jku", "x5u",
                                                         "x5c",  "enc", "zip", "epk", "ppt"};

struct Header {
  std::string algorithm;
  std::string typ;
  std::optional<std::string> kid;
};

/// Fails with `token.malformed`; says which member was wrong, never what it held.
Result<Header> read_header(std::string_view encoded) {
  const auto text = decode_base64url(encoded);
  const auto object = text ? parse_strict_object(*text) : std::nullopt;
  if (!object) return fail(errors::malformed_token, "The token's header is not one strict JSON object.");
  for (const std::string_view member : kForbidden)
    if (object->contains(member))
      return fail(errors::malformed_token, "The token's header has the member " + std::string(member) + ".");
  const auto* algorithm = string_member(*object, "alg");
  const auto* typ = string_member(*object, "typ");
  const auto* kid = string_member(*object, "kid");
  const auto* content = string_member(*object, "cty");
  if (algorithm == nullptr || (typ == nullptr && object->contains("typ")) ||
      (kid == nullptr && object->contains("kid")))
    return fail(errors::malformed_token,
                "The members alg, typ and kid of the token's header must be strings.");
  if (object->contains("cty") && (content == nullptr || *content != "application/json"))
    return fail(errors::malformed_token, "The token carries another token.");
  Header header{std::string(*algorithm), {}, std::nullopt};
  if (typ != nullptr) header.typ = std::string_view(*typ);
  if (kid != nullptr) header.kid.emplace(*kid);
  return header;
}

}  // namespace

Result<KeySet> KeySet::parse(std::string_view jwks) {
  if (jwks.size() > kMaxKeySet) return fail(errors::bad_key_set, "The key set is larger than 256 KiB.");
  auto document = parse_strict_object(jwks);
  if (!document) return fail(errors::bad_key_set, "The key set is not one strict JSON object.");
  return parse(bj::value(std::move(*document)));
}

Result<KeySet> KeySet::parse(const bj::value& jwks) {
  const bj::object* document = jwks.if_object();
  const bj::value* member = document != nullptr ? document->if_contains("keys") : nullptr;
  const bj::array* keys = member != nullptr ? member->if_array() : nullptr;
  if (keys == nullptr) return fail(errors::bad_key_set, "The key set has no array of keys.");
  if (keys->size() > kMaxKeys) return fail(errors::bad_key_set, "The key set has more than 100 keys.");

  KeySet set;
  std::set<std::string> ambiguous;
  for (const bj::value& each : *keys) {
    auto key = each.is_object() ? VerificationKey::from_jwk(each.get_object()) : nullptr;
    if (!key) continue;
    const auto [place, is_new] = set.keys_.try_emplace(key->kid(), key);
    if (!is_new && place->second->thumbprint() != key->thumbprint()) ambiguous.insert(key->kid());
  }
  for (const std::string& kid : ambiguous) set.keys_.erase(kid);
  return set;
}

bool KeySet::contains(std::string_view kid) const {
  return keys_.contains(kid);
}
std::size_t KeySet::size() const {
  return keys_.size();
}

Result<KeySet::Verified> KeySet::verify(std::string_view token) const {
  if (token.size() > kMaxToken) return fail(errors::malformed_token, "The token is larger than 16 KiB.");
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos)
    return fail(errors::malformed_token, "A compact JWS has exactly three parts.");
  TRY(auto header, read_header(token.substr(0, first)));
  auto payload = decode_base64url(token.substr(first + 1, second - first - 1));
  const auto signature = decode_base64url(token.substr(second + 1));
  if (!payload || !signature) return fail(errors::malformed_token, "A part of the token is not base64url.");

  if (!header.kid && keys_.size() != 1)
    return fail(errors::unknown_key, "The token names no key, and there is not exactly one to try.");
  const auto place = header.kid ? keys_.find(*header.kid) : keys_.begin();
  if (place == keys_.end()) return fail(errors::unknown_key);
  const VerificationKey& key = *place->second;
  if (!key.accepts(header.algorithm)) return fail(errors::bad_algorithm);
  if (!key.verify(token.substr(0, second), *signature)) return fail(errors::bad_signature);
  if (!parse_strict_object(*payload))
    return fail(errors::malformed_token, "The token's claims are not one strict JSON object.");
  return Verified{std::move(header.typ), std::move(*payload), key.kid(), key.issuer()};
}

}  // namespace intra365::crypto
