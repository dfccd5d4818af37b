#include "consent/groups.hpp"

#include <algorithm>

#include "contract/errors.hpp"

namespace intra365::consent {
namespace {

constexpr std::string_view kHousehold = "household:", kOrganisation = "organisation:";

}  // namespace

SubjectId household_subject(const HouseholdId& household) {
  return SubjectId::trusted(std::string(kHousehold) + household.str());
}

SubjectId organisation_subject(const TenantId& tenant) {
  return SubjectId::trusted(std::string(kOrganisation) + tenant.str());
}

std::optional<InheritedFrom> group_of(std::string_view subject) {
  if (subject.find(':') == std::string_view::npos) return std::nullopt;
  return subject.starts_with(kOrganisation) ? InheritedFrom::organisation : InheritedFrom::household;
}

HouseholdId household_of(std::string_view subject) {
  if (!subject.starts_with(kHousehold)) return {};
  return HouseholdId::trusted(std::string(subject.substr(kHousehold.size())));
}

std::vector<HistoryEntry> decide_objection(const Objected& objected, const Moment& moment) {
  std::vector<HistoryEntry> changes;
  for (std::span<const Purpose> left = objected.purposes; !left.empty();) {
    const auto some = left.first(std::min(left.size(), kMaxNames));
    auto& change = changes.emplace_back();
    change.user_id = subject_of(objected.user_id);
    change.mate_id = objected.mate_id;
    change.event = EventKind::refused;
    change.actor = moment.actor;
    change.purposes.assign(some.begin(), some.end());
    change.scopes = objected.scopes;
    change.method = "objection";
    change.recorded_at = change.valid_from = moment.now;
    left = left.subspan(some.size());
  }
  return changes;
}

Result<HistoryEntry> decide_group_grant(const ConsentId& id, const SubjectId& group,
                                        const InheritedRequest& request, const Catalogue& catalogue,
                                        const Moment& moment) {
  CHECK(catalogue.check_inheritable(request.purposes));
  GrantRequest grant;
  grant.mate_id = request.mate_id;
  grant.purposes = request.purposes;
  grant.scopes = request.scopes;
  grant.expires_at = request.expires_at;
  grant.method = request.method;
  grant.notice_version = request.notice_version;
  grant.evidence = request.evidence;
  grant.delegation_depth = request.delegation_depth;
  TRY(auto change, decide_grant(id, grant, catalogue, moment));
  change.user_id = group;
  return change;
}

Result<HistoryEntry> decide_group_refuse(const ConsentId& id, const SubjectId& group,
                                         const InheritedRequest& request, const Catalogue& catalogue,
                                         const Moment& moment) {
  if (request.expires_at || request.delegation_depth)
    return fail(intra365::errors::bad_value, "expiresAt, delegationDepth: only for a grant");
  RefuseRequest refuse;
  refuse.mate_id = request.mate_id;
  refuse.purposes = request.purposes;
  refuse.scopes = request.scopes;
  refuse.method = request.method;
  refuse.notice_version = request.notice_version;
  refuse.evidence = request.evidence;
  TRY(auto change, decide_refuse(id, refuse, catalogue, moment));
  change.user_id = group;
  return change;
}

Result<void> check_still_inheritable(const Consent& current, const Catalogue& catalogue) {
  if (!group_of(current.user_id.str())) return {};
  return catalogue.check_inheritable(current.purposes);
}

}  // namespace intra365::consent
