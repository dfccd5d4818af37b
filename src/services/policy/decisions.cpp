#include "services/policy/decisions.hpp"

#include <algorithm>

#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"
#include "policy/authzen.hpp"
#include "policy/explain.hpp"
#include "policy/filter.hpp"
#include "policy/limits.hpp"
#include "policy/search.hpp"

namespace intra365::services::policy {
namespace {

namespace wire = intra365::policy;
namespace bj = boost::json;
using platform::PolicySet;

/// Anybody may ask about themselves, the operator and the platform about everybody: what a search or a filter
/// answers tells who may do what, and with it who has consented to what.
Result<void> check_curious(const platform::Caller& caller, std::string_view about) {
  if (caller.is_operator() || caller.is_service() || caller.subject() == about) return {};
  return fail(intra365::errors::not_yours, "this asks about " + std::string(about));
}

/// The type of the searched entity, whatever else it says.
Result<std::string> type_of(const bj::value& value, std::string_view field) {
  const auto* text = value.if_string();
  if (const auto* object = value.if_object()) {
    const auto* type = object->if_contains("type");
    text = type == nullptr ? nullptr : type->if_string();
  }
  if (text == nullptr || !is_token(*text))
    return fail(intra365::errors::bad_value,
                std::string(field) + ": expected a type, such as {\"type\":\"user\"}");
  return std::string(*text);
}

bj::value entity(std::string_view text) {
  const auto colon = text.find(':');
  return bj::object{{"type", text.substr(0, colon)}, {"id", text.substr(colon + 1)}};
}

bj::value reasons_of(const std::vector<wire::Reason>& reasons) {
  bj::array list;
  for (const auto& one : reasons) list.push_back(json::to_value(one));
  return list;
}

/// `type:` and nothing more would be no entity; any id will do where only the rest of a request is read.
bj::value stand_in(const std::string& type) {
  return bj::value(type + ":any");
}

}  // namespace

Decisions::Decisions(platform::Environment& environment, Store& store)
    : environment_(environment),
      store_(store),
      services_(environment.nats, "policy"),
      copies_(environment, [this](TenantId tenant, std::uint64_t known,
                                  SteadyTime deadline) { return load(std::move(tenant), known, deadline); }),
      log_(environment.executor, environment.tasks,
           [this](TenantId tenant, std::vector<wire::DecisionRecord> records, SteadyTime deadline) {
             return store_.record(std::move(tenant), std::move(records), deadline);
           }) {}

Task<> Decisions::start() {
  CO_CHECK(copies_.start());
  co_return log_.start();
}

Task<> Decisions::stop() {
  co_return co_await log_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(5));
}

Task<wire::EvaluateReply> Decisions::evaluate(const Caller& caller, const wire::EvaluateRequest& request) {
  CO_TRY(auto decided, co_await answer(context_of(caller), request));
  caller.note->resource = decided.asked.resource.substr(0, 256);
  if (decided.answer.reply.decision == wire::Decision::deny)
    caller.note->refusal = intra365::errors::policy_denied.code;
  co_return keep(caller.tenant, request, std::move(decided));
}

Task<wire::EvaluateReply> Decisions::decide(TenantId tenant, const wire::EvaluateRequest& request,
                                            SteadyTime deadline) {
  CO_TRY(auto decided, co_await answer(Context(tenant, TraceContext::create(), deadline), request));
  co_return keep(tenant, request, std::move(decided));
}

Task<wire::EvaluateReply> Decisions::look(TenantId tenant, const wire::EvaluateRequest& request,
                                          SteadyTime deadline) {
  CO_TRY(auto decided, co_await answer(Context(tenant, TraceContext::create(), deadline), request));
  co_return std::move(decided.answer.reply);
}

Task<Decisions::Decided> Decisions::answer(Context context, const wire::EvaluateRequest& request) {
  Decided decided;
  const auto tenant = context.tenant;
  const auto deadline = context.deadline;
  CO_TRY(decided.asked, co_await read(std::move(context), request));
  CO_TRY(decided.set, co_await copies_.get(tenant, deadline));
  decided.answer = platform::answer_of(decided.set, decided.asked, scratch_);
  co_return decided;
}

Result<wire::EvaluateReply> Decisions::keep(const TenantId& tenant, const wire::EvaluateRequest& request,
                                            Decided decided) {
  auto likeness = std::to_string(decided.set.epoch) + bj::serialize(decided.asked.attributes);
  json::append(likeness, request);
  TRY(decided.answer.reply.decision_id, log_.add(tenant, likeness, [&] {
    return platform::record_of(decided.set, decided.asked, request, decided.answer, environment_.clock.now());
  }));
  return std::move(decided.answer.reply);
}

