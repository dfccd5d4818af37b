#include "policy/authzen.hpp"

#include "contract/errors.hpp"
#include "policy/limits.hpp"

namespace intra365::policy {

Result<std::vector<EvaluateRequest>> questions_of(const BatchRequest& batch) {
  if (batch.evaluations.empty() || batch.evaluations.size() > limits::kBatch)
    return fail(errors::bad_value, "evaluations: 1 to " + std::to_string(limits::kBatch));
  auto questions = batch.evaluations;
  for (auto& question : questions) {
    if (question.subject.is_null()) question.subject = batch.subject;
    if (question.action.is_null()) question.action = batch.action;
    if (question.resource.is_null()) question.resource = batch.resource;
    if (question.context.is_null()) question.context = batch.context;
  }
  return questions;
}

bool is_last(Semantic semantic, Decision decision) {
  return (semantic == Semantic::deny_on_first_deny && decision == Decision::deny) ||
         (semantic == Semantic::permit_on_first_permit && decision == Decision::allow);
}

namespace authzen {
namespace {

namespace bj = boost::json;

Result<const bj::object*> object_of(const bj::value& value, std::string_view what) {
  if (const auto* object = value.if_object()) return object;
  return fail(errors::wrong_type, std::string(what) + ": expected an object");
}

/// A member that is an object where it is there at all.
Result<bj::value> member(const bj::object& body, std::string_view name) {
  const auto* found = body.if_contains(name);
  if (found == nullptr || found->is_null()) return bj::value();
  CHECK(object_of(*found, name));
  return *found;
}

Result<EvaluateRequest> read_parts(const bj::object& body) {
  EvaluateRequest request;
  TRY(request.subject, member(body, "subject"));
  TRY(request.action, member(body, "action"));
  TRY(request.resource, member(body, "resource"));
  TRY(request.context, member(body, "context"));
  return request;
}

Result<void> require(const bj::value& part, std::string_view name) {
  if (part.is_null()) return fail(errors::missing_field, "'" + std::string(name) + "' is missing");
  return {};
}

Result<Semantic> read_semantic(const bj::object& body) {
  const auto* options = body.if_contains("options");
  if (options == nullptr || !options->is_object()) return Semantic::execute_all;
  const auto* wanted = options->get_object().if_contains("evaluations_semantic");
  if (wanted == nullptr) return Semantic::execute_all;
  Semantic semantic{};
  if (!wanted->is_string() || !boost::describe::enum_from_string(wanted->get_string().c_str(), semantic))
    return fail(errors::bad_value, "options.evaluations_semantic: not one that AuthZEN names");
  return semantic;
}

}  // namespace

Result<EvaluateRequest> read_evaluation(const bj::value& value) {
  TRY(const auto* body, object_of(value, "the body"));
  TRY(auto request, read_parts(*body));
  CHECK(require(request.subject, "subject"));
  CHECK(require(request.action, "action"));
  CHECK(require(request.resource, "resource"));
  return request;
}

Result<Evaluations> read_evaluations(const bj::value& value) {
  TRY(const auto* body, object_of(value, "the body"));
  const auto* list = body->if_contains("evaluations");
  if (list != nullptr && !list->is_array()) return fail(errors::wrong_type, "evaluations: expected a list");
  Evaluations evaluations;
  evaluations.single = list == nullptr || list->get_array().empty();
  if (evaluations.single) {
    TRY(auto one, read_evaluation(value));
    evaluations.batch.evaluations.push_back(std::move(one));
    return evaluations;
  }
  if (list->get_array().size() > limits::kBatch)
    return fail(errors::bad_value, "evaluations: at most " + std::to_string(limits::kBatch));
  TRY(auto defaults, read_parts(*body));
  auto& batch = evaluations.batch;
  batch.subject = std::move(defaults.subject);
  batch.action = std::move(defaults.action);
  batch.resource = std::move(defaults.resource);
  batch.context = std::move(defaults.context);
  TRY(batch.semantic, read_semantic(*body));
  for (const auto& item : list->get_array()) {
    TRY(const auto* object, object_of(item, "evaluations"));
    TRY(auto one, read_parts(*object));
    batch.evaluations.push_back(std::move(one));
  }
  return evaluations;
}

Result<SearchRequest> read_search(Searched searched, const bj::value& value) {
  TRY(const auto* body, object_of(value, "the body"));
  SearchRequest request;
  request.searched = searched;
  TRY(auto parts, read_parts(*body));
  CHECK(require(parts.subject, "subject"));
  CHECK(require(parts.resource, "resource"));
  if (searched != Searched::action) CHECK(require(parts.action, "action"));
  request.subject = std::move(parts.subject);
  request.action = searched == Searched::action ? bj::value() : std::move(parts.action);
  request.resource = std::move(parts.resource);
  request.context = std::move(parts.context);
  TRY(const auto page, member(*body, "page"));
  if (const auto* wanted = page.if_object()) {
    if (const auto* token = wanted->if_contains("token"); token != nullptr && token->is_string())
      request.cursor = std::string(token->get_string());
    if (const auto* limit = wanted->if_contains("limit"); limit != nullptr) {
      if (!limit->is_int64() || limit->get_int64() < 1)
        return fail(errors::bad_value, "page.limit: a whole number from 1");
      request.limit = static_cast<int>(std::min<std::int64_t>(limit->get_int64(), limits::kSearchPage));
    }
  }
  return request;
}

bj::object answer(const EvaluateReply& reply) {
  bj::object context{{"id", reply.decision_id}};
  bj::array policies;
  for (const auto& reason : reply.reasons) {
    bj::object one{{"policy", reason.policy_id.str()}, {"version", reason.version}, {"rule", reason.rule}};
    if (reason.error) one["error"] = *reason.error;
    policies.push_back(std::move(one));
  }
  bj::object admin{{"cause", bj::string(boost::describe::enum_to_string(reply.cause, ""))}};
  if (!policies.empty()) admin["policies"] = std::move(policies);
  context["reason_admin"] = std::move(admin);
  if (reply.reason_user) context["reason_user"] = {{"en", *reply.reason_user}};
  if (!reply.obligations.empty()) {
    bj::array obligations;
    for (const auto& one : reply.obligations) obligations.push_back(json::to_value(one));
    context["obligations"] = std::move(obligations);
  }
  if (!reply.outputs.empty()) context["outputs"] = bj::array(reply.outputs.begin(), reply.outputs.end());
  return {{"decision", reply.decision == Decision::allow}, {"context", std::move(context)}};
}

bj::object answer(const BatchItem& item) {
  if (item.answer) return answer(*item.answer);
  return {
      {"decision", false},
      {"context", {{"error", {{"code", item.error.value_or("")}, {"message", item.message.value_or("")}}}}}};
}

bj::object answer(const BatchReply& reply) {
  bj::array evaluations;
  for (const auto& item : reply.evaluations) evaluations.push_back(answer(item));
  return {{"evaluations", std::move(evaluations)}};
}

bj::object answer(const SearchReply& reply) {
  return {{"results", bj::array(reply.results.begin(), reply.results.end())},
          {"page", {{"next_token", reply.next_cursor.value_or("")}, {"count", reply.results.size()}}}};
}

bj::object configuration(std::string_view base) {
  const auto at = [&](std::string_view path) { return std::string(base) + std::string(path); };
  return {{"policy_decision_point", base},
          {"access_evaluation_endpoint", at("/access/v1/evaluation")},
          {"access_evaluations_endpoint", at("/access/v1/evaluations")},
          {"search_subject_endpoint", at("/access/v1/search/subject")},
          {"search_resource_endpoint", at("/access/v1/search/resource")},
          {"search_action_endpoint", at("/access/v1/search/action")}};
}

}  // namespace authzen
}  // namespace intra365::policy
