// Households: who belongs to which, and what they and the organisation say for their people. Consents of
// groups are records like others; what is different is who may change them, and who hears of it when somebody
// comes or goes.
#pragma once
#include "contract/operations/households.hpp"
#include "platform/service.hpp"
#include "services/consent/appender.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Households {
 public:
  Households(platform::Environment& environment, Store& store, Appender& appender, Spread& spread)
      : environment_(environment),
        database_(environment.database),
        store_(store),
        appender_(appender),
        spread_(spread) {}

  Task<intra365::consent::Household> found(const platform::Caller& caller, const Empty&);
  Task<intra365::consent::HouseholdsReply> list(const platform::Caller& caller, const Empty&);
  Task<intra365::consent::Household> invite(const platform::Caller& caller,
                                            const intra365::consent::InviteRequest& request);
  Task<intra365::consent::MembershipReply> join(const platform::Caller& caller,
                                                const intra365::consent::JoinRequest& request);
  Task<intra365::consent::MembershipReply> leave(const platform::Caller& caller,
                                                 const intra365::consent::LeaveRequest& request);
  /// For the erasure that somebody asked for: they leave everything, open invitations too.
  Task<> leave_all(const platform::Caller& caller, UserId user);

  /// May the caller speak for this group? Fails with `consent.not_for_the_group`.
  Task<> check_speaks(const platform::Caller& caller, intra365::consent::SubjectId group);
  /// The group that a request names, if the caller may speak for it and it has room for a consent.
  Task<intra365::consent::SubjectId> group_for(const platform::Caller& caller,
                                               std::optional<intra365::consent::HouseholdId> household);
  /// As Appender::append, for consents of a group: nobody comes, goes or objects meanwhile. Where a person
  /// asks for a household, they must be a keeper still; nothing is stored otherwise. Whoever objects to what
  /// the group is about to allow has refused it for themselves before.
  Task<Told> append(const platform::Caller& caller, intra365::consent::SubjectId group,
                    std::vector<Change> changes);
  /// Notes that a person objects to these purposes from now on, and refuses for them what their groups allow.
  /// Returns those refusals.
  Task<Records> object(const platform::Caller& caller, UserId user, std::vector<Purpose> purposes);

  /// What a user's groups have said to a Mate, as it holds. Nothing where there is more of it than can be
  /// looked at: part of it might be all but a no.
  Task<Records> inherited(TenantId tenant, UserId user, MateId mate, SteadyTime deadline);
  /// A page of what the groups of the caller say, to one Mate or all.
  Task<Records> query(const platform::Caller& caller, std::optional<MateId> mate, std::optional<bool> active,
                      Page page);
  /// Whose consents somebody inherited at one time, as known at another.
  Task<std::vector<intra365::consent::SubjectId>> groups_then(TenantId tenant, UserId user,
                                                              Timestamp valid_at, Timestamp known_at,
                                                              SteadyTime deadline);
  /// True when a group has a consent for this Mate that may hold.
  Task<bool> is_inherited(TenantId tenant, MateId mate, SteadyTime deadline);

 private:
  Task<intra365::consent::Household> show(TenantId tenant, intra365::consent::HouseholdId household,
                                          SteadyTime deadline);
  struct Moved;
  Task<Records> move(TenantId tenant, std::vector<postgres::Statement> statements,
                     std::shared_ptr<Moved> moved);
  Task<Records> store(TenantId tenant, intra365::consent::SubjectId group, std::optional<std::string> keeper,
                      boost::json::value changes, std::string trace_id);
  /// Records the refusals that a statement finds to be missing; returns them.
  Task<Records> refuse(const platform::Caller& caller, std::string actor, postgres::Statement missing);
  /// A change of members with everything that follows from it, in one transaction; told before it returns.
  Task<intra365::consent::MembershipReply> change_members(const platform::Caller& caller,
                                                          intra365::consent::HouseholdId household,
                                                          UserId whose, postgres::Statement change);

  platform::Environment& environment_;
  postgres::Pool& database_;
  Store& store_;
  Appender& appender_;
  Spread& spread_;
};

}  // namespace intra365::services::consent
