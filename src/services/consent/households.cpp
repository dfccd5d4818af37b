#include "services/consent/households.hpp"

#include "consent/groups.hpp"
#include "contract/errors.hpp"
#include "services/consent/columns.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using platform::Caller;
using postgres::Query;

constexpr int kMostConsents = 1000, kMostInherited = 2 * kMostConsents;
constexpr int kRefusedAtOnce = 500;
constexpr std::string_view kSystem = "system";
constexpr auto kMoveTime = std::chrono::seconds(5);

constexpr Query household_found{"household_found", "select intra365.found_household($1, $2, $3) as outcome"};
constexpr Query household_invite{"household_invite",
                                 "select intra365.invite_to_household($1, $2, $3, $4, $5) as outcome"};
constexpr Query household_join{"household_join", "select intra365.join_household($1, $2, $3) as outcome"};
constexpr Query household_leave{
    "household_leave", "select intra365.leave_household($1, $2, $3, $4, $5::timestamptz) as outcome"};
constexpr Query household_raise{"household_raise",
                                "select " CONSENT_COLUMNS " from intra365.raise_household($1, $2)"};
constexpr Query household_epoch{
    "household_epoch",
    "select epoch from intra365.consent_epochs where tenant_id = $1 and kind = 'user' and id = $2"};
constexpr Query household_hold{"household_hold", "select intra365.hold_household($1, $2) as holds"};
constexpr Query household_joined{
    "household_joined",
    "select exists (select from intra365.consent_household_members where tenant_id = $1 and household_id = $2"
    " and user_id = $3 and joined_at is not null and left_at is null) as holds"};
constexpr Query group_append{"group_append",
                             "select " CONSENT_COLUMNS
                             " from intra365.append_group_consents($1, $2, $3, $4::jsonb, $5)"};
constexpr Query consent_note_objection{"consent_note_objection",
                                       "select intra365.note_objection($1, $2, $3::text[]) as holds"};
constexpr Query consent_open_objections{
    "consent_open_objections",
    "select user_id, $3 as mate_id, purposes, $5::text[] as scopes, since"
    " from intra365.open_objections($1, $2, $3, $4::text[], $5::text[], null) limit $6"};
constexpr Query consent_open_objections_of{"consent_open_objections_of",
                                           "select * from intra365.open_objections_of($1, $2, $3::text[])"
                                           " limit $4"};
constexpr Query consent_groups{"consent_groups", "select unnest(intra365.consent_groups($1, $2)) as subject"};
constexpr Query household_keeps{"household_keeps", "select intra365.keeps_household($1, $2, $3) as holds"};
constexpr Query household_show{
    "household_show",
    "select household_id, founded_at, ended_at from intra365.consent_households where tenant_id = $1 and "
    "household_id = $2"};
constexpr Query household_members{
    "household_members",
    "select user_id, keeper, invited_at, joined_at from intra365.consent_household_members"
    " where tenant_id = $1 and household_id = $2 and left_at is null order by number limit 50"};
constexpr Query household_of_user{
    "household_of_user",
    "select household_id from intra365.consent_household_members where tenant_id = $1 and user_id = $2"
    " and left_at is null order by joined_at nulls last, number limit 100"};
constexpr Query household_count{
    "household_count",
    "select count(*) >= $3 as holds from (select from intra365.consent_records where tenant_id = $1 and "
    "user_id = $2 limit $3) counted"};
// A group has few records, found by its name whatever the planner thinks of the rest of the question.
#define OF_GROUPS                                                                                           \
  " from unnest(intra365.consent_groups($1, $2)) of_group, lateral (select * from intra365.consent_records" \
  "  where tenant_id = $1 and user_id = of_group offset 0) r"
constexpr Query consent_inherited{
    "consent_inherited", "select " CONSENT_COLUMNS OF_GROUPS
                         " where mate_id = $3 and status <> 'superseded' order by consent_id limit $4"};
constexpr Query consent_query_inherited{"consent_query_inherited",
                                        "select " CONSENT_COLUMNS OF_GROUPS
                                        " where ($3::text is null or mate_id = $3)"
                                        " and ($4::bool is null or $4 = " CONSENT_HOLDS
                                        ")"
                                        " and consent_id > $5 order by consent_id limit $6"};
