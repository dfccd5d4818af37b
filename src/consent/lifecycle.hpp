// The life of a consent: which change is possible now, and what a row of changes adds up to. Pure rules over
// values; who may change what, and where it is stored, is the consent service's business.
#pragma once
#include <span>

#include "consent/catalogue.hpp"
#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"

namespace intra365::consent {

namespace errors {
inline constexpr ErrorCode expiry_in_the_past{ErrorKind::invalid, "consent.expiry_in_the_past",
                                              "expiresAt must lie in the future."};
inline constexpr ErrorCode wrong_state{ErrorKind::conflict, "consent.wrong_state",
                                       "The consent is not in a state where this change is possible."};
inline constexpr ErrorCode conflict{ErrorKind::conflict, "consent.conflict",
                                    "The consent has changed since; the message says its current revision."};
inline constexpr ErrorCode not_narrower{ErrorKind::invalid, "consent.not_narrower",
                                        "Narrowing leaves nothing that was not allowed before."};
inline constexpr ErrorCode not_longer{ErrorKind::invalid, "consent.not_longer",
                                      "Renewing lets a consent hold longer; narrow it to shorten it."};
inline constexpr ErrorCode not_delegable{
    ErrorKind::denied, "consent.not_delegable",
    "The person has not allowed to hand this consent on, or not this far."};
inline constexpr ErrorCode refused_by_person{
    ErrorKind::denied, "consent.refused_by_person",
    "The person has refused this Mate what would be handed on to it; only they can allow it now."};
inline constexpr ErrorCode delegation_cycle{ErrorKind::invalid, "consent.delegation_cycle",
                                            "The Mate stands in the chain already."};
}  // namespace errors

/// In how many steps a consent may be handed on at most.
inline constexpr int kMaxDelegationDepth = 5;

/// Who makes a change, and when.
struct Moment {
  std::string actor;  ///< `user:<id>`
  Timestamp now;
};

/// Purposes, and scopes, that one consent may name.
inline constexpr std::size_t kMaxNames = 50;
template <class Names>
Result<void> check_names(const Names& names, std::string_view field) {
  if (names.empty() || names.size() > kMaxNames)
    return fail(intra365::errors::bad_value, std::string(field).append(": 1 to 50 are needed"));
  return {};
}

/// True when a grant of `wide` covers a use of `narrow`: the same, or below it (`profile`, `profile.read`).
bool covers(std::string_view wide, std::string_view narrow);

// Each returns the change to record, or why it is impossible. `expected` is the revision the caller has seen;
// another than the record's is `consent.conflict`. A change carries the next revision, so that of two made
// from one state only one can be stored.

/// `id` is the new record's.
Result<HistoryEntry> decide_grant(const ConsentId& id, const GrantRequest& request,
                                  const Catalogue& catalogue, const Moment& moment);
/// The old record's end, where a grant names one that it supersedes.
Result<HistoryEntry> decide_supersede(const Consent& current, const ConsentId& by, const Moment& moment);
Result<HistoryEntry> decide_refuse(const ConsentId& id, const RefuseRequest& request,
                                   const Catalogue& catalogue, const Moment& moment);
Result<HistoryEntry> decide_narrow(const Consent& current, const NarrowRequest& request,
                                   const Moment& moment);
Result<HistoryEntry> decide_renew(const Consent& current, const RenewRequest& request,
                                  const Catalogue& catalogue, const Moment& moment);
Result<HistoryEntry> decide_suspend(const Consent& current, const HoldRequest& request, const Moment& moment);
Result<HistoryEntry> decide_resume(const Consent& current, const HoldRequest& request, const Moment& moment);
/// `effective_at`: since when, where the person said so earlier than we learned it; not in the future.
Result<HistoryEntry> decide_revoke(const Consent& current, std::optional<std::uint64_t> expected,
                                   std::optional<Timestamp> effective_at, const Moment& moment);

/// What is left of a consent for somebody who objects to these purposes and all below them: narrowed, or
/// revoked where nothing is left. A wider purpose cannot be kept in part, so it goes as a whole. None where
/// nothing is touched.
Result<std::optional<HistoryEntry>> decide_object(const Consent& current, std::span<const Purpose> purposes,
                                                  const Moment& moment);

/// What is left of a consent once its person has refused these scopes for these purposes: a newer no takes
/// from it what it is about. Narrowed, or revoked where nothing is left; none where nothing is touched. A
/// wider name cannot be kept in part, so it goes as a whole; and where scopes and purposes both stay in part,
/// the purposes go.
Result<std::optional<HistoryEntry>> decide_give_way(const Consent& current, std::span<const Purpose> purposes,
                                                    std::span<const Scope> scopes, const Moment& moment);

/// A Mate hands `current` on. `current` is as it holds (`effective`), `above` the consents it hangs on.
Result<HistoryEntry> decide_delegate(const ConsentId& id, const Consent& current,
                                     std::span<const Consent> above, const DelegateRequest& request,
                                     const Moment& moment);

/// Refuses a delegation to a Mate that its person has refused the same. `own` is what the person has said to
/// that Mate: what they have allowed it after the refusal may be handed on to it, too.
Result<void> check_not_refused(const HistoryEntry& delegated, std::span<const Consent> own);

/// A delegated consent as it holds: what every consent above it leaves of it, and only while each of them is
/// active. So a change above reaches everything below without a copy.
Consent effective(Consent record, std::span<const Consent> above);

/// Where a consent stands after a change. What was revoked or superseded stays so.
Status status_after(Status before, EventKind event);

/// Makes one change to a record; the first change makes the record. Of what was revoked or superseded nothing
/// brings back any part, in whatever order the changes are applied.
void apply(Consent& record, const HistoryEntry& change);

/// The records that these changes add up to, at one time and by the knowledge of another: only changes that
/// held at `valid_at` and were recorded by `known_at` count. Takes the changes of any number of consents in
/// any order; the same change twice counts once.
std::vector<Consent> fold(std::span<const HistoryEntry> changes, Timestamp valid_at, Timestamp known_at);

}  // namespace intra365::consent
