// Who may use whose rights, when a request is due, and whether a message names a person. Without I/O.
#pragma once
#include <string>
#include <string_view>

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
inline constexpr ErrorCode unknown_person{ErrorKind::not_found, "privacy.unknown_person",
                                          "The tenant has no such person."};
}  // namespace errors

/// The person themselves, or a privacy officer of their tenant. Fails with `access.not_yours`.
Result<void> check_rights(const platform::Caller& caller, const UserId& user);

/// One month for everything but opt-outs, which have 15 business days.
Timestamp due_at(wire::RequestKind kind, Timestamp received_at);

/// Whom an erasure looks for.
struct Person {
  TenantId tenant;
  std::string account;  ///< the tenant's NATS account
  UserId user;
};

/// Does this message of a stream, JSON or not, name the person? Names of other tenants' people do not count.
bool names(const Person& person, std::string_view subject, std::string_view payload);

}  // namespace intra365::services::privacy
