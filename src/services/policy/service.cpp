#include "services/policy/service.hpp"

#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"
#include "contract/subjects.hpp"
#include "policy/explain.hpp"
#include "policy/request.hpp"
#include "services/policy/store.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> policy();
}

namespace intra365::services::policy {
namespace {

namespace wire = intra365::policy;
using platform::Caller;

/// The `user:<id>` a resource belongs to, if it belongs to a person.
std::optional<UserId> owner_of(std::string_view resource) {
  if (!resource.starts_with("user:")) return std::nullopt;
  resource.remove_prefix(5);
  const auto id = UserId::parse(resource.substr(0, resource.find('/')));
  return id ? std::optional(*id) : std::nullopt;
}

/// Owned by one shard; not thread-safe.
class Policies final : public platform::Service {
 public:
  explicit Policies(platform::Environment& environment)
      : environment_(environment), store_(environment), services_(environment.nats, "policy") {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {
        bind(wire::create, *this, &Policies::create),     bind(wire::update, *this, &Policies::update),
        bind(wire::delete_, *this, &Policies::remove),    bind(wire::list, *this, &Policies::list),
        bind(wire::get, *this, &Policies::get),           bind(wire::evaluate, *this, &Policies::evaluate),
        bind(wire::versions, *this, &Policies::versions), bind(wire::rollback, *this, &Policies::rollback),
        bind(wire::explain, *this, &Policies::explain),   bind(wire::sync, *this, &Policies::sync)};
  }

 private:
  Task<wire::ChangeReply> create(const Caller& caller, const wire::Policy& request) {
    auto policy = request;
    policy.version = std::nullopt;
    if (!policy.policy_id) policy.policy_id = PolicyId::trusted(new_uuid());
    CO_CHECK(wire::validate(policy));
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto reply,
           co_await store_.create(caller.tenant, std::move(policy), caller.subject(), caller.deadline));
    co_await tell(caller, reply);
    co_return reply;
  }

  Task<wire::ChangeReply> update(const Caller& caller, const wire::Policy& request) {
    if (!request.policy_id) co_return fail(intra365::errors::missing_field, "'policyId' is missing");
    CO_CHECK(wire::validate(request));
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto reply, co_await store_.update(caller.tenant, request, caller.subject(), caller.deadline));
    co_await tell(caller, reply);
    co_return reply;
  }

