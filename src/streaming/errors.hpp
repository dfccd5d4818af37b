// How an answer in parts can end other than well.
#pragma once
#include "base/error.hpp"

namespace intra365::streaming::errors {
inline constexpr ErrorCode required{
    ErrorKind::invalid, "stream.required",
    "This action answers in parts: send Intra365-Stream with how many may be under way, 1 to 64."};
inline constexpr ErrorCode bad_inbox{
    ErrorKind::invalid, "stream.bad_inbox",
    "An answer in parts needs a reply subject of the form _INBOX_<id>.stream.<mate>.<unguessable suffix>."};
inline constexpr ErrorCode too_many{ErrorKind::exhausted, "stream.too_many",
                                    "The Mate is sending as many streamed answers as it may already."};
inline constexpr ErrorCode gap{ErrorKind::unavailable, "stream.gap",
                               "A part of the answer was lost on the way; what came before it is whole."};
inline constexpr ErrorCode window_exceeded{
    ErrorKind::unavailable, "stream.window_exceeded",
    "The Mate has sent more parts than it was asked to have under way; they are not taken."};
inline constexpr ErrorCode silent{ErrorKind::unavailable, "stream.silent",
                                  "Nothing was heard from the other side of the stream for too long."};
inline constexpr ErrorCode cancelled{ErrorKind::unavailable, "stream.cancelled",
                                     "The reader wants no more of this answer."};
inline constexpr ErrorCode reader_gone{ErrorKind::unavailable, "stream.reader_gone",
                                       "The reader of the answer is not connected any more."};
inline constexpr ErrorCode not_text{ErrorKind::invalid, "stream.not_text",
                                    "A part of the answer is not UTF-8 text; read this action over NATS."};
inline constexpr ErrorCode over{ErrorKind::conflict, "stream.over", "The answer has ended already."};
}  // namespace intra365::streaming::errors
