// Error codes that belong to the wire contract itself, whichever service answers.
#pragma once
#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode body_too_large{ErrorKind::invalid, "request.too_large",
                                          "The request is larger than this operation takes."};
inline constexpr ErrorCode headers_too_large{ErrorKind::invalid, "request.headers_too_large",
                                             "The message's headers are larger than 16 KiB."};
inline constexpr ErrorCode bad_value{ErrorKind::invalid, "request.bad_value",
                                     "A field has a value that is not allowed; the message names it."};
inline constexpr ErrorCode unknown_operation{ErrorKind::not_found, "request.unknown_operation",
                                             "There is no such operation."};
inline constexpr ErrorCode method_not_allowed{ErrorKind::invalid, "request.method_not_allowed",
                                              "This path does not take this method."};
inline constexpr ErrorCode no_token{ErrorKind::unauthenticated, "token.missing",
                                    "Send an access token: Authorization: Bearer <token>."};
inline constexpr ErrorCode expired_token{ErrorKind::unauthenticated, "token.expired",
                                         "The token has expired; get a new one."};
inline constexpr ErrorCode revoked_token{ErrorKind::unauthenticated, "token.revoked",
                                         "The token was revoked."};
inline constexpr ErrorCode wrong_tenant{ErrorKind::unauthenticated, "token.wrong_tenant",
                                        "The token belongs to another tenant than the connection."};
inline constexpr ErrorCode wrong_issuer{ErrorKind::unauthenticated, "token.wrong_issuer",
                                        "The token was not issued by this platform, or not for it."};
inline constexpr ErrorCode role_required{ErrorKind::denied, "access.role_required",
                                         "This operation needs a role the caller does not have."};
inline constexpr ErrorCode not_yours{ErrorKind::denied, "access.not_yours",
                                     "The caller may act only for itself here."};
inline constexpr ErrorCode service_busy{ErrorKind::exhausted, "service.busy",
                                        "The service is at its limit; try again a little later."};
inline constexpr ErrorCode stopping{ErrorKind::unavailable, "service.stopping",
                                    "The service is being stopped; another one will answer."};
inline constexpr ErrorCode rate_limited{ErrorKind::exhausted, "rate.limited",
                                        "Too many requests; the reply says when to try again."};
inline constexpr ErrorCode lease_expired{
    ErrorKind::unavailable, "guard.lease_expired",
    "The enforcement point has not heard from the platform lately and refuses to guess."};
inline constexpr ErrorCode policy_denied{ErrorKind::denied, "policy.denied",
                                         "No policy allows this, or one forbids it."};
inline constexpr ErrorCode consent_none{ErrorKind::denied, "consent.none",
                                        "The person has not consented to this use of their data."};
inline constexpr ErrorCode consent_expired{ErrorKind::denied, "consent.expired",
                                           "The person's consent has expired."};
inline constexpr ErrorCode consent_revoked{ErrorKind::denied, "consent.revoked",
                                           "The person has taken the consent back."};
inline constexpr ErrorCode consent_suspended{ErrorKind::denied, "consent.suspended",
                                             "The person has paused the consent."};
inline constexpr ErrorCode consent_refused{ErrorKind::denied, "consent.refused",
                                           "The person was asked for this consent and said no."};
inline constexpr ErrorCode consent_scope{ErrorKind::denied, "consent.scope_missing",
                                         "The consent does not cover every scope that is needed."};
inline constexpr ErrorCode consent_purpose{ErrorKind::denied, "consent.purpose_mismatch",
                                           "The consent was given for another purpose."};
inline constexpr ErrorCode consent_mismatch{ErrorKind::denied, "consent.mismatch",
                                            "The consent id sent is not the one that covers this use."};
inline constexpr ErrorCode opted_out{ErrorKind::denied, "consent.opted_out",
                                     "This browser or device says that the person's data may not be sold or "
                                     "shared, and the purpose does that."};
inline constexpr ErrorCode foreign_form{ErrorKind::denied, "gateway.foreign_form",
                                        "This choice can only be made on a page of this site."};
inline constexpr ErrorCode user_required{ErrorKind::invalid, "consent.user_required",
                                         "This action uses a person's data: send X-User-Id."};
}  // namespace intra365::errors