  Task<wire::ChangeReply> remove(const Caller& caller, const wire::PolicyRequest& request) {
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto reply,
           co_await store_.remove(caller.tenant, request.policy_id, caller.subject(), caller.deadline));
    co_await tell(caller, reply);
    co_return reply;
  }

  Task<wire::ListReply> list(const Caller& caller, const wire::ListRequest& request) {
    const int limit = request.limit.value_or(50);
    if (limit < 1 || limit > 200) co_return fail(intra365::errors::bad_value, "limit: 1 to 200");
    if (request.cursor && !is_token(*request.cursor))
      co_return fail(intra365::errors::bad_value, "cursor: not one that was given out");
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto policies, co_await store_.list(caller.tenant, std::nullopt, request.cursor.value_or(""),
                                               limit, caller.deadline));
    std::optional<std::string> cursor;
    if (policies.size() == static_cast<std::size_t>(limit)) cursor = policies.back().policy_id->str();
    co_return wire::ListReply{std::move(policies), std::move(cursor)};
  }

  Task<wire::Policy> get(const Caller& caller, const wire::PolicyRequest& request) {
    CO_TRY(auto found, co_await store_.list(caller.tenant, request.policy_id, "", 1, caller.deadline));
    if (found.empty()) co_return fail(errors::unknown_policy);
    co_return std::move(found.front());
  }

  Task<wire::VersionsReply> versions(const Caller& caller, const wire::VersionsRequest& request) {
    const int limit = request.limit.value_or(50);
    if (limit < 1 || limit > 200) co_return fail(intra365::errors::bad_value, "limit: 1 to 200");
    wire::VersionsReply reply;
    CO_TRY(reply.versions, co_await store_.versions(caller.tenant, request.policy_id, std::nullopt,
                                                    request.before, limit, caller.deadline));
    if (reply.versions.empty() && !request.before) co_return fail(errors::unknown_policy);
    co_return reply;
  }

  /// The version of then becomes a new one: history only grows.
  Task<wire::ChangeReply> rollback(const Caller& caller, const wire::RollbackRequest& request) {
    CO_TRY(auto found, co_await store_.versions(caller.tenant, request.policy_id, request.version,
                                                std::nullopt, 1, caller.deadline));
    if (found.empty()) co_return fail(errors::unknown_version);
    auto policy = std::move(found.front().policy);
    policy.policy_id = request.policy_id;
    policy.version.reset();
    policy.change_reason = request.reason;
    // What was well-formed then may be refused by the rules of today.
    CO_CHECK(wire::validate(policy));
    auto reply =
        co_await store_.update(caller.tenant, policy, caller.subject(), caller.deadline, "rolled_back");
    if (!reply && reply.error().is(errors::unknown_policy))
      reply = co_await store_.create(caller.tenant, policy, caller.subject(), caller.deadline, "rolled_back");
    if (!reply) co_return fail(reply.error());
    co_await tell(caller, *reply);
    co_return *std::move(reply);
  }

  /// A question with everything that is known about it; owns what the engine's question views.
  struct Asked {
    std::string subject, action, resource;
    boost::json::object attributes;
    wire::Question question() const { return {subject, action, resource, &attributes}; }
  };

  Task<Asked> read(const Caller& caller, const wire::EvaluateRequest& request) {
    CO_TRY(const auto subject, wire::read_entity(request.subject, "subject"));
    Asked asked;
    CO_TRY(asked.action, wire::read_action(request.action));
    CO_TRY(const auto resource, wire::read_entity(request.resource, "resource"));
    CO_TRY(asked.attributes, wire::attributes_of(request, subject, resource));
    asked.subject = subject.text;
    asked.resource = resource.text;
    if (const auto owner = owner_of(asked.resource)) {
      CO_CHECK(co_await add_person(caller, *owner, asked.subject, asked.attributes));
    }
    // A platform service that has asked the consent service itself may say what it heard.
    if (caller.is_service() && request.context.is_object()) {
      if (const auto* heard = request.context.get_object().if_contains("consent"))
        asked.attributes["consent"] = *heard;
    }
    caller.note->resource = asked.resource.substr(0, 256);
    co_return asked;
  }

  Task<wire::EvaluateReply> evaluate(const Caller& caller, const wire::EvaluateRequest& request) {
    CO_TRY(const auto asked, co_await read(caller, request));
    CO_TRY(const auto known, co_await compiled(caller.tenant, caller.deadline));
    auto answer = known.in_force->answer(asked.question(), scratch_);

    wire::EvaluateReply reply;
    reply.decision = answer.verdict.decision;
    reply.cause = answer.verdict.cause;
    reply.reasons = std::move(answer.reasons);
    reply.obligations = std::move(answer.obligations);
    reply.outputs = std::move(answer.outputs);
    reply.reason_user = std::move(answer.reason_user);
    if (const auto* consent = asked.attributes.if_contains("consent")) reply.consent = *consent;
    reply.decision_id = new_uuid();
    if (reply.decision == wire::Decision::deny) caller.note->refusal = intra365::errors::policy_denied.code;
    CO_CHECK(co_await store_.record(caller.tenant, known.epoch, json::encode(request), json::encode(reply),
                                    shadow_difference(known, asked, reply), reply.decision_id,
                                    caller.deadline));
    co_return reply;
  }

  Task<wire::Explanation> explain(const Caller& caller, const wire::EvaluateRequest& request) {
    CO_TRY(const auto asked, co_await read(caller, request));
    CO_TRY(const auto known, co_await compiled(caller.tenant, caller.deadline));
    co_return wire::explain_decision(*known.in_force, asked.question());
  }

  Task<wire::SyncReply> sync(const Caller& caller, const wire::SyncRequest& request) {
    wire::SyncReply reply;
    CO_TRY(reply.policy_epoch, co_await store_.epoch(caller.tenant, caller.deadline));
    if (reply.policy_epoch != 0 && reply.policy_epoch == request.policy_epoch) co_return reply;
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto set, co_await store_.set_in_use(caller.tenant, caller.deadline));
    reply.policy_epoch = set.epoch;
    reply.changed = true;
    std::erase_if(set.policies, [](const auto& one) { return wire::status_of(one) != wire::Status::active; });
    reply.policies = std::move(set.policies);
    co_return reply;
  }

  /// What is known of the person: their country from the users table, their consent from the consent
  /// service. Neither can be handed in by whoever asks.
  Task<> add_person(const Caller& caller, UserId owner, std::string subject,
                    boost::json::object& attributes) {
    CO_TRY(const auto facts, co_await store_.user(caller.tenant, owner, caller.deadline));
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
           co_await services_.call(consent::query, caller.tenant, question, caller.trace, caller.deadline));
    boost::json::array purposes, scopes;
    for (const auto& record : held.consents) {
      for (const auto& purpose : record.purposes) purposes.emplace_back(purpose.str());
      for (const auto& scope : record.scopes) scopes.emplace_back(scope.str());
    }
    attributes["consent"] = {
        {"granted", !held.consents.empty()}, {"purpose", std::move(purposes)}, {"scope", std::move(scopes)}};
    co_return Result<void>{};
  }

  struct Known {
    std::uint64_t epoch = 0;
    wire::Snapshot::Pointer in_force;
    wire::Snapshot::Pointer with_shadow;  ///< none when no policy is in shadow
  };

  /// The tenant's compiled set; compiled again only when its epoch has moved.
  Task<Known> compiled(TenantId tenant, SteadyTime deadline) {
    CO_TRY(const auto epoch, co_await store_.epoch(tenant, deadline));
    if (const auto known = known_.find(tenant);
        epoch != 0 && known != known_.end() && known->second.epoch == epoch)
      co_return known->second;
    CO_CHECK(co_await store_.add_defaults(tenant, deadline));
    CO_TRY(const auto stored, co_await store_.set_in_use(tenant, deadline));
    Known known;
    known.epoch = stored.epoch;
    CO_TRY(known.in_force, wire::Snapshot::compile(stored.policies));
    const bool has_shadow = std::ranges::any_of(
        stored.policies, [](const auto& one) { return wire::status_of(one) == wire::Status::shadow; });
    if (has_shadow) {
      CO_TRY(known.with_shadow, wire::Snapshot::compile(stored.policies, wire::Include::active_and_shadow));
    }
    known_.insert_or_assign(tenant, known);
    co_return known;
  }

  /// What the answer would be if the shadow policies were active, where it would be another one.
  std::optional<std::string> shadow_difference(const Known& known, const Asked& asked,
                                               const wire::EvaluateReply& reply) {
    if (known.with_shadow == nullptr) return std::nullopt;
    const auto answer = known.with_shadow->answer(asked.question(), scratch_);
    if (answer.verdict.decision == reply.decision) return std::nullopt;
    wire::EvaluateReply would;
    would.decision = answer.verdict.decision;
    would.cause = answer.verdict.cause;
    would.reasons = answer.reasons;
    would.decision_id = reply.decision_id;
    return json::encode(would);
  }

  asio::awaitable<void> tell(const Caller& caller, wire::ChangeReply change) {
    caller.note->resource = "policy:" + change.policy_id.str();
    if (const auto account = co_await environment_.tenants.account_of(caller.tenant, caller.deadline)) {
      const wire::PolicyPush push{change.policy_epoch};
      // A hint: enforcement points that miss it find out with their next sync.
      static_cast<void>(environment_.nats.publish(subjects::in_account(*account, subjects::guard_policy),
                                                  json::encode(push)));
    }
  }

  platform::Environment& environment_;
  Store store_;
  platform::ServiceClient services_;
  std::unordered_map<TenantId, Known> known_;
  wire::Scratch scratch_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "policy",
      .description = "Policy decision point: a tenant's rules and the answers they give",
      .migrations = migrations::policy(),
      .make = [](platform::Environment& environment) { return std::make_unique<Policies>(environment); },
  };
}

}  // namespace intra365::services::policy
