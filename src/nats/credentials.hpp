// Where credentials come from.
#pragma once
#include <functional>
#include <string>

#include "nats/connection.hpp"

namespace intra365::nats {

/// For `Options::credentials`: a user JWT and its seed from a credentials file, read again for every attempt,
/// so that a file that was renewed is used. Fails with creds.malformed for a file that is no such file and
/// with nats.no_credentials for one that cannot be read.
std::function<Task<Credentials>()> credentials_file(std::string path);

/// The same credentials always.
std::function<Task<Credentials>()> fixed_credentials(Credentials credentials);

}  // namespace intra365::nats
