// Does a person's consent, or one they inherit, cover this use, now? Pure functions over records;
// ConsentIndex gives the same answers from memory.
#pragma once
#include <optional>
#include <span>

#include "base/time.hpp"
#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"

namespace intra365::guard {

struct ConsentDecision {
  consent::DecisionCode code = consent::DecisionCode::none;
  const consent::Consent* consent = nullptr;             ///< the record that decided; none for `none`
  std::optional<consent::InheritedFrom> inherited_from;  ///< whose it is; absent: the person's own
  bool allowed() const { return code == consent::DecisionCode::granted; }
};

/// `granted` when one record holds now and covers the purpose and every scope. Otherwise the reason of the
/// record that came nearest: purpose_mismatch and scope_missing before expired, suspended, revoked, refused
/// and none. A scope or purpose covers those below it: `profile` covers `profile.read`.
ConsentDecision decide_consent(std::span<const consent::Consent* const> records,
                               std::span<const Scope> scopes, const Purpose& purpose, Timestamp now);

/// The same with what the person's groups have decided, by the precedence of `decide_by_precedence`.
/// `inherited` are records of groups that the person belongs to now; nobody else's may be among them.
ConsentDecision decide_inherited(std::span<const consent::Consent* const> own,
                                 std::span<const consent::Consent* const> inherited,
                                 std::span<const Scope> scopes, const Purpose& purpose, Timestamp now);

/// What this one record among them says; `none` where it is not. A group's says nothing where a level before
/// it says no: that level's answer is given then. Another's yes neither ends it nor makes it hold.
ConsentDecision decide_by(const ConsentId& consent, std::span<const consent::Consent* const> own,
                          std::span<const consent::Consent* const> inherited, std::span<const Scope> scopes,
                          const Purpose& purpose, Timestamp now);

/// How near an answer is to a grant; of several records the nearest decides.
int nearness(consent::DecisionCode code);

/// The error a caller sees for a decision that is not `granted`.
const ErrorCode& error_of(consent::DecisionCode code);

}  // namespace intra365::guard
