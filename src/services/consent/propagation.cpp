#include "services/consent/propagation.hpp"

#include <algorithm>

#include "guard/lease.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using postgres::Query;

// A report need not be on disk before anybody goes on: these commits wait for no sync.
#define WITHOUT_WAITING " from (select set_config('synchronous_commit', 'off', true)) unsynced"
constexpr Query consent_confirm{
    "consent_confirm",
    "select intra365.confirm_consents($1::text[], $2::text[], $3::text[], $4::bigint[])" WITHOUT_WAITING};
constexpr Query consent_told{
    "consent_told", "select intra365.told_consents($1::text[], $2::text[], $3::bigint[])" WITHOUT_WAITING};
constexpr Query consent_forget_propagation{
    "consent_forget_propagation",
    "select intra365.forget_consent_propagation($1::timestamptz, $2::timestamptz, $3) as more"};
constexpr Query consent_propagation{
    "consent_propagation",
    "select r.mate_id, r.user_id, r.status, r.mate_epoch, coalesce(p.changed_at, r.granted_at) as changed_at,"
    " p.told_at, clock_timestamp() as now from intra365.consent_records r"
    " left join intra365.consent_propagation p using (tenant_id, consent_id)"
    " where r.tenant_id = $1 and r.consent_id = $2"};
// A point is concerned when it was there at the change; the last time it was heard is written down every ten
// seconds. One that has gone since is known by its confirmation.
constexpr Query consent_propagation_points{
    "consent_propagation_points",
    "select coalesce(o.instance, c.instance) as instance, c.confirmed_at, o.heard_at,"
    " coalesce(o.mate_epoch >= $3, false) as reached from"
    " (select * from intra365.consent_points where tenant_id = $1 and mate_id = $4"
    "   and since <= $5::timestamptz and heard_at >= $5::timestamptz - interval '15 seconds') o"
    " full join (select * from intra365.consent_confirmations where tenant_id = $1 and consent_id = $2"
    "   and mate_epoch >= $3) c using (tenant_id, instance) order by 1 limit 512"};

struct ChangeRow {
  MateId mate_id;
  wire::SubjectId user_id;
  wire::Status status = wire::Status::active;
  std::uint64_t mate_epoch = 0;
  Timestamp changed_at;
  std::optional<Timestamp> told_at;
  Timestamp now;
};
BOOST_DESCRIBE_STRUCT(ChangeRow, (), (mate_id, user_id, status, mate_epoch, changed_at, told_at, now))

struct PointRow {
  std::string instance;
  std::optional<Timestamp> confirmed_at, heard_at;
  bool reached = false;
};
BOOST_DESCRIBE_STRUCT(PointRow, (), (instance, confirmed_at, heard_at, reached))

struct MoreRow {
  bool more = false;
};
BOOST_DESCRIBE_STRUCT(MoreRow, (), (more))

constexpr auto kGather = std::chrono::milliseconds(5);
constexpr auto kTouch = std::chrono::seconds(10);
constexpr auto kWriteTime = std::chrono::seconds(2);
constexpr auto kForgetPause = std::chrono::minutes(10);
constexpr auto kKept = std::chrono::hours(24 * 30), kSilent = std::chrono::hours(24);
constexpr int kForgetBatch = 5000;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Propagation::Propagation(platform::Environment& environment)
    : environment_(environment), changed_(environment.executor, SteadyTime::max()) {}

Result<void> Propagation::start() {
  CHECK(environment_.tasks.spawn(keep_forgetting()));
  return environment_.tasks.spawn(keep_writing());
}

void Propagation::reached(const TenantId& tenant, const wire::SyncRequest& request) {
  if (!request.instance || !is_token(*request.instance) || request.mate_epoch == 0) return;
  const auto key = tenant.str() + "/" + request.mate_id.str() + "/" + *request.instance;
  if (known_.size() >= kMaxKnown && !known_.contains(key)) known_.clear();
  auto& known = known_[key];
  if (known.epoch == request.mate_epoch && now() - known.written_at < kTouch) return;
  if (said_.size() >= kMaxWaiting) return;
  known = {request.mate_epoch, now()};
  said_.push_back({tenant, request.mate_id.str(), *request.instance, request.mate_epoch});
  changed_.cancel();
}

void Propagation::told(const TenantId& tenant, const wire::Consent& record) {
  // A grant that stands as it was given has no change to follow.
  if (record.revision == 1 && !record.parent_id && !wire::group_of(record.user_id.str())) return;
  if (told_.size() >= kMaxWaiting) return;
  told_.push_back({tenant, record.consent_id, record.mate_epoch});
  changed_.cancel();
}

Task<> Propagation::keep_writing() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    if (said_.empty() && told_.empty()) {
      boost::system::error_code ignored;
      co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    co_await sleep_for(kGather);
    if (const auto written = co_await contain(write()); !written) {
      known_.clear();  // what was lost is said again with the next syncs
      environment_.telemetry.log.write(platform::LogLevel::warning, "confirmations are not recorded",
                                       {{"code", written.error().code}});
    }
  }
  co_return Result<void>{};
}