constexpr Query consent_groups_then{
    "consent_groups_then",
    "select distinct household_id from intra365.consent_household_members where tenant_id = $1 and user_id = "
    "$2"
    " and valid_from <= $3::timestamptz and joined_at <= $4::timestamptz"
    " and not coalesce(valid_to <= $3::timestamptz and left_at <= $4::timestamptz, false) limit 10"};
constexpr Query consent_is_inherited{
    "consent_is_inherited",
    "select exists (select from intra365.consent_records where tenant_id = $1 and mate_id = $2"
    " and position(':' in user_id) > 0 and status in ('active', 'suspended')) as holds"};

struct OutcomeRow {
  std::string outcome;
};
BOOST_DESCRIBE_STRUCT(OutcomeRow, (), (outcome))

struct HoldsRow {
  bool holds = false;
};
BOOST_DESCRIBE_STRUCT(HoldsRow, (), (holds))

struct EpochRow {
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(EpochRow, (), (epoch))

struct SubjectRow {
  wire::SubjectId subject;
};
BOOST_DESCRIBE_STRUCT(SubjectRow, (), (subject))

struct HouseholdRow {
  wire::HouseholdId household_id;
};
BOOST_DESCRIBE_STRUCT(HouseholdRow, (), (household_id))

struct ShownRow {
  wire::HouseholdId household_id;
  Timestamp founded_at;
  std::optional<Timestamp> ended_at;
};
BOOST_DESCRIBE_STRUCT(ShownRow, (), (household_id, founded_at, ended_at))

SteadyTime in(std::chrono::seconds time) {
  return std::chrono::steady_clock::now() + time;
}

Result<void> check_outcome(const postgres::Rows& rows) {
  TRY(const auto row, rows.as_optional<OutcomeRow>());
  const auto outcome = row ? row->outcome : std::string();
  if (outcome == "done") return {};
  if (outcome == "unknown") return fail(errors::unknown_household);
  if (outcome == "not_keeper") return fail(errors::not_for_the_group);
  if (outcome == "elsewhere") return fail(errors::in_a_household);
  if (outcome == "known") return fail(errors::known_member);
  if (outcome == "full") return fail(errors::household_full);
  if (outcome == "objections") return fail(errors::objections_open);
  return fail(postgres::errors::bad_row, "an outcome that nobody knows");
}

/// An objection without a refusal.
struct OpenRow {
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  Timestamp since;
};
BOOST_DESCRIBE_STRUCT(OpenRow, (), (user_id, mate_id, purposes, scopes, since))

/// Who is only invited sees who keeps it, and themselves.
void hide_from_guest(wire::Household& household, const UserId& guest) {
  std::erase_if(household.members,
                [&](const auto& member) { return !member.keeper && member.user_id != guest; });
}

bool holds(const Result<std::optional<HoldsRow>>& row) {
  return row && *row && (*row)->holds;
}

}  // namespace

Task<wire::Household> Households::found(const Caller& caller, const Empty&) {
  CO_TRY(const auto user, person(caller));
  caller.note->user_id = user;
  const auto id = wire::HouseholdId::trusted(new_uuid());
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, id, user);
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_found, std::move(parameters), caller.deadline));
  CO_CHECK(check_outcome(rows));
  co_return co_await show(caller.tenant, id, caller.deadline);
}

Task<wire::HouseholdsReply> Households::list(const Caller& caller, const Empty&) {
  CO_TRY(const auto user, person(caller));
  caller.note->user_id = user;
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, user);
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_of_user, std::move(parameters), caller.deadline));
  CO_TRY(const auto ids, rows.as<HouseholdRow>());
  wire::HouseholdsReply reply;
  for (const auto& row : ids) {
    CO_TRY(auto one, co_await show(caller.tenant, row.household_id, caller.deadline));
    const auto own = std::ranges::find(one.members, user, &wire::HouseholdMember::user_id);
    if (own == one.members.end() || !own->joined_at) hide_from_guest(one, user);
    reply.households.push_back(std::move(one));
  }
  co_return reply;
}

