// What can go wrong between the database's log and the stream, declared as data.
#pragma once
#include "base/error.hpp"

namespace intra365::cdc::errors {
inline constexpr ErrorCode fenced{
    ErrorKind::conflict, "cdc.fenced",
    "Another process has written to the change stream since; start over from its cursor."};
inline constexpr ErrorCode bad_cursor{ErrorKind::internal, "cdc.bad_cursor",
                                      "The cursor in the change stream is not one of this slot's."};
inline constexpr ErrorCode bad_change{ErrorKind::internal, "cdc.bad_change",
                                      "A message of the change stream does not say which change it is."};
inline constexpr ErrorCode too_large{
    ErrorKind::internal, "cdc.too_large",
    "A changed row is larger than a message may be; its values were left out."};
}  // namespace intra365::cdc::errors
