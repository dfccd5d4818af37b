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
    "A change is larger than what may be set aside: the stream tells its key only, or of an event its id."};
inline constexpr ErrorCode bad_event{
    ErrorKind::internal, "cdc.bad_event",
    "What a transaction told is no event; it lies on the change stream's subject for what is set aside."};
inline constexpr ErrorCode stream_full{
    ErrorKind::exhausted, "cdc.stream_full",
    "JetStream has no room for the change stream; PostgreSQL keeps the changes meanwhile. Give the stream or "
    "the disk more room: it goes on by itself."};
inline constexpr ErrorCode unsupported_option{ErrorKind::invalid, "cdc.unsupported_option",
                                              "The feed tells of transactions that have committed: it does "
                                              "not read a log with streaming or two_phase."};
inline constexpr ErrorCode publication_missing{
    ErrorKind::unavailable, "cdc.publication_missing",
    "The publication is gone, so PostgreSQL tells of no change. Create it again: its tables are then read "
    "anew."};
inline constexpr ErrorCode behind_another{
    ErrorKind::conflict, "cdc.behind_another",
    "A change of the same key before this one could not be handled; it waits behind it."};
}  // namespace intra365::cdc::errors
