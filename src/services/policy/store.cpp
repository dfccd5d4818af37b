#include "services/policy/store.hpp"

#include "policy/compiled.hpp"
#include "services/policy/defaults.hpp"

namespace intra365::services::policy {
namespace {

namespace wire = intra365::policy;
using postgres::Query;
using postgres::Statement;

constexpr Query policy_insert{"policy_insert",
                              "insert into intra365.policies (tenant_id, policy_id, name, type, rules, "
                              "priority, active, status, scope, guardrail, description, updated_by, version)"
                              " values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, $12,"
                              "  (select coalesce(max(version), 0) + 1 from intra365.policy_versions where "
                              "tenant_id = $1 and policy_id = $2)) returning version"};
constexpr Query policy_update{
    "policy_update",
    "update intra365.policies set name = $3, type = $4, rules = $5::jsonb, priority = $6, active = $7, "
    "status = $8, scope = $9, guardrail = $10, description = $11, updated_by = $12, version = version + 1, "
    "updated_at = now()"
    " where tenant_id = $1 and policy_id = $2 and ($13::bigint is null or version = $13) returning version"};
constexpr Query policy_delete{
    "policy_delete",
    "delete from intra365.policies where tenant_id = $1 and policy_id = $2 returning version + 1 as version"};
constexpr Query version_insert{"policy_version_insert",
                               "insert into intra365.policy_versions (tenant_id, policy_id, version, change, "
                               "document, changed_by, reason, policy_epoch) values ($1, $2, $3, $4, "
                               "$5::jsonb, $6, $7, $8)"};
constexpr Query version_list{
    "policy_version_list",
    "select version, change, changed_by, changed_at, reason, document as policy from intra365.policy_versions"
    " where tenant_id = $1 and policy_id = $2 and ($3::bigint is null or version = $3)"
    " and ($4::bigint is null or version < $4) order by version desc limit $5"};
constexpr Query epoch_bump{
    "policy_epoch_bump",
    "insert into intra365.policy_epochs values ($1, intra365.epoch_base() + 1) on conflict (tenant_id) do "
    "update set epoch = greatest(intra365.policy_epochs.epoch, excluded.epoch - 1) + 1 returning epoch as "
    "version"};
constexpr Query epoch_start{"policy_epoch_start",
                            "insert into intra365.policy_epochs values ($1, 1) on conflict (tenant_id) do "
                            "nothing returning epoch as version"};
constexpr Query epoch_get{"policy_epoch",
                          "select greatest(epoch, intra365.epoch_base()) as version from "
                          "intra365.policy_epochs where tenant_id = $1"};
constexpr Query policy_list{
    "policy_list",
    "select policy_id, name, type, rules, priority, active, version, status, scope, guardrail, description"
    " from intra365.policies where tenant_id = $1"
    " and ($2::text is null or policy_id = $2) and policy_id > $3 order by policy_id limit $4"};
constexpr Query policy_in_use{
    "policy_in_use",
    "select policy_id, name, type, rules, priority, active, version, status, scope, guardrail, description"
    " from intra365.policies where tenant_id = $1 and status in ('active', 'shadow') order by policy_id"};
constexpr Query user_facts{
    "policy_user_facts", "select country, profile from intra365.users where tenant_id = $1 and user_id = $2"};
constexpr Query user_ids{"policy_user_ids",
                         "select user_id as id from intra365.users where tenant_id = $1 and user_id collate "
                         "\"C\" >= $2 order by user_id collate \"C\" limit $3"};
constexpr Query mate_ids{"policy_mate_ids",
                         "select mate_id as id from intra365.mates where tenant_id = $1 and mate_id collate "
                         "\"C\" >= $2 order by mate_id collate \"C\" limit $3"};
constexpr Query decision_insert{
    "policy_decision_insert",
    "insert into intra365.policy_evaluations (tenant_id, decision_id, evaluated_at, policy_epoch, count, "
    "request, attributes, reply, shadow)"
    " select $1, \"decisionId\", \"evaluatedAt\", \"policyEpoch\", count, request, attributes, reply, shadow"
    " from jsonb_to_recordset($2::jsonb) as record(\"decisionId\" text, \"evaluatedAt\" timestamptz,"
    " \"policyEpoch\" bigint, count bigint, request jsonb, attributes jsonb, reply jsonb, shadow jsonb)"
    " on conflict (tenant_id, decision_id) do nothing"};
constexpr Query decision_get{
    "policy_decision",
    "select decision_id, evaluated_at, policy_epoch, count, request, attributes, reply, shadow"
    " from intra365.policy_evaluations where tenant_id = $1 and decision_id = $2"};
constexpr Query policies_at{
    "policy_policies_at",
    "select document as policy from (select distinct on (policy_id) policy_id, change, document from "
    "intra365.policy_versions where tenant_id = $1 and policy_epoch <= $2 order by policy_id, version desc) "
    "as "
    "newest where change <> 'deleted' order by policy_id"};

/// What epoch_start begins with.
constexpr std::uint64_t kFirstEpoch = 1;

struct IdRow {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(IdRow, (), (id))

struct DocumentRow {
  boost::json::value policy;
};
BOOST_DESCRIBE_STRUCT(DocumentRow, (), (policy))

struct VersionRow {
  std::uint64_t version = 0;
};
BOOST_DESCRIBE_STRUCT(VersionRow, (), (version))

struct PolicyRow {
  PolicyId policy_id;
  std::string name, type;
  boost::json::value rules;
  std::int64_t priority = 0;
  bool active = false;
  std::uint64_t version = 0;
  wire::Status status = wire::Status::active;
  wire::PolicyScope scope = wire::PolicyScope::tenant;
  bool guardrail = false;
  std::optional<std::string> description;
};
BOOST_DESCRIBE_STRUCT(PolicyRow, (),
                      (policy_id, name, type, rules, priority, active, version, status, scope, guardrail,
                       description))

struct VersionListRow {
  std::uint64_t version = 0;
  std::string change, changed_by;
  Timestamp changed_at;
  std::optional<std::string> reason;
  boost::json::value policy;
};
BOOST_DESCRIBE_STRUCT(VersionListRow, (), (version, change, changed_by, changed_at, reason, policy))

struct RulesHolder {
  std::vector<wire::Rule> rules;
};
BOOST_DESCRIBE_STRUCT(RulesHolder, (), (rules))

boost::json::value rules_json(const wire::Policy& policy) {
  return json::to_value(RulesHolder{policy.rules}).at("rules");
}

Result<std::vector<wire::Policy>> policies_of(const postgres::Rows& rows) {
  TRY(auto listed, rows.as<PolicyRow>());
  std::vector<wire::Policy> policies;
  for (auto& row : listed) {
    TRY(auto holder, json::from_value<RulesHolder>(boost::json::object{{"rules", row.rules}}));
    auto& policy = policies.emplace_back();
    policy.policy_id = row.policy_id;
    policy.name = std::move(row.name);
    policy.type = std::move(row.type);
    policy.rules = std::move(holder.rules);
    policy.priority = row.priority;
    policy.active = row.active;
    policy.version = row.version;
    policy.status = row.status;
    policy.scope = row.scope;
    policy.guardrail = row.guardrail;
    policy.description = std::move(row.description);
  }
  return policies;
}

Result<std::uint64_t> version_of(const postgres::Rows& rows) {
  TRY(const auto row, rows.as_optional<VersionRow>());
  return row ? row->version : 0;
}

/// The first twelve parameters of policy_insert and policy_update.
postgres::Parameters parameters_of(const TenantId& tenant, const wire::Policy& policy,
                                   const std::string& actor) {
  const auto status = wire::status_of(policy);
  return postgres::bind(tenant, *policy.policy_id, policy.name, policy.type, rules_json(policy),
                        policy.priority.value_or(100), status == wire::Status::active, status,
                        policy.scope.value_or(wire::PolicyScope::tenant), policy.guardrail.value_or(false),
                        policy.description, actor);
}

/// The version's document and the tenant's new epoch, in the transaction that changed the policy.
Task<wire::ChangeReply> finish(postgres::Transaction& transaction, TenantId tenant, wire::Policy policy,
                               std::string change, std::string actor) {
  const auto reason = std::exchange(policy.change_reason, std::nullopt);
  CO_TRY(const auto bumped, co_await transaction.query(epoch_bump, postgres::bind(tenant)));
  CO_TRY(const auto epoch, version_of(bumped));
  auto versioned = postgres::bind(tenant, *policy.policy_id, *policy.version, change, json::to_value(policy),
                                  actor, reason, epoch);
  CO_CHECK(co_await transaction.query(version_insert, std::move(versioned)));
  CO_CHECK(co_await transaction.commit());
  co_return wire::ChangeReply{*policy.policy_id, *policy.version, epoch};
}

}  // namespace

Task<wire::ChangeReply> Store::create(TenantId tenant, wire::Policy policy, std::string actor,
                                      SteadyTime deadline, std::string change) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(auto transaction, co_await database_.begin(scope, deadline));
  const auto inserted = co_await transaction.query(policy_insert, parameters_of(tenant, policy, actor));
  if (!inserted && inserted.error().is(postgres::errors::unique_violation))
    co_return fail(errors::policy_exists);
  if (!inserted) co_return fail(inserted.error());
  CO_TRY(policy.version, version_of(*inserted));
  co_return co_await finish(transaction, tenant, std::move(policy), std::move(change), std::move(actor));
}

Task<wire::ChangeReply> Store::update(TenantId tenant, wire::Policy policy, std::string actor,
                                      SteadyTime deadline, std::string change) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(auto transaction, co_await database_.begin(scope, deadline));
  auto parameters = parameters_of(tenant, policy, actor);
  if (policy.version)
    parameters.add_text(std::to_string(*policy.version));
  else
    parameters.add(nullptr);
  CO_TRY(const auto updated, co_await transaction.query(policy_update, std::move(parameters)));
  if (updated.empty()) {
    CO_CHECK(co_await transaction.rollback());
    CO_TRY(const auto there, co_await list(tenant, policy.policy_id, "", 1, deadline));
    co_return fail(there.empty() ? errors::unknown_policy : errors::version_conflict);
  }
  CO_TRY(policy.version, version_of(updated));
  co_return co_await finish(transaction, tenant, std::move(policy), std::move(change), std::move(actor));
}

