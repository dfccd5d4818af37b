// What may stand in the audit trail, and what is done with an entry that cannot: decisions without I/O.
#pragma once
#include "base/time.hpp"
#include "contract/operations/audit.hpp"

namespace intra365::services::audit {

/// Limits of an entry that a Mate records. The table's constraints say the same of counts and durations.
struct EntryLimits {
  static constexpr std::size_t text_bytes = 512;  ///< actor, action, resource, outcome: at least 1
  static constexpr std::size_t code_bytes = 128;
  static constexpr std::size_t trace_id_bytes = 64;
  static constexpr std::size_t scopes = 50;
  static constexpr std::uint64_t count = 1'000'000'000;
  static constexpr std::chrono::microseconds duration = std::chrono::hours(24 * 7);
  /// Entries of a Mate that was offline; older ones would be retired as they come.
  static constexpr auto oldest = std::chrono::hours(24 * 30);
  static constexpr auto youngest = std::chrono::minutes(5);  ///< for clocks that are wrong
};

/// May the Mate record this? It speaks of its own enforcement only: whom it served or refused (a Mate, a
/// person or a guest), at one of its own resources, by the actions that stand for that. Fails with
/// `request.bad_value`.
Result<void> check_entry(const intra365::audit::Entry& entry, std::string_view mate, Timestamp now);

/// Zero bytes have no place in PostgreSQL's text: they become U+FFFD, so that what was decided is recorded
/// whatever somebody has put into a name.
void make_storable(intra365::audit::Entry& entry);

/// Is the entry the reason why an append has failed (SQLSTATE 22 and 23), whatever the state of the servers?
/// Everything else may pass, a right that is missing too: then entries wait.
bool is_unstorable(const Error& error);

/// Bytes that nobody could read, as text to look at and to search for identifiers: all but printable ASCII
/// becomes U+FFFD.
std::string legible(std::string_view bytes);

}  // namespace intra365::services::audit
