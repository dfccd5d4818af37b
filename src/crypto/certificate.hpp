// X.509 for one machine: a small certificate authority of our own and the server certificates it signs, so
// that an embedded platform can speak TLS before anybody has bought a certificate. Not for verification of
// peers: that is OpenSSL's business inside TLS.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_certificate{
    ErrorKind::invalid, "certificate.malformed",
    "The certificate or its key cannot be read, or the two do not belong together."};
}  // namespace intra365::errors

namespace intra365::crypto {

/// A certificate and its private key (P-256), both PEM. The key is a secret.
struct Certificate {
  std::string certificate_pem;
  std::string key_pem;
};

/// A self-signed authority that may sign server certificates and nothing below them. `common_name` has at
/// most 64 bytes. Valid from an hour before `now`, because clocks differ.
Result<Certificate> make_certificate_authority(const std::string& common_name, Timestamp now,
                                               std::chrono::days lifetime);

/// A certificate for a TLS server, signed by `authority`. `names` are 1 to 64 DNS names and IP addresses,
/// each told by its form; they become the subject alternative names. The chain file for a server is
/// `certificate_pem` alone: clients hold the authority's.
Result<Certificate> issue_server_certificate(const Certificate& authority,
                                             const std::vector<std::string>& names, Timestamp now,
                                             std::chrono::days lifetime);

/// What a certificate says of itself, to decide whether it still serves.
struct CertificateFacts {
  Timestamp expires_at;
  std::vector<std::string> names;  ///< DNS names and addresses among the subject alternative names
};
/// Reads the first certificate of a PEM text; fails with `certificate.malformed`.
Result<CertificateFacts> read_certificate(std::string_view pem);

/// True when `authority` signed `certificate`. Times are the caller's business.
bool signed_by(std::string_view certificate_pem, std::string_view authority_pem);

}  // namespace intra365::crypto