Task<wire::ChangeReply> Store::remove(TenantId tenant, PolicyId id, std::string actor, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto before, co_await list(tenant, id, "", 1, deadline));
  if (before.empty()) co_return fail(errors::unknown_policy);
  CO_TRY(auto transaction, co_await database_.begin(scope, deadline));
  CO_TRY(const auto deleted, co_await transaction.query(policy_delete, postgres::bind(tenant, id)));
  if (deleted.empty()) co_return fail(errors::unknown_policy);
  auto policy = before.front();
  CO_TRY(policy.version, version_of(deleted));
  co_return co_await finish(transaction, tenant, std::move(policy), "deleted", std::move(actor));
}

Task<> Store::add_defaults(TenantId tenant, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(auto transaction, co_await database_.begin(scope, deadline));
  CO_TRY(const auto started, co_await transaction.query(epoch_start, postgres::bind(tenant)));
  if (started.empty())
    co_return Result<void>{};  // the set has a history: what it is now is the operator's will
  for (auto& policy : default_policies()) {
    CO_TRY(const auto inserted,
           co_await transaction.query(policy_insert, parameters_of(tenant, policy, "system")));
    CO_TRY(policy.version, version_of(inserted));
    auto versioned = postgres::bind(tenant, *policy.policy_id, *policy.version, std::string("created"),
                                    json::to_value(policy), std::string("system"),
                                    std::optional<std::string>(), kFirstEpoch);
    CO_CHECK(co_await transaction.query(version_insert, std::move(versioned)));
  }
  co_return co_await transaction.commit();
}