Task<wire::Household> Households::show(TenantId tenant, wire::HouseholdId household, SteadyTime deadline) {
  std::vector<postgres::Statement> statements;
  statements.push_back({household_show, postgres::bind(tenant, household)});
  statements.push_back({household_members, postgres::bind(tenant, household)});
  const postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), deadline));
  CO_TRY(const auto shown, results.at(0).as_optional<ShownRow>());
  if (!shown) co_return fail(errors::unknown_household);
  wire::Household reply;
  reply.household_id = shown->household_id;
  reply.founded_at = shown->founded_at;
  reply.ended_at = shown->ended_at;
  CO_TRY(reply.members, results.at(1).as<wire::HouseholdMember>());
  co_return reply;
}

Task<wire::Household> Households::invite(const Caller& caller, const wire::InviteRequest& request) {
  CO_TRY(const auto user, person(caller));
  caller.note->user_id = user;
  caller.note->resource = "household:" + request.household_id.str();
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, request.household_id, user, request.user_id,
                                   request.keeper.value_or(false));
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_invite, std::move(parameters), caller.deadline));
  CO_CHECK(check_outcome(rows));
  co_return co_await show(caller.tenant, request.household_id, caller.deadline);
}

Task<wire::MembershipReply> Households::join(const Caller& caller, const wire::JoinRequest& request) {
  CO_TRY(const auto user, person(caller));
  const std::vector<std::string> group{wire::household_subject(request.household_id).str()};
  while (true) {
    postgres::Statement change{household_join, postgres::bind(caller.tenant, request.household_id, user)};
    auto joined = co_await change_members(caller, request.household_id, user, std::move(change));
    if (joined || !joined.error().is(errors::objections_open)) co_return joined;
    // What they have objected to before is refused for them before the household speaks for them.
    postgres::Statement missing{consent_open_objections_of,
                                postgres::bind(caller.tenant, user, group, kRefusedAtOnce)};
    CO_CHECK(co_await refuse(caller, std::string(kSystem), std::move(missing)));
  }
}

Task<wire::MembershipReply> Households::leave(const Caller& caller, const wire::LeaveRequest& request) {
  CO_TRY(const auto user, person(caller));
  const auto whose = request.user_id.value_or(user);
  postgres::Statement change{household_leave, postgres::bind(caller.tenant, request.household_id, user, whose,
                                                             request.effective_at)};
  co_return co_await change_members(caller, request.household_id, whose, std::move(change));
}

Task<> Households::leave_all(const Caller& caller, UserId user) {
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, user);
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_of_user, std::move(parameters), caller.deadline));
  CO_TRY(const auto stays, rows.as<HouseholdRow>());
  const std::optional<Timestamp> now;
  for (const auto& stay : stays) {
    postgres::Statement change{household_leave,
                               postgres::bind(caller.tenant, stay.household_id, user, user, now)};
    CO_CHECK(co_await change_members(caller, stay.household_id, user, std::move(change)));
  }
  co_return Result<void>{};
}

/// What a change of members finds beside the records that it raises.
struct Households::Moved {
  bool was_member = false;  ///< who asks, before it
  bool had_joined = false;  ///< whose membership it is, before it
  std::uint64_t epoch = 0;  ///< theirs, after it
};

Task<Records> Households::move(TenantId tenant, std::vector<postgres::Statement> statements,
                               std::shared_ptr<Moved> moved) {
  const postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), in(kMoveTime)));
  moved->was_member = holds(results.at(0).as_optional<HoldsRow>());
  moved->had_joined = holds(results.at(1).as_optional<HoldsRow>());
  CO_CHECK(check_outcome(results.at(2)));
  CO_TRY(const auto epoch, results.at(4).as_optional<EpochRow>());
  moved->epoch = epoch ? epoch->epoch : 0;
  co_return results.at(3).as<wire::Consent>();
}

