// What can go wrong with backups, declared as data. Each meaning says what to do.
#pragma once
#include "base/error.hpp"

namespace intra365::backup::errors {
inline constexpr ErrorCode bad_key_file{
    ErrorKind::invalid, "backup.key_file",
    "The key file must hold one key of 32 bytes in base64url and be closed to others (mode 0600)."};
inline constexpr ErrorCode key_lost{
    ErrorKind::not_found, "backup.key_lost",
    "The backups are there, their key is not: give the file that was made with the first backup by --key."};
inline constexpr ErrorCode wrong_key{
    ErrorKind::denied, "backup.wrong_key",
    "This key does not open these backups; give the file that was made with the first backup by --key."};
inline constexpr ErrorCode damaged{
    ErrorKind::invalid, "backup.damaged",
    "A file of the backups is missing, cut or changed; choose an earlier time, or another copy of them."};
inline constexpr ErrorCode not_found{ErrorKind::not_found, "backup.not_found",
                                     "There is no backup to restore from in this place, or none so early."};
inline constexpr ErrorCode not_covered{
    ErrorKind::invalid, "backup.not_covered",
    "The backups do not reach the time that was asked for; `intra365 restore --list` says how far they do."};
inline constexpr ErrorCode busy{ErrorKind::conflict, "backup.busy",
                                "Another process writes backups to this place; let it end first."};
inline constexpr ErrorCode other_database{
    ErrorKind::conflict, "backup.other_database",
    "These are the backups of another database; give this one a place of its own by --to."};
inline constexpr ErrorCode not_ours{ErrorKind::invalid, "backup.not_ours",
                                    "The directory holds other files; give an empty or new one by --to."};
inline constexpr ErrorCode target_in_use{
    ErrorKind::conflict, "backup.target_in_use",
    "The data directory holds a platform already; move it away, or restore to another by --data."};
inline constexpr ErrorCode unsupported{
    ErrorKind::invalid, "backup.unsupported",
    "The database has what these backups do not carry; use pgBackRest (docs/guides/backups.md)."};
inline constexpr ErrorCode restore_failed{
    ErrorKind::unavailable, "backup.restore_failed",
    "PostgreSQL could not be brought to a consistent state from the backup; the message says why."};
}  // namespace intra365::backup::errors
