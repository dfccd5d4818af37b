// Who may use whose rights, when a request is due, and whether a message names a person. Without I/O.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "contract/operations/privacy.hpp"
#include "platform/caller.hpp"

namespace intra365::services::privacy {

namespace wire = intra365::privacy;

namespace errors {
inline constexpr ErrorCode held{
    ErrorKind::conflict, "privacy.held",
    "A legal hold keeps this person's data; it can be erased once the hold is released."};
inline constexpr ErrorCode unconfirmed{ErrorKind::invalid, "privacy.unconfirmed",
                                       "confirm must repeat the userId: an erasure cannot be undone."};
inline constexpr ErrorCode unknown_request{ErrorKind::not_found, "privacy.unknown_request",
                                           "There is no such request, or it is not yours."};
inline constexpr ErrorCode not_open{ErrorKind::conflict, "privacy.not_open",
                                    "The request was resolved already, or the platform is carrying it out."};
inline constexpr ErrorCode unknown_person{ErrorKind::not_found, "privacy.unknown_person",
                                          "The tenant has no such person."};
}  // namespace errors

/// The person themselves, or a privacy officer of their tenant. Fails with `access.not_yours`.
Result<void> check_rights(const platform::Caller& caller, const UserId& user);

/// One month for everything but opt-outs, which have 15 business days.
Timestamp due_at(wire::RequestKind kind, Timestamp received_at);

/// Where a page of uses begins: behind a group of uses that are alike, in the order of what they have in
/// common. What is recorded meanwhile moves no group to another place. Without a person: before the first.
struct AccessPosition {
  Timestamp since, until;
  UserId user_id;
  std::string actor, resource, consent, purpose, outcome, recorded_by;  ///< empty: absent
  std::vector<Scope> scopes;
};
BOOST_DESCRIBE_STRUCT(AccessPosition, (),
                      (since, until, user_id, actor, resource, consent, purpose, outcome, recorded_by,
                       scopes))

/// Of the page that is asked for. Fails with `request.bad_value` for a cursor that was not given out.
Result<AccessPosition> access_position(const wire::AccessRequest& request, Timestamp now);
/// Of the page behind `last`.
std::string access_cursor(const AccessPosition& position, const wire::AccessEntry& last);

/// Whom an erasure looks for.
struct Person {
  TenantId tenant;
  std::string account;  ///< the tenant's NATS account
  UserId user;
};

/// Does this message of a stream, JSON or not, name the person? In JSON a value that is the id does, wherever
/// the Mate that wrote it keeps ids, but for the members in which we keep words of our own; so does
/// `user:<id>` in any text, and the id itself in the texts and member names of JSON where it can be nothing
/// else: it has six characters or more, letters and digits. Names of other tenants' people do not count.
bool names(const Person& person, std::string_view subject, std::string_view payload);
/// The same of a piece of a message whose other pieces are gone.
bool names_fragment(const Person& person, std::string_view fragment);

/// Changes that were larger than a message, put together again from their parts (`cdc::Batcher`).
class AsideParts {
 public:
  static constexpr std::size_t kMaxBytes = 64u << 20;  ///< of one change
  struct Whole {
    std::string text;
    std::vector<std::uint64_t> sequences;  ///< of its parts in the stream
    unsigned parts = 0;                    ///< so many have come in their order
    bool complete = false;
  };

  /// One part, `part` being `<number>/<of>`; what there is of its change now. Null: not a part.
  const Whole* add(std::string_view change, std::string_view part, std::uint64_t sequence,
                   std::string_view payload);
  void forget(std::string_view change);
  /// The first message of those changes that are not complete.
  std::optional<std::uint64_t> first_open() const;
  const std::map<std::string, Whole>& open() const { return open_; }

 private:
  std::map<std::string, Whole> open_;
};

}  // namespace intra365::services::privacy