Task<wire::MembershipReply> Households::change_members(const Caller& caller, wire::HouseholdId household,
                                                       UserId whose, postgres::Statement change) {
  caller.note->user_id = whose;
  caller.note->resource = "household:" + household.str();
  std::vector<postgres::Statement> statements;
  statements.push_back({household_joined, postgres::bind(caller.tenant, household, caller.id)});
  statements.push_back({household_joined, postgres::bind(caller.tenant, household, whose)});
  statements.push_back(std::move(change));
  statements.push_back({household_raise, postgres::bind(caller.tenant, household)});
  statements.push_back({household_epoch, postgres::bind(caller.tenant, whose)});
  const auto moved = std::make_shared<Moved>();
  Appender::StoreOne store = [this, tenant = caller.tenant, statements = std::move(statements), moved] {
    return move(tenant, statements, moved);
  };
  CO_TRY(const auto told,
         co_await appender_.append_by(caller.tenant, std::move(store), std::string(caller.trace.trace_id()),
                                      caller.deadline));
  wire::MembershipReply reply;
  CO_TRY(reply.propagation, co_await spread_.reached(told.published, told.cached));
  // Who never came has told the household nothing of themselves.
  if (whose.str() == caller.id || moved->had_joined) reply.epoch = moved->epoch;
  CO_TRY(reply.household, co_await show(caller.tenant, household, caller.deadline));
  const auto own = std::ranges::find(reply.household.members, caller.id,
                                     [](const auto& one) { return one.user_id.str(); });
  const bool is_member = own != reply.household.members.end() && own->joined_at;
  if (!moved->was_member && !is_member) hide_from_guest(reply.household, whose);
  co_return reply;
}

Task<> Households::check_speaks(const Caller& caller, wire::SubjectId group) {
  const auto household = wire::household_of(group.str());
  if (household.empty()) {
    if (!caller.is_operator()) co_return fail(errors::not_for_the_group);
    co_return Result<void>{};
  }
  CO_TRY(const auto user, person(caller));
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, household, user);
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_keeps, std::move(parameters), caller.deadline));
  if (!holds(rows.as_optional<HoldsRow>())) co_return fail(errors::not_for_the_group);
  co_return Result<void>{};
}

Task<wire::SubjectId> Households::group_for(const Caller& caller,
                                            std::optional<wire::HouseholdId> household) {
  const auto group =
      household ? wire::household_subject(*household) : wire::organisation_subject(caller.tenant);
  CO_CHECK(co_await check_speaks(caller, group));
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, group, kMostConsents);
  CO_TRY(const auto rows,
         co_await database_.query(scope, household_count, std::move(parameters), caller.deadline));
  if (holds(rows.as_optional<HoldsRow>())) co_return fail(errors::household_full);
  co_return group;
}

Task<Told> Households::append(const Caller& caller, wire::SubjectId group, std::vector<Change> changes) {
  boost::json::array list;
  for (const auto& change : changes) list.push_back(json::to_value(change));
  std::optional<std::string> keeper;
  if (caller.kind == PrincipalKind::user) keeper = caller.id;
  const std::string trace_id(caller.trace.trace_id());
  for (bool again = true;;) {
    std::size_t refused = 0;
    for (const auto& [change, record] : changes) {
      if (change.event != wire::EventKind::granted && change.event != wire::EventKind::delegated) continue;
      postgres::Statement missing{consent_open_objections,
                                  postgres::bind(caller.tenant, group, change.mate_id, change.purposes,
                                                 change.scopes, kRefusedAtOnce)};
      CO_TRY(const auto stored, co_await refuse(caller, std::string(kSystem), std::move(missing)));
      refused += stored.size();
    }
    again = again || refused > 0;
    if (refused > 0) continue;  // there may be more
    Appender::StoreOne store_changes = [this, tenant = caller.tenant, group, keeper,
                                        all = boost::json::value(list),
                                        trace_id] { return store(tenant, group, keeper, all, trace_id); };
    auto told =
        co_await appender_.append_by(caller.tenant, std::move(store_changes), trace_id, caller.deadline);
    // Perhaps somebody has objected meanwhile, and that is why nothing was stored.
    if (!told || !told->stored.empty() || !again) co_return told;
    again = false;
  }
}

Task<Records> Households::store(TenantId tenant, wire::SubjectId group, std::optional<std::string> keeper,
                                boost::json::value changes, std::string trace_id) {
  std::vector<postgres::Statement> statements;
  // By itself, so that the statement after it sees what whoever held it before has left.
  const auto household = wire::household_of(group.str());
  if (!household.empty()) statements.push_back({household_hold, postgres::bind(tenant, household)});
  statements.push_back(
      {group_append, postgres::bind(tenant, group, keeper, std::move(changes), std::move(trace_id))});
  const postgres::Scope scope{tenant.str()};
  CO_TRY(const auto results, co_await database_.atomically(scope, std::move(statements), in(kMoveTime)));
  co_return results.back().as<wire::Consent>();
}

