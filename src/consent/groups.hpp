// Whose consent a record is: a person's, a household's or the organisation's. Pure.
#pragma once
#include <optional>
#include <string_view>

#include "consent/lifecycle.hpp"
#include "contract/operations/households.hpp"

namespace intra365::consent {

/// People in one household, invitations included.
inline constexpr std::size_t kMaxHouseholdMembers = 50;

/// The subject of a household's consents: `household:<id>`.
SubjectId household_subject(const HouseholdId& household);
/// The subject of the consents that hold for every user of a tenant: `organisation:<tenant>`.
SubjectId organisation_subject(const TenantId& tenant);
/// Where somebody has this subject's consent from; absent: it is their own. A group nobody knows is an error
/// of whoever wrote it, so it counts as the nearest one, and as nobody's.
std::optional<InheritedFrom> group_of(std::string_view subject);
/// The household of such a subject; empty for any other.
HouseholdId household_of(std::string_view subject);

/// What a group allows a Mate to do with a person's data, and the person objects to.
struct Objected {
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
};
/// The person's own no to that: as many refusals as the limit on names needs, whose ids are the caller's to
/// give. No catalogue is asked: what was allowed may be refused.
std::vector<HistoryEntry> decide_objection(const Objected& objected, const Moment& moment);

/// What a group allows or refuses: as decide_grant and decide_refuse, for inheritable purposes only. No may
/// be said to anything.
Result<HistoryEntry> decide_group_grant(const ConsentId& id, const SubjectId& group,
                                        const InheritedRequest& request, const Catalogue& catalogue,
                                        const Moment& moment);
Result<HistoryEntry> decide_group_refuse(const ConsentId& id, const SubjectId& group,
                                         const InheritedRequest& request, const Catalogue& catalogue,
                                         const Moment& moment);
/// Refuses to let a group's consent hold longer, or again, where it could not be given any more.
Result<void> check_still_inheritable(const Consent& current, const Catalogue& catalogue);

}  // namespace intra365::consent
