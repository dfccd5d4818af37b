// Who may see and change which consents. What a change may be is in src/consent.
#pragma once
#include "contract/operations/consent.hpp"
#include "platform/caller.hpp"

namespace intra365::services::consent {

namespace errors {
inline constexpr ErrorCode not_the_person{ErrorKind::denied, "consent.not_the_person",
                                          "Only the person whose data it is grants and revokes consent."};
inline constexpr ErrorCode unknown_consent{ErrorKind::not_found, "consent.unknown",
                                           "There is no such consent for this person."};
inline constexpr ErrorCode stale{ErrorKind::unavailable, "consent.stale",
                                 "The answer would be older than the epoch asked for; try again."};
}  // namespace errors

/// Only the person whose data it is grants, refuses and changes.
Result<void> check_person(const platform::Caller& caller, const UserId& user);
/// For changes that name only a consent: returns whose it must be.
Result<UserId> person(const platform::Caller& caller);

/// Checks a revocation; returns whose consents it is about.
Result<UserId> check_revoke(const platform::Caller& caller, const intra365::consent::RevokeRequest& request);

/// May the caller ask whether this consent holds? The person, the Mate itself, any Mate that is about to
/// send data to it, and the operator may; what they learn is only yes or no.
Result<void> check_verify(const platform::Caller& caller, const intra365::consent::VerifyRequest& request);

/// Looking back shows whole records: it is for the person, the Mate itself, and the operator.
Result<void> check_as_of(const platform::Caller& caller, const intra365::consent::AsOfRequest& request);

/// Whose records a caller sees: their own, those granted to it, or all.
struct View {
  std::optional<std::string> user_id, mate_id;
};
Result<View> view_of(const platform::Caller& caller, const std::optional<UserId>& user,
                     const std::optional<MateId>& mate);

}  // namespace intra365::services::consent
