// Who may see and change which consents. What a change may be is in src/consent.
#pragma once
#include "consent/groups.hpp"
#include "platform/caller.hpp"

namespace intra365::services::consent {

namespace errors {
inline constexpr ErrorCode not_the_person{ErrorKind::denied, "consent.not_the_person",
                                          "Only the person whose data it is grants and revokes consent."};
inline constexpr ErrorCode unknown_consent{ErrorKind::not_found, "consent.unknown",
                                           "There is no such consent for this person."};
inline constexpr ErrorCode stale{ErrorKind::unavailable, "consent.stale",
                                 "The answer would be older than the epoch asked for; try again."};
inline constexpr ErrorCode not_for_the_group{
    ErrorKind::denied, "consent.not_for_the_group",
    "Only a keeper speaks for a household, and only the tenant's operator for the organisation."};
inline constexpr ErrorCode unknown_household{ErrorKind::not_found, "consent.unknown_household",
                                             "There is no such household, or no invitation to it."};
inline constexpr ErrorCode in_a_household{ErrorKind::conflict, "consent.in_a_household",
                                          "Somebody belongs to one household at a time; leave it first."};
inline constexpr ErrorCode known_member{ErrorKind::conflict, "consent.known_member",
                                        "The person belongs to the household, or is invited to it, already."};
inline constexpr ErrorCode household_full{
    ErrorKind::exhausted, "consent.household_full",
    "A household has at most 50 people, and a group at most 1,000 consents."};
inline constexpr ErrorCode objections_open{
    ErrorKind::unavailable, "consent.objections_open",
    "People object to what their group is about to allow, and their refusals are being recorded; try again."};
inline constexpr ErrorCode too_many_objections{ErrorKind::exhausted, "consent.too_many_objections",
                                               "A person may object to at most 4,000 purposes."};
inline constexpr ErrorCode too_many_delegated{
    ErrorKind::exhausted, "consent.too_many_delegated",
    "A consent is handed on to at most 64 Mates, and at most 256 consents hang on one in all."};
}  // namespace errors

/// Whose consent an audit entry is about, where that is a person.
std::optional<UserId> person_of(const intra365::consent::SubjectId& subject);

/// What the audit trail says a question or a change is about.
void note_use(const platform::Caller& caller, const UserId& user, const std::vector<Scope>& scopes,
              const MateId& mate);

/// Only the person whose data it is grants, refuses and changes.
Result<void> check_person(const platform::Caller& caller, const UserId& user);
/// For changes that name only a consent: returns whose it must be.
Result<UserId> person(const platform::Caller& caller);

/// Checks a revocation; returns whose consents it is about.
Result<UserId> check_revoke(const platform::Caller& caller, const intra365::consent::RevokeRequest& request);

/// May the caller ask whether this consent holds? The person, the Mate itself, any Mate that is about to
/// send data to it, and the operator may. What they learn is the decision about what they asked: yes or no,
/// why, whose word it was and, for a yes, the consent's id, which the use is logged under. Never what else it
/// says.
Result<void> check_verify(const platform::Caller& caller, const intra365::consent::VerifyRequest& request);

/// Looking back shows whole records: it is for the person, the Mate itself, and the operator.
Result<void> check_as_of(const platform::Caller& caller, const intra365::consent::AsOfRequest& request);

/// Whose records a caller sees: their own, those granted to it, or all.
struct View {
  std::optional<std::string> user_id, mate_id;
};
Result<View> view_of(const platform::Caller& caller, const std::optional<UserId>& user,
                     const std::optional<MateId>& mate);

/// From where and with what somebody answered is for the person and for privacy officers, wherever it stands.
bool sees_evidence(const platform::Caller& caller, const intra365::consent::SubjectId& user);
/// Metadata for everybody else: without `ipAddress` and `userAgent`; null where nothing else is in it.
boost::json::value without_evidence(boost::json::value metadata);

/// What groups say for people is for those people, and for the operator.
Result<void> check_inherits(const platform::Caller& caller, const intra365::consent::QueryRequest& request);

}  // namespace intra365::services::consent
