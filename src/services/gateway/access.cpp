#include "services/gateway/access.hpp"

#include "contract/headers.hpp"
#include "contract/subjects.hpp"
#include "crypto/jws.hpp"

namespace intra365::services::gateway {

namespace bj = boost::json;

AccessApi::AccessApi(platform::Environment& environment)
    : environment_(environment),
      services_(environment.nats, "gateway"),
      copies_(environment, [this](TenantId tenant, std::uint64_t known,
                                  SteadyTime deadline) { return load(std::move(tenant), known, deadline); }),
      log_(environment.executor, environment.tasks,
           [this](TenantId tenant, std::vector<policy::DecisionRecord> records,
                  SteadyTime deadline) -> Task<> {
             policy::RecordRequest request;
             request.records = std::move(records);
             CO_CHECK(co_await services_.call(policy::record, std::move(tenant), std::move(request),
                                              TraceContext::create(), deadline));
             co_return Result<void>{};
           }) {}

Task<> AccessApi::start() {
  CO_CHECK(copies_.start());
  co_return log_.start();
}

Task<> AccessApi::stop() {
  co_return co_await log_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(5));
}

Task<bj::object> AccessApi::evaluation(const Asker& asker, bj::value body) {
  CO_TRY(const auto question, policy::authzen::read_evaluation(body));
  CO_TRY(const auto reply, co_await decide(asker, question));
  co_return policy::authzen::answer(reply);
}

Task<bj::object> AccessApi::evaluations(const Asker& asker, bj::value body) {
  CO_TRY(const auto asked, policy::authzen::read_evaluations(body));
  CO_TRY(const auto questions, policy::questions_of(asked.batch));
  if (asked.single) {
    CO_TRY(const auto reply, co_await decide(asker, questions.front()));
    co_return policy::authzen::answer(reply);
  }
  policy::BatchReply reply;
  for (const auto& question : questions) {
    auto answer = co_await decide(asker, question);
    auto& item = reply.evaluations.emplace_back();
    if (answer) {
      item.decision = answer->decision;
      item.answer = *std::move(answer);
    } else {
      item.error = answer.error().code;
      item.message = answer.error().detail;
    }
    if (policy::is_last(*asked.batch.semantic, item.decision)) break;
  }
  co_return policy::authzen::answer(reply);
}

Task<bj::object> AccessApi::search(const Asker& asker, policy::Searched searched, bj::value body) {
  CO_TRY(auto request, policy::authzen::read_search(searched, body));
  CO_TRY(const auto reply, co_await ask(asker, policy::search, std::move(request)));
  co_return policy::authzen::answer(reply);
}

Task<policy::EvaluateReply> AccessApi::decide(const Asker& asker, const policy::EvaluateRequest& question) {
  CO_TRY(const auto asked, policy::Asked::read(question));
  if (policy::owner_of(asked.resource)) co_return co_await ask(asker, policy::evaluate, question);
  if (const auto* set = copies_.fresh(asker.tenant)) co_return decide_here(asker, *set, asked, question);
  CO_TRY(const auto set, co_await copies_.get(asker.tenant, asker.deadline));
  co_return decide_here(asker, set, asked, question);
}

Result<policy::EvaluateReply> AccessApi::decide_here(const Asker& asker, const platform::PolicySet& set,
                                                     const policy::Asked& asked,
                                                     const policy::EvaluateRequest& question) {
  auto answer = platform::answer_of(set, asked, scratch_);
  auto likeness = std::to_string(set.epoch);
  json::append(likeness, question);
  TRY(answer.reply.decision_id, log_.add(asker.tenant, likeness, [&] {
    return platform::record_of(set, asked, question, answer, environment_.clock.now());
  }));
  return std::move(answer.reply);
}

Task<std::optional<platform::PolicySet>> AccessApi::load(TenantId tenant, std::uint64_t known,
                                                         SteadyTime deadline) {
  policy::SyncRequest request;
  request.policy_epoch = known;
  CO_TRY(auto reply,
         co_await services_.call(policy::sync, std::move(tenant), request, TraceContext::create(), deadline));
  if (!reply.changed) co_return std::optional<platform::PolicySet>();
  CO_TRY(auto set, platform::compile_set(reply.policy_epoch, std::move(reply.policies)));
  co_return std::optional(std::move(set));
}

template <class Request, class Reply>
Task<Reply> AccessApi::ask(const Asker& asker, const Operation<Request, Reply>& operation, Request request) {
  CO_TRY(const auto account, co_await environment_.tenants.account_of(asker.tenant, asker.deadline));
  nats::HeaderBlock block;
  if (!block.add(headers::authorization, asker.authorization)) co_return fail(errors::malformed_token);
  block.add(headers::traceparent, asker.trace.traceparent());
  const auto subject = subjects::in_account(account, operation.spec.subject);
  const auto body = json::encode(request);
  CO_TRY(const auto reply, co_await environment_.nats.request(subject, body, block, asker.deadline));
  if (auto error = platform::reply_error(reply.view())) co_return fail(*std::move(error));
  co_return json::decode<Reply>(reply.payload(), json::Unknown::ignore);
}

}  // namespace intra365::services::gateway