Task<Records> Households::object(const Caller& caller, UserId user, std::vector<Purpose> purposes) {
  // Noted first: what a group allows from now on has to heed it, and what it has allowed is found below.
  const postgres::Scope scope{caller.tenant.str()};
  auto noted = postgres::bind(caller.tenant, user, purposes);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_note_objection, std::move(noted), caller.deadline));
  if (!holds(rows.as_optional<HoldsRow>())) co_return fail(errors::too_many_objections);
  auto whose = postgres::bind(caller.tenant, user);
  CO_TRY(const auto of_user,
         co_await database_.query(scope, consent_groups, std::move(whose), caller.deadline));
  CO_TRY(const auto listed, of_user.as<SubjectRow>());
  std::vector<std::string> groups;
  for (const auto& row : listed) groups.push_back(row.subject.str());
  Records refused;
  while (true) {
    postgres::Statement missing{consent_open_objections_of,
                                postgres::bind(caller.tenant, user, groups, kRefusedAtOnce)};
    CO_TRY(auto stored, co_await refuse(caller, caller.subject(), std::move(missing)));
    if (stored.empty()) co_return refused;
    refused.insert(refused.end(), std::make_move_iterator(stored.begin()),
                   std::make_move_iterator(stored.end()));
  }
}

Task<Records> Households::refuse(const Caller& caller, std::string actor, postgres::Statement missing) {
  const postgres::Scope scope{caller.tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, missing.query, std::move(missing.parameters), caller.deadline));
  CO_TRY(auto listed, rows.as<OpenRow>());
  std::vector<Change> changes;
  for (auto& row : listed) {
    wire::Moment moment;
    moment.actor = actor;
    moment.now = row.since;  // the no is as old as the objection, whenever it is written down
    const wire::Objected objected{std::move(row.user_id), std::move(row.mate_id), std::move(row.purposes),
                                  std::move(row.scopes)};
    for (auto& change : wire::decide_objection(objected, moment)) {
      change.consent_id = ConsentId::trusted(new_uuid());
      changes.emplace_back();
      wire::apply(changes.back().record, change);
      changes.back().change = std::move(change);
    }
  }
  if (changes.empty()) co_return Records();
  CO_TRY(auto told, co_await appender_.append(caller.tenant, std::move(changes),
                                              std::string(caller.trace.trace_id()), caller.deadline));
  co_return std::move(told.stored);
}

Task<Records> Households::inherited(TenantId tenant, UserId user, MateId mate, SteadyTime deadline) {
  const postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, mate, kMostInherited + 1);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_inherited, std::move(parameters), deadline));
  CO_TRY(auto records, rows.as<wire::Consent>());
  if (records.size() > static_cast<std::size_t>(kMostInherited)) records.clear();
  CO_CHECK(co_await store_.make_effective(tenant, records, deadline));
  co_return records;
}

Task<Records> Households::query(const Caller& caller, std::optional<MateId> mate, std::optional<bool> active,
                                Page page) {
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, caller.id, mate, active, page.after, page.limit);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_query_inherited, std::move(parameters), caller.deadline));
  CO_TRY(auto records, rows.as<wire::Consent>());
  CO_CHECK(co_await store_.make_effective(caller.tenant, records, caller.deadline));
  co_return records;
}

Task<std::vector<wire::SubjectId>> Households::groups_then(TenantId tenant, UserId user, Timestamp valid_at,
                                                           Timestamp known_at, SteadyTime deadline) {
  const postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, user, valid_at, known_at);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_groups_then, std::move(parameters), deadline));
  CO_TRY(const auto stays, rows.as<HouseholdRow>());
  std::vector<wire::SubjectId> groups;
  for (const auto& stay : stays) groups.push_back(wire::household_subject(stay.household_id));
  groups.push_back(wire::organisation_subject(tenant));
  co_return groups;
}

Task<bool> Households::is_inherited(TenantId tenant, MateId mate, SteadyTime deadline) {
  const postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, mate);
  CO_TRY(const auto rows,
         co_await database_.query(scope, consent_is_inherited, std::move(parameters), deadline));
  CO_TRY(const auto row, rows.as_optional<HoldsRow>());
  co_return row && row->holds;
}

}  // namespace intra365::services::consent
