// The change stream for those who may read a tenant's rows: page by page, from a cursor or from a point in
// time.
#pragma once
#include "contract/operations/cdc.hpp"
#include "platform/environment.hpp"

namespace intra365::services::events {

namespace errors {
inline constexpr ErrorCode bad_cursor{ErrorKind::invalid, "changes.bad_cursor",
                                      "The cursor is not one that this operation has given."};
inline constexpr ErrorCode forgotten{
    ErrorKind::conflict, "changes.forgotten",
    "What follows the cursor is not kept any more: forget what you have, and begin without a cursor."};
inline constexpr ErrorCode unknown_table{ErrorKind::not_found, "changes.unknown_table",
                                         "No such table is published; the message names those that are."};
inline constexpr ErrorCode not_yet{ErrorKind::unavailable, "changes.not_yet",
                                   "The change stream is only beginning; ask again in a moment."};
}  // namespace errors

/// Where a reader is in the stream. `stream`: when that was made; another one of the name counts anew.
struct ChangesCursor {
  std::uint64_t sequence = 0;
  std::string stream;

  std::string text() const;
  /// Fails with `changes.bad_cursor`.
  static Result<ChangesCursor> parse(std::string_view text);
};

/// Owned by one shard; not thread-safe.
class ChangeReader {
 public:
  explicit ChangeReader(platform::Environment& environment) : environment_(environment) {}
  Task<cdc::ChangesReply> read(const platform::Caller& caller, const cdc::ChangesRequest& request);

 private:
  Task<> check_table(std::string table);

  platform::Environment& environment_;
};

}  // namespace intra365::services::events
