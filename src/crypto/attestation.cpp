#include "crypto/attestation.hpp"

#include "crypto/canonical_json.hpp"
#include "crypto/encoding.hpp"
#include "crypto/json_writer.hpp"
#include "crypto/strict_json.hpp"

namespace intra365::crypto {
namespace {

std::string digest(const boost::json::value& document) {
  return base64url(sha256(canonical_json(document)));
}

}  // namespace

std::string attest(const SigningKey& key, std::string_view typ, const boost::json::value& document,
                   Timestamp at) {
  JsonWriter payload;
  payload.begin_object();
  payload.member("iat", std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count());
  payload.member("sha256", digest(document));
  payload.end_object();
  return key.sign(typ, payload.text());
}

Result<Attestation> verify_attestation(const KeySet& keys, std::string_view typ,
                                       const boost::json::value& document, std::string_view signature) {
  TRY(const auto verified, keys.verify(signature));
  if (verified.typ != typ) return fail(errors::not_attested, "it is signed as " + verified.typ);
  const auto payload = parse_strict_object(verified.payload);
  const auto* signed_digest = payload ? string_member(*payload, "sha256") : nullptr;
  const auto at = payload ? number_member(*payload, "iat") : std::nullopt;
  if (signed_digest == nullptr || !at || std::string_view(*signed_digest) != digest(document))
    return fail(errors::not_attested, "the document has another digest than the signed one");
  return Attestation{verified.kid, Timestamp(std::chrono::seconds(*at))};
}

}  // namespace intra365::crypto