Task<wire::BatchReply> Decisions::evaluate_batch(const Caller& caller, const wire::BatchRequest& request) {
  CO_TRY(const auto questions, wire::questions_of(request));
  const auto semantic = request.semantic.value_or(wire::Semantic::execute_all);
  wire::BatchReply reply;
  for (const auto& question : questions) {
    auto answer = co_await evaluate(caller, question);
    auto& item = reply.evaluations.emplace_back();
    if (answer) {
      item.decision = answer->decision;
      item.answer = *std::move(answer);
    } else {
      item.error = answer.error().code;
      item.message = answer.error().detail;
    }
    if (wire::is_last(semantic, item.decision)) break;
  }
  co_return reply;
}

Task<wire::Explanation> Decisions::explain(const Caller& caller, const wire::EvaluateRequest& request) {
  CO_TRY(const auto asked, co_await read(context_of(caller), request));
  CO_TRY(const auto set, co_await copies_.get(caller.tenant, caller.deadline));
  co_return wire::explain_decision(*set.in_force, asked.question());
}

Task<wire::SearchReply> Decisions::search(const Caller& caller, const wire::SearchRequest& request) {
  const auto context = context_of(caller);
  const int limit = request.limit.value_or(50);
  if (limit < 1 || limit > wire::limits::kSearchPage)
    co_return fail(intra365::errors::bad_value, "limit: 1 to " + std::to_string(wire::limits::kSearchPage));
  const auto after = request.cursor.value_or("");
  if (after.size() > wire::limits::kPatternLength)
    co_return fail(intra365::errors::bad_value, "cursor: not one that was given out");
  CO_TRY(const auto set, co_await copies_.get(caller.tenant, caller.deadline));

  // The question that stands around the searched part.
  wire::EvaluateRequest question{request.subject, request.action, request.resource, request.context};
  std::set<std::string> found;
  std::string last_known;  // no further than this is anything complete
  if (request.searched == wire::Searched::action) {
    question.action = "any";
    found = wire::actions_of(*set.in_force);
  } else {
    const bool subjects = request.searched == wire::Searched::subject;
    CO_TRY(const auto type,
           type_of(subjects ? request.subject : request.resource, subjects ? "subject" : "resource"));
    (subjects ? question.subject : question.resource) = stand_in(type);
    const auto from = after.starts_with(type + ":") ? after.substr(type.size() + 1) : "";
    CO_TRY(const auto known, co_await known_ids(context, type, from.substr(0, from.find('/'))));
    if (known.size() >= wire::limits::kSearchSteps) last_known = type + ":" + known.back();
    found = wire::candidates(*set.in_force, subjects, type, known);
  }
  // Refuses a malformed question at once, and tells about whom it is.
  CO_TRY(const auto around, wire::Asked::read(question));
  const auto owner = wire::owner_of(around.resource);
  const bool of_own_data = owner && caller.is_user(*owner) && request.searched != wire::Searched::resource;
  if (!of_own_data)
    CO_CHECK(check_curious(caller, request.searched == wire::Searched::subject ? "others" : around.subject));

  wire::SearchReply reply;
  std::size_t steps = 0;
  for (auto candidate = found.upper_bound(after); candidate != found.end(); ++candidate) {
    if (!last_known.empty() && *candidate > last_known) {
      reply.next_cursor = last_known;
      break;
    }
    if (static_cast<int>(reply.results.size()) == limit || ++steps > wire::limits::kSearchSteps) {
      reply.next_cursor = *std::prev(candidate);
      break;
    }
    const auto put = [&](bj::value& into, const bj::value& given) {
      // What was said about the searched entity holds for every candidate.
      auto value = entity(*candidate);
      const auto* object = given.if_object();
      const auto* properties = object == nullptr ? nullptr : object->if_contains("properties");
      if (properties != nullptr) value.get_object()["properties"] = *properties;
      into = std::move(value);
    };
    if (request.searched == wire::Searched::action)
      question.action = *candidate;
    else if (request.searched == wire::Searched::subject)
      put(question.subject, request.subject);
    else
      put(question.resource, request.resource);
    const auto asked = co_await read(context, question);
    if (!asked && asked.error().kind != ErrorKind::invalid) co_return fail(asked.error());
    if (!asked || !set.in_force->decide(asked->question(), scratch_).allowed()) continue;
    reply.results.push_back(request.searched == wire::Searched::action
                                ? bj::value(bj::object{{"name", *candidate}})
                                : entity(*candidate));
  }
  co_return reply;
}

Task<std::vector<std::string>> Decisions::known_ids(const Context& context, std::string type,
                                                    std::string from) {
  if (type != "user" && type != "mate") co_return std::vector<std::string>{};
  co_return co_await store_.ids(type == "user" ? Store::Known::users : Store::Known::mates, context.tenant,
                                std::move(from), static_cast<int>(wire::limits::kSearchSteps),
                                context.deadline);
}

