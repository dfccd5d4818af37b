#include "services/policy/service.hpp"

#include "contract/errors.hpp"
#include "contract/subjects.hpp"
#include "policy/compiled.hpp"
#include "services/policy/watches.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> policy();
}

namespace intra365::services::policy {
namespace {

namespace wire = intra365::policy;
using platform::Caller;

/// Owned by one shard; not thread-safe.
class Policies final : public platform::Service {
 public:
  explicit Policies(platform::Environment& environment)
      : environment_(environment),
        store_(environment),
        decisions_(environment, store_),
        watches_(environment, decisions_) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::create, *this, &Policies::create),
            bind(wire::update, *this, &Policies::update),
            bind(wire::delete_, *this, &Policies::remove),
            bind(wire::list, *this, &Policies::list),
            bind(wire::get, *this, &Policies::get),
            bind(wire::versions, *this, &Policies::versions),
            bind(wire::rollback, *this, &Policies::rollback),
            bind(wire::sync, *this, &Policies::sync),
            bind(wire::evaluate, decisions_, &Decisions::evaluate),
            bind(wire::explain, decisions_, &Decisions::explain),
            bind(wire::evaluate_batch, decisions_, &Decisions::evaluate_batch),
            bind(wire::search, decisions_, &Decisions::search),
            bind(wire::filter, decisions_, &Decisions::filter),
            bind(wire::replay, decisions_, &Decisions::replay),
            bind(wire::record, decisions_, &Decisions::record),
            bind(wire::watch, watches_, &Watches::watch)};
  }

  Task<> start() override {
    CO_CHECK(co_await decisions_.start());
    co_return co_await watches_.start();
  }
  Task<> stop() override { co_return co_await decisions_.stop(); }

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

  Task<wire::SyncReply> sync(const Caller& caller, const wire::SyncRequest& request) {
    wire::SyncReply reply;
    CO_TRY(reply.policy_epoch, co_await store_.epoch(caller.tenant, caller.deadline));
    if (reply.policy_epoch != 0 && reply.policy_epoch == request.policy_epoch) co_return reply;
    CO_CHECK(co_await store_.add_defaults(caller.tenant, caller.deadline));
    CO_TRY(auto set, co_await store_.set_in_use(caller.tenant, caller.deadline));
    reply.policy_epoch = set.epoch;
    reply.changed = true;
    // The platform's own decision points say beside their answers what the shadow policies would have said.
    std::erase_if(set.policies, [&](const auto& one) {
      const auto status = wire::status_of(one);
      return status != wire::Status::active && !(caller.is_service() && status == wire::Status::shadow);
    });
    reply.policies = std::move(set.policies);
    co_return reply;
  }

  asio::awaitable<void> tell(const Caller& caller, wire::ChangeReply change) {
    caller.note->resource = "policy:" + change.policy_id.str();
    decisions_.changed(caller.tenant);
    if (const auto account = co_await environment_.tenants.account_of(caller.tenant, caller.deadline)) {
      const wire::PolicyPush push{change.policy_epoch};
      // A hint: enforcement points that miss it find out with their next sync.
      static_cast<void>(environment_.nats.publish(subjects::in_account(*account, subjects::guard_policy),
                                                  json::encode(push)));
    }
  }

  platform::Environment& environment_;
  Store store_;
  Decisions decisions_;
  Watches watches_;
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
