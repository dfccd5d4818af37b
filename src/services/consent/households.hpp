// Households: who belongs to which, and what they and the organisation say for their people. Consents of
// groups are records like others; what is different is who may change them, and who hears of it when somebody
// comes or goes.
#pragma once
#include <functional>

#include "contract/operations/households.hpp"
#include "platform/service.hpp"
#include "services/consent/store.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Households {
 public:
  using Records = std::vector<intra365::consent::Consent>;
  struct Told {
    std::uint64_t epoch = 0;  ///< the highest of the records
    Records consents;         ///< as they hold
    intra365::consent::Propagation propagation;
  };
  /// Spreads records that were just stored, and returns once they were pushed.
  using Tell = std::function<Task<Told>(const platform::Caller&, Records)>;

  Households(platform::Environment& environment, Store& store, Tell tell)
      : database_(environment.database), store_(store), tell_(std::move(tell)) {}

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
  /// As Store::append of one, for consents of a household: no member comes or goes meanwhile. Where a person
  /// asks, they must be a keeper still; empty otherwise.
  Task<Records> append(const platform::Caller& caller, intra365::consent::HouseholdId household,
                       Append changes);

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
  /// A change of members with everything that follows from it, in one transaction; told before it returns.
  Task<intra365::consent::MembershipReply> change_members(const platform::Caller& caller,
                                                          intra365::consent::HouseholdId household,
                                                          UserId whose, postgres::Statement change);

  postgres::Pool& database_;
  Store& store_;
  Tell tell_;
};

}  // namespace intra365::services::consent
