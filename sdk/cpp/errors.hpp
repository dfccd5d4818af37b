// What can go wrong in a client of intra365, beside what the platform answers.
#pragma once
#include "base/error.hpp"

namespace intra365::sdk::errors {
inline constexpr ErrorCode not_connected{ErrorKind::unavailable, "sdk.not_connected", "Connect first."};
inline constexpr ErrorCode bad_header{ErrorKind::invalid, "sdk.bad_header",
                                      "A header value must not contain line ends."};
}  // namespace intra365::sdk::errors
