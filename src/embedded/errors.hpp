// What can go wrong with a machine of one's own, declared as data. Each meaning says what to do.
#pragma once
#include "base/error.hpp"

namespace intra365::embedded::errors {
inline constexpr ErrorCode runtime_missing{
    ErrorKind::unavailable, "runtime.missing",
    "nats-server or PostgreSQL is not installed; run `intra365 setup`, or name your own by "
    "INTRA365_NATS_SERVER and INTRA365_POSTGRES_HOME."};
inline constexpr ErrorCode runtime_too_old{
    ErrorKind::unavailable, "runtime.too_old",
    "nats-server 2.12 and PostgreSQL 16 are the oldest that serve; run `intra365 setup`."};
inline constexpr ErrorCode data_locked{
    ErrorKind::conflict, "data.locked",
    "Another intra365 uses this data directory; stop it, or give this one another by --data."};
inline constexpr ErrorCode data_newer_version{
    ErrorKind::invalid, "data.newer_version",
    "The data directory was written by a newer intra365; start that one, or give another by --data."};
inline constexpr ErrorCode data_not_ours{
    ErrorKind::invalid, "data.not_ours",
    "The directory holds other files; give an empty or new one by --data."};
inline constexpr ErrorCode data_other_user{
    ErrorKind::denied, "data.other_user",
    "The data directory belongs to another user; start as that user, or give another by --data."};
inline constexpr ErrorCode data_disk_full{
    ErrorKind::exhausted, "data.disk_full",
    "The disk of the data directory is full; free at least 128 MB, or give another by --data."};
inline constexpr ErrorCode data_unwritable{
    ErrorKind::unavailable, "data.unwritable",
    "The data directory cannot be written; the message says which file and why."};
inline constexpr ErrorCode data_keys_lost{
    ErrorKind::invalid, "data.keys_lost",
    "The data directory has data but not the keys that open it; restore its folder 'keys' from a backup."};
inline constexpr ErrorCode port_taken{
    ErrorKind::conflict, "port.taken",
    "Another program listens on this port; stop it, or choose another port (0 picks a free one)."};
inline constexpr ErrorCode bad_address{ErrorKind::invalid, "port.bad_address",
                                       "The host to listen on must be an IP address or localhost."};
inline constexpr ErrorCode server_failed{
    ErrorKind::unavailable, "server.failed",
    "nats-server or PostgreSQL did not start; the message has its last words, the folder 'logs' the rest."};
inline constexpr ErrorCode no_unprivileged_user{
    ErrorKind::unavailable, "server.no_unprivileged_user",
    "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as; make one, "
    "or do not start intra365 as root."};
}  // namespace intra365::embedded::errors