Task<Store::Set> Store::set_in_use(TenantId tenant, SteadyTime deadline) {
  std::vector<Statement> statements;
  statements.push_back({epoch_get, postgres::bind(tenant)});
  statements.push_back({policy_in_use, postgres::bind(tenant)});
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  Set set;
  CO_TRY(set.epoch, version_of(results.at(0)));
  CO_TRY(set.policies, policies_of(results.at(1)));
  co_return set;
}

Task<std::uint64_t> Store::epoch(TenantId tenant, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, epoch_get, postgres::bind(tenant), deadline));
  co_return version_of(rows);
}

Task<std::vector<wire::Policy>> Store::list(TenantId tenant, std::optional<PolicyId> only, std::string after,
                                            int limit, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, policy_list, postgres::bind(tenant, only, after, limit), deadline));
  co_return policies_of(rows);
}

Task<std::vector<wire::PolicyVersion>> Store::versions(TenantId tenant, PolicyId id,
                                                       std::optional<std::uint64_t> only,
                                                       std::optional<std::uint64_t> before, int limit,
                                                       SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, version_list, postgres::bind(tenant, id, only, before, limit),
                                  deadline));
  CO_TRY(auto listed, rows.as<VersionListRow>());
  std::vector<wire::PolicyVersion> versions;
  for (auto& row : listed) {
    // A version written by a later program may say more than this one knows.
    CO_TRY(auto policy, json::from_value<wire::Policy>(row.policy, json::Unknown::ignore));
    versions.push_back({row.version, std::move(row.change), std::move(row.changed_by), row.changed_at,
                        std::move(row.reason), std::move(policy)});
  }
  co_return versions;
}

