// What happens around the end of a consent, on time and once: reminders, the end itself, and what the person
// makes of it. Timers are JetStream schedules on subjects that name the step, so that however many instances
// plan the same step there is one; whoever is handed a due step takes it in a transaction that takes it once.
#pragma once
#include <set>

#include "contract/operations/consent_upkeep.hpp"
#include "nats/jetstream.hpp"
#include "platform/environment.hpp"
#include "platform/service.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {

namespace errors {
inline constexpr ErrorCode nothing_to_renew{
    ErrorKind::invalid, "consent.nothing_to_renew",
    "The consent does not hold, or has no end: there is nothing that the person could renew."};
}

/// A step that is due at a time.
struct Timer {
  TenantId tenant_id;
  ConsentId consent_id;
  Timestamp expires_at;
  int seconds_before = 0;  ///< 0: the end itself
  Timestamp due_at;
};
BOOST_DESCRIBE_STRUCT(Timer, (), (tenant_id, consent_id, expires_at, seconds_before, due_at))

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks.
class Renewals {
 public:
  explicit Renewals(platform::Environment& environment);
  Task<> start();
  /// A record is new or was changed: what is due soon is planned at once.
  void changed(const intra365::consent::Consent& record);

  Task<intra365::consent::RenewalsReply> list(const platform::Caller& caller,
                                              const intra365::consent::RenewalsRequest& request);
  Task<intra365::consent::Renewal> ask(const platform::Caller& caller,
                                       const intra365::consent::AskRenewalRequest& request);
  Task<intra365::consent::Reminders> reminders(const platform::Caller& caller, const Empty&);
  Task<intra365::consent::Reminders> set_reminders(const platform::Caller& caller,
                                                   const intra365::consent::Reminders& request);

 private:
  Task<> make_stream();
  Task<> keep_planning();
  Task<> plan();
  Task<> learn_reminders();
  Task<> publish(const Timer& timer);
  Task<> keep_taking();
  /// True: the step is done with.
  Task<bool> take(Timer timer);
  Task<> keep_sweeping();

  platform::Environment& environment_;
  std::set<int> in_use_;     ///< every tenant's reminders, as of the last plan; at most 1,000 of them
  Timestamp planned_{};      ///< up to here, every step was planned by this process
  asio::steady_timer wake_;  ///< cancelled when there is something to plan at once
  bool hurried_ = false;
};

}  // namespace intra365::services::consent
