// The receiving side's checks, in-process: who calls (token), may they (policy), and does the person agree
// (consent: scope, purpose, expiry). Fed by pushes and syncs, honest by leases; every decision is recorded.
#pragma once
#include <string_view>
#include <unordered_set>

#include "guard/running_use.hpp"
#include "policy/snapshot.hpp"
#include "replica/token_replica.hpp"
#include "sdk/cpp/audit_queue.hpp"
#include "sdk/cpp/mate.hpp"

namespace intra365::sdk {

/// What an action is, for the decision.
struct GuardedAction {
  std::string resource;  ///< `mate:<id>/<capability>/<action>`
  DataUse use;
};

/// Owned by one thread's executor; not thread-safe.
class EnforcementPoint {
 public:
  /// However long a caller would wait.
  static constexpr std::chrono::minutes kMaxCallTime{5};

  EnforcementPoint(Client& client, TaskGroup& tasks);
  /// Fills the copies of keys, policies and this Mate's consents; they are kept fresh from then on.
  Task<> start(SteadyTime deadline);

  /// Whether everything that it decides by is known to be up to date.
  bool is_certain(BootTime now) const;
  /// Waits until it is, at most for replica::kPatience and for as long as the message may take.
  asio::awaitable<void> until_certain(const nats::MessageView& message);

  /// Lets a message through as a Call (without its payload), or says why not. Never waits.
  Result<Call> check(const GuardedAction& action, const nats::MessageView& message);

  /// The use that a call just let through begins, to be watched until it is over.
  Result<std::shared_ptr<Use>> begin(const GuardedAction& action, const Call& call,
                                     const nats::MessageView& message);
  /// Records how a use went: so many parts of data left, and what ended it.
  void end(const Use& use, std::uint64_t parts, const Result<void>& how);

  /// Writes what is recorded and not yet durable.
  Task<> flush(SteadyTime deadline);
  const Enforcement& counters() {
    counters_.unrecorded = queue_.unrecorded();
    return counters_;
  }

 private:
  /// What a message says of itself, read in one pass; views into the message.
  struct Claims {
    explicit Claims(const nats::HeaderView& headers);
    std::string_view authorization, traceparent, deadline_ms, user_id, consent_id, opt_out;
  };
  struct Moment {
    SteadyTime steady;
    BootTime boot;
    Timestamp system;
  };
  friend class Use;
  friend struct Use::State;
  /// True: permitted. False: nobody knows just now.
  Result<bool> recheck(Use::State& use);
  /// Asks again for everything that is watched.
  void look();
  Task<> keep_looking();
  SteadyTime next_look() const;
  /// Something else is watched: the next look may have to come earlier.
  void look_by(SteadyTime at);
  Result<void> decide(const GuardedAction& action, const Claims& claims, const Moment& now, Call& call);
  /// Leaves the consent that covers the use in `call`; none where no consent is asked for.
  Result<void> check_consent(const GuardedAction& action, const Claims& claims, const Moment& now,
                             Call& call);
  bool policy_allows(const GuardedAction& action, const guard::Identity& caller, const Call& call);
  static audit::Entry entry_of(const GuardedAction& action, const Call& call, Timestamp at);
  void record(const GuardedAction& action, const Call& call, const Moment& now, const Error* error);
  Task<> sync_policies(SteadyTime deadline);
  Task<> sync_consents(SteadyTime deadline);
  /// Some more of what a copy needs to decide by consents of groups; true when there is yet more.
  asio::awaitable<bool> fetch_everything(SteadyTime deadline);
  replica::Push on_consent(const nats::MessageView& message);
  Task<> keep_recording();
  Task<> send_entries(SteadyTime deadline);
  Task<> send_all(SteadyTime deadline);

  Client& client_;
  TaskGroup& tasks_;
  MateId self_;
  std::string instance_;  ///< of this process, for the reports of how far a change has got
  guard::TokenVerifier verifier_;
  guard::ConsentCopy consents_;
  std::uint64_t policy_epoch_ = 0;
  policy::Snapshot::Pointer policies_;
  policy::Scratch scratch_;
  std::unordered_map<std::string, bool> policy_answers_;  ///< for this policy set; cleared with it
  replica::TokenReplica tokens_;
  std::optional<replica::Replica> policy_replica_, consent_replica_;
  AuditQueue queue_;
  std::string likeness_, question_;  ///< of the decision at hand; kept to save the allocations
  bool sending_ = false;
  /// Shared, because a use may end after its Mate has gone: with the loop's last frames.
  std::shared_ptr<std::unordered_set<Use::State*>> watched_ =
      std::make_shared<std::unordered_set<Use::State*>>();
  asio::steady_timer looking_;  ///< until the next look; cancelled when something new is watched
  Enforcement counters_;
};

}  // namespace intra365::sdk