Task<std::optional<UserFacts>> Store::user(TenantId tenant, UserId user, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, user_facts, postgres::bind(tenant, user), deadline));
  co_return rows.as_optional<UserFacts>();
}

Task<std::vector<std::string>> Store::ids(Known known, TenantId tenant, std::string from, int limit,
                                          SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  const auto& query = known == Known::users ? user_ids : mate_ids;
  CO_TRY(const auto rows,
         co_await database_.query(scope, query, postgres::bind(tenant, from, limit), deadline));
  CO_TRY(auto listed, rows.as<IdRow>());
  std::vector<std::string> ids;
  for (auto& row : listed) ids.push_back(std::move(row.id));
  co_return ids;
}

Task<> Store::record(TenantId tenant, std::vector<wire::DecisionRecord> records, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  boost::json::array documents;
  for (const auto& one : records) documents.push_back(json::to_value(one));
  auto parameters = postgres::bind(tenant, boost::json::value(std::move(documents)));
  CO_CHECK(co_await database_.query(scope, decision_insert, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<wire::DecisionRecord> Store::decision(TenantId tenant, std::string id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  // Alike decisions of one moment share a record.
  const auto of_record = id.substr(0, id.find('.'));
  CO_TRY(const auto rows,
         co_await database_.query(scope, decision_get, postgres::bind(tenant, of_record), deadline));
  CO_TRY(auto found, rows.as_optional<wire::DecisionRecord>());
  if (!found) co_return fail(errors::unknown_decision);
  co_return *std::move(found);
}

Task<std::vector<wire::Policy>> Store::set_at(TenantId tenant, std::uint64_t epoch, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, policies_at, postgres::bind(tenant, epoch), deadline));
  CO_TRY(auto listed, rows.as<DocumentRow>());
  std::vector<wire::Policy> policies;
  for (auto& row : listed) {
    CO_TRY(auto policy, json::from_value<wire::Policy>(row.policy, json::Unknown::ignore));
    policies.push_back(std::move(policy));
  }
  co_return policies;
}

}  // namespace intra365::services::policy
