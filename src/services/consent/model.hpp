// Pure rules of consent management: what a valid grant is, and who may see and change what.
#pragma once
#include "contract/operations/consent.hpp"
#include "platform/caller.hpp"

namespace intra365::services::consent {

namespace errors {
inline constexpr ErrorCode not_the_person{ErrorKind::denied, "consent.not_the_person",
                                          "Only the person whose data it is grants and revokes consent."};
inline constexpr ErrorCode expiry_in_the_past{ErrorKind::invalid, "consent.expiry_in_the_past",
                                              "expiresAt must lie in the future."};
inline constexpr ErrorCode lifetime_too_long{ErrorKind::invalid, "consent.lifetime_too_long",
                                             "A consent lasts at most ten years; ask again after that."};
inline constexpr ErrorCode unknown_consent{ErrorKind::not_found, "consent.unknown",
                                           "There is no such consent for this person."};
inline constexpr ErrorCode stale{ErrorKind::unavailable, "consent.stale",
                                 "The answer would be older than the epoch asked for; try again."};
}  // namespace errors

/// Checks a grant: by the person, for something, until a time to come.
Result<void> check_grant(const platform::Caller& caller, const intra365::consent::GrantRequest& request,
                         Timestamp now);

/// Checks a revocation; returns whose consents it is about.
Result<UserId> check_revoke(const platform::Caller& caller, const intra365::consent::RevokeRequest& request);

/// May the caller ask whether this consent holds? The person, the Mate itself, any Mate that is about to
/// send data to it, and the operator may; what they learn is only yes or no.
Result<void> check_verify(const platform::Caller& caller, const intra365::consent::VerifyRequest& request);

/// Whose records a caller sees: their own, those granted to it, or all.
struct View {
  std::optional<std::string> user_id, mate_id;
};
Result<View> view_of(const platform::Caller& caller, const std::optional<UserId>& user,
                     const std::optional<MateId>& mate);

}  // namespace intra365::services::consent
