// AuthZEN 1.0 over HTTP. Questions that need nothing but the policies are decided here, from this process's
// own copy; those about a person's data go to the policy service, which alone knows the person.
#pragma once
#include "platform/decision_log.hpp"
#include "platform/policy_copies.hpp"
#include "policy/authzen.hpp"
#include "policy/request.hpp"

namespace intra365::services::gateway {

/// Owned by one shard; not thread-safe.
class AccessApi {
 public:
  explicit AccessApi(platform::Environment& environment);
  Task<> start();
  Task<> stop();

  /// Who asks, with the token to ask on with.
  struct Asker {
    TenantId tenant;
    std::string authorization;
    TraceContext trace;
    SteadyTime deadline;
  };
  /// Bodies and answers as AuthZEN has them. Fails where the request cannot be read, or no answer can be
  /// given.
  Task<boost::json::object> evaluation(const Asker& asker, boost::json::value body);
  Task<boost::json::object> evaluations(const Asker& asker, boost::json::value body);
  Task<boost::json::object> search(const Asker& asker, policy::Searched searched, boost::json::value body);

 private:
  Task<policy::EvaluateReply> decide(const Asker& asker, const policy::EvaluateRequest& question);
  Result<policy::EvaluateReply> decide_here(const Asker& asker, const platform::PolicySet& set,
                                            const policy::Asked& asked,
                                            const policy::EvaluateRequest& question);
  Task<std::optional<platform::PolicySet>> load(TenantId tenant, std::uint64_t known, SteadyTime deadline);
  /// Asks the service in the asker's own name.
  template <class Request, class Reply>
  Task<Reply> ask(const Asker& asker, const Operation<Request, Reply>& operation, Request request);

  platform::Environment& environment_;
  platform::ServiceClient services_;
  platform::PolicyCopies copies_;
  platform::DecisionLog log_;
  policy::Scratch scratch_;
};

}  // namespace intra365::services::gateway
