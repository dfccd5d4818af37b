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
}  // namespace intra365::postgres::errors
