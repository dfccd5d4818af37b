// Signed documents that people keep: the document stays readable JSON, the signature stands beside it and is
// over its canonical form, so that printing it anew breaks nothing. Verified without the platform.
#pragma once
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/error.hpp"
#include "base/time.hpp"
#include "crypto/jws.hpp"

namespace intra365::errors {
inline constexpr ErrorCode not_attested{
    ErrorKind::invalid, "attestation.broken",
    "The document is not what was signed, or is signed as something else."};
}  // namespace intra365::errors

namespace intra365::crypto {

/// What a signature is given for: the `typ` of its header, so that one kind never passes for another.
namespace attested {
inline constexpr std::string_view consent_receipt = "consent-receipt+jws";
inline constexpr std::string_view personal_data = "personal-data+jws";
}  // namespace attested

/// A compact JWS over {"iat":…,"sha256":…}: the digest of the document's canonical form, in base64url.
std::string attest(const SigningKey& key, std::string_view typ, const boost::json::value& document,
                   Timestamp at);

struct Attestation {
  std::string kid;
  Timestamp at;  ///< when it was signed
};
/// Fails with `attestation.broken`, or as `KeySet::verify` where the signature itself does not hold.
Result<Attestation> verify_attestation(const KeySet& keys, std::string_view typ,
                                       const boost::json::value& document, std::string_view signature);

}  // namespace intra365::crypto
