// The decision point: answers from fresh copies, explanations, searches, filters and replays. What rules ask
// about a person is looked up here and cannot be handed in.
#pragma once
#include "platform/decision_log.hpp"
#include "platform/policy_copies.hpp"
#include "policy/request.hpp"
#include "services/policy/store.hpp"

namespace intra365::services::policy {

/// Owned by one shard; not thread-safe.
class Decisions {
 public:
  Decisions(platform::Environment& environment, Store& store);
  Task<> start();
  Task<> stop();

  using Caller = platform::Caller;
  Task<intra365::policy::EvaluateReply> evaluate(const Caller& caller,
                                                 const intra365::policy::EvaluateRequest& request);
  Task<intra365::policy::BatchReply> evaluate_batch(const Caller& caller,
                                                    const intra365::policy::BatchRequest& request);
  Task<intra365::policy::Explanation> explain(const Caller& caller,
                                              const intra365::policy::EvaluateRequest& request);
  Task<intra365::policy::SearchReply> search(const Caller& caller,
                                             const intra365::policy::SearchRequest& request);
  Task<intra365::policy::FilterReply> filter(const Caller& caller,
                                             const intra365::policy::FilterRequest& request);
  Task<intra365::policy::ReplayReply> replay(const Caller& caller,
                                             const intra365::policy::ReplayRequest& request);
  Task<Empty> record(const Caller& caller, const intra365::policy::RecordRequest& request);

  /// The platform's own question: an answer that is recorded, and one that is not, for whoever asks again and
  /// again whether it is still the same.
  Task<intra365::policy::EvaluateReply> decide(TenantId tenant,
                                               const intra365::policy::EvaluateRequest& request,
                                               SteadyTime deadline);
  Task<intra365::policy::EvaluateReply> look(TenantId tenant,
                                             const intra365::policy::EvaluateRequest& request,
                                             SteadyTime deadline);
  /// The tenant's set was changed here.
  void changed(const TenantId& tenant) { copies_.changed(tenant); }
  void on_change(std::function<void(const TenantId&)> heard) { copies_.on_change = std::move(heard); }

 private:
  using Asked = intra365::policy::Asked;
  /// For whom and until when something is looked up.
  struct Context {
    Context(TenantId tenant, TraceContext trace, SteadyTime deadline, bool trusted = false)
        : tenant(std::move(tenant)), trace(trace), deadline(deadline), trusted(trusted) {}
    TenantId tenant;
    TraceContext trace;
    SteadyTime deadline;
    bool trusted;  ///< a platform service that may say what it heard of consent
  };
  struct Decided {
    Asked asked;
    platform::PolicySet set;
    platform::SetAnswer answer;
  };
  Task<Decided> answer(Context context, const intra365::policy::EvaluateRequest& request);
  /// Records it and gives it its id.
  Result<intra365::policy::EvaluateReply> keep(const TenantId& tenant,
                                               const intra365::policy::EvaluateRequest& request,
                                               Decided decided);
  Task<Asked> read(Context context, const intra365::policy::EvaluateRequest& request);
  Task<> add_person(const Context& context, UserId owner, std::string subject,
                    boost::json::object& attributes);
  Task<std::optional<platform::PolicySet>> load(TenantId tenant, std::uint64_t known, SteadyTime deadline);
  Task<std::vector<std::string>> known_ids(const Context& context, std::string type, std::string from);
  static Context context_of(const Caller& caller) {
    return Context(caller.tenant, caller.trace, caller.deadline, caller.is_service());
  }

  platform::Environment& environment_;
  Store& store_;
  platform::ServiceClient services_;
  platform::PolicyCopies copies_;
  platform::DecisionLog log_;
  intra365::policy::Scratch scratch_;
};

}  // namespace intra365::services::policy
