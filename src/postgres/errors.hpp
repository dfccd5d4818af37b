// What can go wrong with the database, declared as data.
#pragma once
#include "base/error.hpp"

namespace intra365::postgres::errors {
inline constexpr ErrorCode unavailable{ErrorKind::unavailable, "postgres.unavailable",
                                       "The database is away; it is being reconnected."};
inline constexpr ErrorCode pool_full{ErrorKind::exhausted, "postgres.pool_full",
                                     "More queries wait for the database than may."};
inline constexpr ErrorCode timeout{ErrorKind::deadline, "postgres.timeout",
                                   "The database did not answer in time; the query was cancelled."};
inline constexpr ErrorCode unique_violation{ErrorKind::conflict, "postgres.unique_violation",
                                            "There is such a row already."};
inline constexpr ErrorCode foreign_key_violation{ErrorKind::invalid, "postgres.foreign_key_violation",
                                                 "The row refers to something that does not exist."};
inline constexpr ErrorCode check_violation{ErrorKind::invalid, "postgres.check_violation",
                                           "A value is outside what the table allows."};
inline constexpr ErrorCode invalid_value{
    ErrorKind::invalid, "postgres.invalid_value",
    "A value cannot be stored: out of range, malformed, or text with a NUL byte or a wrong encoding."};
inline constexpr ErrorCode serialization{ErrorKind::conflict, "postgres.serialization",
                                         "Two transactions collided; try again."};
inline constexpr ErrorCode query_failed{ErrorKind::internal, "postgres.query_failed",
                                        "The database refused a query; the log has its name and SQLSTATE."};
inline constexpr ErrorCode bad_row{ErrorKind::internal, "postgres.bad_row",
                                   "A row does not have the shape the code expects."};
inline constexpr ErrorCode unknown_schema{
    ErrorKind::internal, "postgres.unknown_schema",
    "The database schema is newer than, or different from, what this program knows."};
inline constexpr ErrorCode bad_replication{
    ErrorKind::internal, "postgres.bad_replication",
    "The replication stream says something that this program does not understand."};
inline constexpr ErrorCode slot_missing{ErrorKind::unavailable, "postgres.slot_missing",
                                        "The replication slot is gone or was invalidated: changes since its "
                                        "last position are lost to this stream."};
inline constexpr ErrorCode log_removed{ErrorKind::not_found, "postgres.log_removed",
                                       "The server has no longer the part of its log that was asked for."};
inline constexpr ErrorCode slot_exists{ErrorKind::conflict, "postgres.slot_exists",
                                       "There is a replication slot of this name already."};
inline constexpr ErrorCode slot_busy{ErrorKind::conflict, "postgres.slot_busy",
                                     "Another process reads this replication slot."};
}  // namespace intra365::postgres::errors