Task<wire::FilterReply> Decisions::filter(const Caller& caller, const wire::FilterRequest& request) {
  CO_TRY(const auto subject, wire::read_entity(request.subject, "subject"));
  CO_CHECK(check_curious(caller, subject.text));
  CO_TRY(const auto set, co_await copies_.get(caller.tenant, caller.deadline));
  CO_TRY(auto reply, wire::make_filter(*set.in_force, request));
  reply.policy_epoch = set.epoch;
  co_return reply;
}

Task<wire::ReplayReply> Decisions::replay(const Caller& caller, const wire::ReplayRequest& request) {
  wire::ReplayReply reply;
  CO_TRY(reply.recorded, co_await store_.decision(caller.tenant, request.decision_id, caller.deadline));
  CO_TRY(auto policies, co_await store_.set_at(caller.tenant, reply.recorded.policy_epoch, caller.deadline));
  CO_TRY(const auto snapshot, wire::Snapshot::compile(std::move(policies)));
  CO_TRY(const auto asked_then,
         json::from_value<wire::EvaluateRequest>(reply.recorded.request, json::Unknown::ignore));
  CO_TRY(auto asked, wire::Asked::read(asked_then));
  if (reply.recorded.attributes.is_object()) asked.attributes = reply.recorded.attributes.get_object();
  reply.replayed = wire::explain_decision(*snapshot, asked.question());
  CO_TRY(const auto then, json::from_value<wire::EvaluateReply>(reply.recorded.reply, json::Unknown::ignore));
  reply.same = then.decision == reply.replayed.decision && then.cause == reply.replayed.cause &&
               reasons_of(then.reasons) == reasons_of(reply.replayed.determining);
  reply.recorded.decision_id = request.decision_id;
  co_return reply;
}

Task<Empty> Decisions::record(const Caller& caller, const wire::RecordRequest& request) {
  CO_CHECK(co_await store_.record(caller.tenant, request.records, caller.deadline));
  co_return Empty{};
}

Task<Decisions::Asked> Decisions::read(Context context, const wire::EvaluateRequest& request) {
  CO_TRY(auto asked, Asked::read(request));
  if (const auto owner = wire::owner_of(asked.resource))
    CO_CHECK(co_await add_person(context, *owner, asked.subject, asked.attributes));
  if (context.trusted && request.context.is_object()) {
    if (const auto* heard = request.context.get_object().if_contains("consent"))
      asked.attributes["consent"] = *heard;
  }
  co_return asked;
}

/// What is known of the person: their country from the users table, their consent from the consent service.
Task<> Decisions::add_person(const Context& context, UserId owner, std::string subject,
                             bj::object& attributes) {
  CO_TRY(const auto facts, co_await store_.user(context.tenant, owner, context.deadline));
  if (facts) {
    auto& user = attributes["user"].is_object() ? attributes["user"].get_object()
                                                : attributes["user"].emplace_object();
    user["id"] = owner.str();
    if (facts->country) user["country"] = *facts->country;
  }
  if (!subject.starts_with("mate:")) co_return Result<void>{};
  CO_TRY(const auto mate, MateId::parse(std::string_view(subject).substr(5)));
  consent::QueryRequest question;
  question.user_id = owner;
  question.mate_id = mate;
  question.active = true;
  question.limit = 200;
  CO_TRY(const auto held,
         co_await services_.call(consent::query, context.tenant, question, context.trace, context.deadline));
  bj::array purposes, scopes;
  for (const auto& record : held.consents) {
    for (const auto& purpose : record.purposes) purposes.emplace_back(purpose.str());
    for (const auto& scope : record.scopes) scopes.emplace_back(scope.str());
  }
  attributes["consent"] = {
      {"granted", !held.consents.empty()}, {"purpose", std::move(purposes)}, {"scope", std::move(scopes)}};
  co_return Result<void>{};
}

/// Compiled again only when the tenant's epoch has moved.
Task<std::optional<PolicySet>> Decisions::load(TenantId tenant, std::uint64_t known, SteadyTime deadline) {
  CO_TRY(const auto epoch, co_await store_.epoch(tenant, deadline));
  if (epoch != 0 && epoch == known) co_return std::optional<PolicySet>();
  CO_CHECK(co_await store_.add_defaults(tenant, deadline));
  CO_TRY(auto stored, co_await store_.set_in_use(tenant, deadline));
  CO_TRY(auto set, platform::compile_set(stored.epoch, std::move(stored.policies)));
  co_return std::optional(std::move(set));
}

}  // namespace intra365::services::policy
