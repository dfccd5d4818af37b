// Operations of consents that people inherit: households, who belongs to them, and what a household or the
// organisation consents to for its people (docs/adr/0007).
#pragma once
#include "contract/operations/consent.hpp"

namespace intra365::consent {

/// A stay in a household, from the invitation on.
struct HouseholdMember {
  UserId user_id;
  bool keeper = false;  ///< may consent for the household, and invite
  Timestamp invited_at;
  std::optional<Timestamp> joined_at;  ///< absent: invited, and not a member yet
};
BOOST_DESCRIBE_STRUCT(HouseholdMember, (), (user_id, keeper, invited_at, joined_at))

/// As it is now.
struct Household {
  HouseholdId household_id;
  Timestamp founded_at;
  std::optional<Timestamp> ended_at;  ///< nobody belongs to it any more
  std::vector<HouseholdMember> members;
};
BOOST_DESCRIBE_STRUCT(Household, (), (household_id, founded_at, ended_at, members))

struct HouseholdsReply {
  std::vector<Household> households;  ///< the caller's, and those that have invited them
};
BOOST_DESCRIBE_STRUCT(HouseholdsReply, (), (households))

struct InviteRequest {
  HouseholdId household_id;
  UserId user_id;
  std::optional<bool> keeper;
};
BOOST_DESCRIBE_STRUCT(InviteRequest, (), (household_id, user_id, keeper))

struct JoinRequest {
  HouseholdId household_id;
};
BOOST_DESCRIBE_STRUCT(JoinRequest, (), (household_id))

struct LeaveRequest {
  HouseholdId household_id;
  std::optional<UserId> user_id;          ///< absent: the caller; another only as a keeper
  std::optional<Timestamp> effective_at;  ///< since when, where that was earlier than now
};
BOOST_DESCRIBE_STRUCT(LeaveRequest, (), (household_id, user_id, effective_at))

struct MembershipReply {
  Household household;
  /// The consent epoch of whoever came or went: `minEpoch` of a verification. To others 0, where they never
  /// came.
  std::uint64_t epoch = 0;
  Propagation propagation;
};
BOOST_DESCRIBE_STRUCT(MembershipReply, (), (household, epoch, propagation))

/// What a household or the organisation allows, or refuses, for its people.
struct InheritedRequest {
  std::optional<HouseholdId> household_id;  ///< absent: the organisation
  MateId mate_id;
  std::vector<Purpose> purposes;  ///< each inheritable by the catalogue, for a grant
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;  ///< of a grant
  std::optional<std::string> method, notice_version, evidence;
  std::optional<int> delegation_depth;  ///< of a grant
};
BOOST_DESCRIBE_STRUCT(InheritedRequest, (),
                      (household_id, mate_id, purposes, scopes, expires_at, method, notice_version, evidence,
                       delegation_depth))

inline constexpr auto found_household = operation<Empty, Household>({
    .subject = "intra365.consent.found_household",
    .http = {Method::post, "/v1/households"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person founds a household and is its first keeper.",
    .example = "{}",
});
inline constexpr auto households = operation<Empty, HouseholdsReply>({
    .subject = "intra365.consent.households",
    .http = {Method::get, "/v1/households"},
    .access = Access::anyone,
    .summary = "The caller's household, and those that have invited them.",
    .example = "{}",
});
inline constexpr auto invite_to_household = operation<InviteRequest, Household>({
    .subject = "intra365.consent.invite_to_household",
    .http = {Method::post, "/v1/households/{householdId}/invite"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A keeper invites a person; nothing holds for them before they join.",
    .example = R"({"householdId":"0198…","userId":"ben"})",
});
inline constexpr auto join_household = operation<JoinRequest, MembershipReply>({
    .subject = "intra365.consent.join_household",
    .http = {Method::post, "/v1/households/{householdId}/join"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "An invited person joins; its consents hold for them where they have said nothing themselves.",
    .example = R"({"householdId":"0198…"})",
});
inline constexpr auto leave_household = operation<LeaveRequest, MembershipReply>({
    .subject = "intra365.consent.leave_household",
    .http = {Method::post, "/v1/households/{householdId}/leave"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary =
        "A person leaves, or a keeper has them leave; nothing it allows holds for them after the bound.",
    .example = R"({"householdId":"0198…"})",
});
inline constexpr auto grant_inherited = operation<InheritedRequest, Consent>({
    .subject = "intra365.consent.grant_inherited",
    .http = {Method::post, "/v1/consents/inherited"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "A keeper for a household, or the operator for the organisation, allows a Mate something.",
    .example = R"({"householdId":"0198…","mateId":"butler","purposes":["care"],"scopes":["calendar"]})",
});
inline constexpr auto refuse_inherited = operation<InheritedRequest, Consent>({
    .subject = "intra365.consent.refuse_inherited",
    .http = {Method::post, "/v1/consents/inherited/refuse"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "The same to say no; a person's own yes stands above it.",
    .example = R"({"mateId":"butler","purposes":["marketing"],"scopes":["profile"]})",
});

}  // namespace intra365::consent