Task<> Propagation::write() {
  auto said = std::exchange(said_, {});
  auto told = std::exchange(told_, {});
  // What was told before what was confirmed, as it happened.
  CO_CHECK(co_await write_all(std::move(told)));
  co_return co_await write_all(std::move(said));
}

template <class One>
Task<> Propagation::write_all(std::vector<One> all) {
  if (all.empty()) co_return Result<void>{};
  auto written = co_await write(all);
  if (written || all.size() == 1 || written.error().is(postgres::errors::unavailable) ||
      written.error().is(postgres::errors::timeout))
    co_return written;
  // One of them cannot be written; the others, of other tenants too, must not suffer for it.
  for (auto& one : all) {
    std::vector<One> alone;
    alone.push_back(std::move(one));
    if (auto wrote = co_await write(std::move(alone)); !wrote) written = std::move(wrote);
  }
  co_return written;
}

Task<> Propagation::write(std::vector<Told> told) {
  std::vector<std::string> tenants, consents;
  std::vector<std::uint64_t> epochs;
  for (const auto& one : told) {
    tenants.push_back(one.tenant.str());
    consents.push_back(one.consent.str());
    epochs.push_back(one.epoch);
  }
  const postgres::Scope platform_wide;
  auto parameters = postgres::bind(tenants, consents, epochs);
  CO_CHECK(co_await environment_.database.query(platform_wide, consent_told, std::move(parameters),
                                                now() + kWriteTime));
  co_return Result<void>{};
}

Task<> Propagation::write(std::vector<Said> said) {
  std::vector<std::string> tenants, mates, instances;
  std::vector<std::uint64_t> epochs;
  for (const auto& one : said) {
    tenants.push_back(one.tenant.str());
    mates.push_back(one.mate);
    instances.push_back(one.instance);
    epochs.push_back(one.epoch);
  }
  const postgres::Scope platform_wide;
  auto parameters = postgres::bind(tenants, mates, instances, epochs);
  CO_CHECK(co_await environment_.database.query(platform_wide, consent_confirm, std::move(parameters),
                                                now() + kWriteTime));
  co_return Result<void>{};
}

Task<> Propagation::keep_forgetting() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    co_await sleep_for(kForgetPause);
    for (bool more = true; more;) {
      const auto at = environment_.clock.now();
      const postgres::Scope platform_wide;
      auto parameters = postgres::bind(at - kKept, at - kSilent, kForgetBatch);
      const auto rows = co_await environment_.database.query(platform_wide, consent_forget_propagation,
                                                             std::move(parameters), now() + kWriteTime);
      const auto row = rows ? rows->as_optional<MoreRow>() : Result<std::optional<MoreRow>>(std::nullopt);
      more = row && *row && (*row)->more;
    }
  }
  co_return Result<void>{};
}

Task<wire::PropagationReply> Propagation::state(const platform::Caller& caller,
                                                const wire::PropagationRequest& request) {
  caller.note->consent_id = request.consent_id;
  const postgres::Scope scope{caller.tenant.str()};
  auto which = postgres::bind(caller.tenant, request.consent_id);
  CO_TRY(const auto rows,
         co_await environment_.database.query(scope, consent_propagation, std::move(which), caller.deadline));
  CO_TRY(const auto change, rows.as_optional<ChangeRow>());
  if (!change || !((caller.kind == PrincipalKind::user && caller.id == change->user_id.str()) ||
                   caller.is_mate(change->mate_id) || caller.is_operator()))
    co_return fail(errors::unknown_consent);
  caller.note->user_id = person_of(change->user_id);

  auto parameters = postgres::bind(caller.tenant, request.consent_id, change->mate_epoch, change->mate_id,
                                   change->changed_at);
  CO_TRY(const auto listed, co_await environment_.database.query(scope, consent_propagation_points,
                                                                 std::move(parameters), caller.deadline));
  CO_TRY(const auto points, listed.as<PointRow>());

  wire::PropagationReply reply;
  reply.consent_id = request.consent_id;
  reply.mate_id = change->mate_id;
  reply.status = change->status;
  reply.mate_epoch = change->mate_epoch;
  reply.changed_at = change->changed_at;
  reply.told_at = change->told_at;
  reply.bound_ms = guard::kLeaseDuration.count();
  reply.complete = true;
  const bool over = change->now >= change->changed_at + guard::kLeaseDuration;
  for (const auto& row : points) {
    wire::PropagationPoint point;
    point.instance = row.instance;
    point.heard_at = row.heard_at;
    point.confirmed_at = row.confirmed_at;
    if (row.confirmed_at)
      point.after_us =
          std::chrono::duration_cast<std::chrono::microseconds>(*row.confirmed_at - change->changed_at)
              .count();
    point.state = row.confirmed_at || row.reached ? wire::PointState::confirmed
                  : over                          ? wire::PointState::lapsed
                  : change->told_at               ? wire::PointState::told
                                                  : wire::PointState::untold;
    reply.complete = reply.complete &&
                     (point.state == wire::PointState::confirmed || point.state == wire::PointState::lapsed);
    reply.points.push_back(std::move(point));
  }
  co_return reply;
}

}  // namespace intra365::services::consent
