// The certificates an embedded platform serves with: made when missing, renewed before they end.
#pragma once
#include <string>

#include "base/time.hpp"
#include "embedded/errors.hpp"
#include "embedded/paths.hpp"

namespace intra365::embedded {

/// Sees to it that `tls` holds an authority, and a server certificate signed by it that is valid for at least
/// 30 days and for every name of this machine: localhost, 127.0.0.1, ::1, the host name, and `host` where
/// that is an address of its own. Who trusts ca.pem keeps trusting: the authority lives ten years and is
/// renewed only when it would end within 30 days.
Result<void> ensure_certificates(const Paths& paths, const std::string& host, Timestamp now);

}  // namespace intra365::embedded
