// Live decisions: somebody asks once and is told when the answer changes, because a policy did, or the
// person's consent, or the clock. A watch lives as long as it is asked for again; it is a lease, like
// everything else here.
#pragma once
#include <map>

#include "services/policy/decisions.hpp"

namespace intra365::services::policy {

/// Owned by one shard; not thread-safe.
class Watches {
 public:
  Watches(platform::Environment& environment, Decisions& decisions);
  Task<> start();

  Task<intra365::policy::WatchReply> watch(const platform::Caller& caller,
                                           const intra365::policy::WatchRequest& request);
  std::size_t size() const { return watches_.size(); }

 private:
  struct Watch {
    TenantId tenant;
    std::string account, caller, subject;
    intra365::policy::EvaluateRequest question;
    bool of_a_person = false;  ///< consent and its expiry may change the answer, too
    std::string told;          ///< the answer told last, without its id
    SteadyTime until;
  };
  Task<> keep_looking();
  /// Asks again for those of a tenant that may have changed.
  Task<> look_again(std::optional<TenantId> tenant, bool only_people);
  void wake(std::optional<TenantId> tenant, bool only_people);

  static constexpr std::size_t kMaxWatches = 20'000, kMaxOfCaller = 200;

  platform::Environment& environment_;
  Decisions& decisions_;
  std::map<std::string, Watch> watches_;  ///< by id
  nats::Subscription consents_;
};

}  // namespace intra365::services::policy
