// What can go wrong on a NATS connection, declared as data.
#pragma once
#include "base/error.hpp"

namespace intra365::nats::errors {
inline constexpr ErrorCode disconnected{
    ErrorKind::unavailable, "nats.disconnected",
    "There is no connection to NATS just now; it is being re-established."};
inline constexpr ErrorCode closed{ErrorKind::unavailable, "nats.closed",
                                  "The NATS connection was closed or drained."};
inline constexpr ErrorCode no_responders{ErrorKind::unavailable, "nats.no_responders",
                                         "Nobody answers on this subject at the moment."};
inline constexpr ErrorCode timeout{ErrorKind::deadline, "nats.timeout",
                                   "No reply arrived in time; the outcome is unknown."};
inline constexpr ErrorCode refused{ErrorKind::unauthenticated, "nats.refused",
                                   "The NATS server refused the login."};
inline constexpr ErrorCode permission{ErrorKind::denied, "nats.permission",
                                      "The NATS server does not allow this subject to this connection."};
inline constexpr ErrorCode too_large{ErrorKind::invalid, "nats.too_large",
                                     "The message is larger than the server takes."};
inline constexpr ErrorCode bad_subject{
    ErrorKind::invalid, "nats.bad_subject",
    "A subject must be tokens without white space, joined by single dots."};
inline constexpr ErrorCode no_credentials{ErrorKind::invalid, "nats.no_credentials",
                                          "The credentials to log in with cannot be read."};
inline constexpr ErrorCode bad_url{ErrorKind::invalid, "nats.bad_url",
                                   "A NATS URL must look like nats://host:4222 or tls://host:4222."};
inline constexpr ErrorCode buffer_full{ErrorKind::exhausted, "nats.buffer_full",
                                       "More is waiting to be sent than the connection may hold."};
inline constexpr ErrorCode too_many_requests{ErrorKind::exhausted, "nats.too_many_requests",
                                             "More requests are in flight than the connection may hold."};
inline constexpr ErrorCode slow_consumer{ErrorKind::exhausted, "nats.slow_consumer",
                                         "Messages were dropped because they were not taken fast enough."};
inline constexpr ErrorCode busy{
    ErrorKind::exhausted, "service.busy",
    "The service answers as many requests as it may already; try again a little later."};
inline constexpr ErrorCode bad_service{
    ErrorKind::invalid, "service.malformed",
    "A service needs a name of [A-Za-z0-9_-], a semantic version and valid endpoints."};
inline constexpr ErrorCode protocol{ErrorKind::unavailable, "nats.protocol",
                                    "The server sent something that is not the NATS protocol."};
inline constexpr ErrorCode tls{ErrorKind::unauthenticated, "nats.tls",
                               "The TLS handshake with the NATS server failed."};
inline constexpr ErrorCode jetstream{ErrorKind::internal, "jetstream.error",
                                     "JetStream refused the request; the message has its text and err_code."};
inline constexpr ErrorCode wrong_revision{
    ErrorKind::conflict, "jetstream.wrong_revision",
    "Somebody wrote in between: the expected revision does not hold any more."};
inline constexpr ErrorCode not_found{ErrorKind::not_found, "jetstream.not_found",
                                     "There is no such stream, consumer, key or message."};
inline constexpr ErrorCode exists{ErrorKind::conflict, "jetstream.exists",
                                  "The name is in use with a different configuration."};
inline constexpr ErrorCode jetstream_unavailable{ErrorKind::unavailable, "jetstream.unavailable",
                                                 "JetStream cannot answer at the moment; try again."};
inline constexpr ErrorCode bad_name{ErrorKind::invalid, "jetstream.bad_name",
                                    "Streams, consumers and buckets are named with [A-Za-z0-9_-]{1,128}; "
                                    "keys with [A-Za-z0-9/_=.-]{1,512}, no empty token."};
inline constexpr ErrorCode bad_batch{ErrorKind::invalid, "jetstream.bad_batch",
                                     "An atomic batch holds 1 to 1,000 messages, each with a valid subject "
                                     "and within the server's payload limit."};
inline constexpr ErrorCode bad_reply{ErrorKind::unavailable, "jetstream.bad_reply",
                                     "The answer is not one that JetStream gives."};
inline constexpr ErrorCode unsupported{ErrorKind::unavailable, "jetstream.unsupported",
                                       "The NATS server is too old for this; its API level says so."};
inline constexpr ErrorCode window_full{ErrorKind::exhausted, "jetstream.window_full",
                                       "As many publications as allowed wait for their acknowledgement."};
inline constexpr ErrorCode not_pinned{ErrorKind::conflict, "jetstream.not_pinned",
                                      "Another client is pinned to this consumer group now."};
inline constexpr ErrorCode duplicate{
    ErrorKind::conflict, "jetstream.duplicate",
    "A message of the batch has the id of one that was stored before; nothing of the batch was stored."};
inline constexpr ErrorCode too_many_batches{
    ErrorKind::exhausted, "jetstream.too_many_batches",
    "The stream has as many unfinished batches as it may; try again when one is committed."};
inline constexpr ErrorCode bad_option{ErrorKind::invalid, "jetstream.bad_option",
                                      "A header of this message cannot hold such a value."};
inline constexpr ErrorCode bad_object{
    ErrorKind::invalid, "object.malformed",
    "An object has a name of 1 to 1,024 bytes, a chunk size the server takes, and no link where data is."};
inline constexpr ErrorCode corrupt_object{
    ErrorKind::internal, "object.corrupt",
    "What was read of the object is not what was stored: size or digest differ."};
}  // namespace intra365::nats::errors
