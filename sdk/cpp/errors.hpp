// What can go wrong in a client of intra365, beside what the platform answers.
#pragma once
#include "contract/errors.hpp"

namespace intra365::sdk::errors {
using namespace intra365::errors;  // the contract's codes and the client's own read alike
inline constexpr ErrorCode not_connected{ErrorKind::unavailable, "sdk.not_connected", "Connect first."};
inline constexpr ErrorCode bad_header{ErrorKind::invalid, "sdk.bad_header",
                                      "A header value must not contain line ends."};
inline constexpr ErrorCode incomplete_use{
    ErrorKind::invalid, "sdk.incomplete_use",
    "An action that uses people's data needs both: the scopes, and the purpose that consent is asked for."};
}  // namespace intra365::sdk::errors
