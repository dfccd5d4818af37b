// The policy service's tables.
#pragma once
#include "contract/operations/decisions.hpp"
#include "platform/environment.hpp"

namespace intra365::services::policy {

namespace errors {
inline constexpr ErrorCode unknown_policy{ErrorKind::not_found, "policy.unknown",
                                          "There is no such policy in this tenant."};
inline constexpr ErrorCode unknown_version{ErrorKind::not_found, "policy.unknown_version",
                                           "The policy never had this version."};
inline constexpr ErrorCode policy_exists{ErrorKind::conflict, "policy.exists",
                                         "There is a policy of this id already; update it instead."};
inline constexpr ErrorCode version_conflict{ErrorKind::conflict, "policy.version_conflict",
                                            "Somebody changed the policy in between: read it again."};
inline constexpr ErrorCode unknown_decision{ErrorKind::not_found, "policy.unknown_decision",
                                            "No decision of this id is recorded in this tenant."};
inline constexpr ErrorCode too_many_watches{ErrorKind::exhausted, "policy.too_many_watches",
                                            "More decisions are being watched than may."};
}  // namespace errors

/// What a person's attributes are, as policies may ask for them.
struct UserFacts {
  std::optional<std::string> country;
  boost::json::value profile;
};
BOOST_DESCRIBE_STRUCT(UserFacts, (), (country, profile))

class Store {
 public:
  explicit Store(platform::Environment& environment) : database_(environment.database) {}

  /// `change` is what the version says: `created`, or `rolled_back` for a policy that was deleted.
  Task<intra365::policy::ChangeReply> create(TenantId tenant, intra365::policy::Policy policy,
                                             std::string actor, SteadyTime deadline,
                                             std::string change = "created");
  Task<intra365::policy::ChangeReply> update(TenantId tenant, intra365::policy::Policy policy,
                                             std::string actor, SteadyTime deadline,
                                             std::string change = "updated");
  Task<intra365::policy::ChangeReply> remove(TenantId tenant, PolicyId id, std::string actor,
                                             SteadyTime deadline);
  /// Gives a tenant that never had a policy the default set; does nothing for others.
  Task<> add_defaults(TenantId tenant, SteadyTime deadline);

  struct Set {
    std::uint64_t epoch = 0;
    std::vector<intra365::policy::Policy> policies;
  };
  /// What is in force, and what is evaluated beside it in shadow.
  Task<Set> set_in_use(TenantId tenant, SteadyTime deadline);
  Task<std::uint64_t> epoch(TenantId tenant, SteadyTime deadline);
  Task<std::vector<intra365::policy::Policy>> list(TenantId tenant, std::optional<PolicyId> only,
                                                   std::string after, int limit, SteadyTime deadline);
  /// Newest first; one version, or those before one.
  Task<std::vector<intra365::policy::PolicyVersion>> versions(TenantId tenant, PolicyId id,
                                                              std::optional<std::uint64_t> only,
                                                              std::optional<std::uint64_t> before, int limit,
                                                              SteadyTime deadline);
  Task<std::optional<UserFacts>> user(TenantId tenant, UserId user, SteadyTime deadline);
  enum class Known { users, mates };
  /// Ids that exist, in order of their bytes, beginning with `from`.
  Task<std::vector<std::string>> ids(Known known, TenantId tenant, std::string from, int limit,
                                     SteadyTime deadline);

  /// Adding a record again changes nothing.
  Task<> record(TenantId tenant, std::vector<intra365::policy::DecisionRecord> records, SteadyTime deadline);
  Task<intra365::policy::DecisionRecord> decision(TenantId tenant, std::string id, SteadyTime deadline);
  /// The policies as they were when the tenant's set had this epoch.
  Task<std::vector<intra365::policy::Policy>> set_at(TenantId tenant, std::uint64_t epoch,
                                                     SteadyTime deadline);

 private:
  postgres::Pool& database_;
};

}  // namespace intra365::services::policy
