#include "services/consent/renewals.hpp"

#include <algorithm>

#include "json/json.hpp"
#include "nats/jetstream_headers.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using postgres::Query;

constexpr std::string_view kStream = "CONSENT_TIMERS", kConsumer = "due";
constexpr std::string_view kPlanned = "consent.timers.planned.", kDue = "consent.timers.due.";
/// How far ahead steps are handed to JetStream. What is later stays in PostgreSQL only, so that ten million
/// consents are not thirty million timers.
constexpr auto kHorizon = std::chrono::minutes(10);
/// A reminder that a tenant has just chosen, and that this process knows nothing of, is at most so late.
constexpr auto kPlanPause = std::chrono::minutes(1);
constexpr auto kGather = std::chrono::milliseconds(20);
/// Reminders that fell into a time when nobody planned are made up for, if it was not longer than this.
constexpr auto kMakeUp = std::chrono::hours(24);
constexpr auto kSweepPause = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::milliseconds(500);
constexpr auto kEarly = std::chrono::milliseconds(20);
constexpr auto kFetchWait = std::chrono::seconds(20);
constexpr auto kQueryTime = std::chrono::seconds(5);
constexpr int kPage = 1000, kSweepBatch = 200, kMostInUse = 1000;
const std::vector<int> kDefaults{7 * 86'400, 86'400};
constexpr int kMostBefore = 90 * 86'400;
constexpr std::size_t kMaxReminders = 8;

constexpr Query consent_timers{"consent_timers",
                               "select * from intra365.consent_timers($1::timestamptz, $2::timestamptz, "
                               "$3::int[], $4::timestamptz, $5, $6)"};
constexpr Query consent_reminders_known{"consent_reminders_known",
                                        "select * from intra365.consent_reminders_in_use($1) as seconds"};
constexpr Query consent_reminders_of{
    "consent_reminders_of",
    "select coalesce(reminders, $2::int[]) as seconds_before from"
    " (select (select reminders from intra365.consent_settings where tenant_id = $1)) s"};
constexpr Query consent_set_reminders{
    "consent_set_reminders",
    "insert into intra365.consent_settings (tenant_id, reminders) values ($1, $2::int[])"
    " on conflict (tenant_id) do update set reminders = excluded.reminders"};
constexpr Query consent_remind{"consent_remind",
                               "select intra365.remind_consent($1, $2, $3::timestamptz, $4) as outcome"};
constexpr Query consent_expire{"consent_expire",
                               "select intra365.expire_consent($1, $2, $3::timestamptz) as outcome"};
constexpr Query consent_sweep_expired{"consent_sweep_expired",
                                      "select consent_id from intra365.tell_expired_consents($1)"};
#define RENEWAL_COLUMNS                                                                              \
  "n.consent_id, r.user_id, r.mate_id, r.purposes, r.scopes, n.expires_at, n.asked_at, n.asked_by, " \
  "n.reminded_at, n.renewed_at, n.lapsed_at"
constexpr Query consent_renewals{
    "consent_renewals",
    "select * from (select distinct on (n.consent_id) " RENEWAL_COLUMNS
    " from intra365.consent_renewals n join intra365.consent_records r using (tenant_id, consent_id)"
    " where n.tenant_id = $1 and ($2::text is null or r.user_id = $2) and ($3::text is null or r.mate_id = "
    "$3)"
    " and n.consent_id > $4 order by n.consent_id, n.expires_at desc) l"
    " where $5::bool is null or $5 = (renewed_at is null and lapsed_at is null) order by consent_id limit "
    "$6"};
constexpr Query consent_ask_renewal{"consent_ask_renewal",
                                    "select " RENEWAL_COLUMNS
                                    " from intra365.ask_consent_renewal($1, $2, $3, $4) n"
                                    " join intra365.consent_records r using (tenant_id, consent_id)"};
constexpr Query consent_whose{
    "consent_whose",
    "select user_id, mate_id from intra365.consent_records where tenant_id = $1 and consent_id = $2"};

struct SecondsRow {
  int seconds = 0;
};
BOOST_DESCRIBE_STRUCT(SecondsRow, (), (seconds))

struct Outcome {
  std::string outcome;
};
BOOST_DESCRIBE_STRUCT(Outcome, (), (outcome))

struct Whose {
  wire::SubjectId user_id;
  MateId mate_id;
};
BOOST_DESCRIBE_STRUCT(Whose, (), (user_id, mate_id))

SteadyTime in(std::chrono::steady_clock::duration time) {
  return std::chrono::steady_clock::now() + time;
}

std::string step_of(const Timer& timer) {
  return timer.tenant_id.str() + "." + timer.consent_id.str() + "." + std::to_string(timer.seconds_before);
}

}  // namespace

Renewals::Renewals(platform::Environment& environment)
    : environment_(environment),
      in_use_(kDefaults.begin(), kDefaults.end()),
      wake_(environment.executor, SteadyTime::max()) {}

Task<> Renewals::start() {
  CO_CHECK(co_await make_stream());
  CO_CHECK(environment_.tasks.spawn(keep_taking()));
  CO_CHECK(environment_.tasks.spawn(keep_sweeping()));
  co_return environment_.tasks.spawn(keep_planning());
}

Task<> Renewals::make_stream() {
  nats::StreamConfig stream;
  stream.name = kStream;
  stream.subjects = {"consent.timers.>"};
  stream.description = "Steps around the ends of consents: planned, and due. PostgreSQL is the truth";
  stream.max_age = std::chrono::hours(24);
  stream.max_msgs_per_subject = 1;
  stream.allow_msg_schedules = true;
  stream.allow_msg_ttl = true;
  CO_CHECK(co_await environment_.jetstream.ensure_stream(stream));
  nats::ConsumerConfig consumer;
  consumer.durable_name = kConsumer;
  consumer.filter_subjects = {std::string(kDue) + ">"};
  consumer.ack_wait = std::chrono::seconds(5);
  co_return co_await environment_.jetstream.ensure_consumer(kStream, consumer);
}

void Renewals::changed(const wire::Consent& record) {
  const bool may_hold = record.status == wire::Status::active || record.status == wire::Status::suspended;
  if (!may_hold || !record.expires_at) return;
  const auto left = *record.expires_at - environment_.clock.now();
  const auto soon = [&](int before) {
    const auto to_step = left - std::chrono::seconds(before);
    return to_step > std::chrono::seconds(0) && to_step < kHorizon;
  };
  if (!soon(0) && std::ranges::none_of(in_use_, soon)) return;
  hurried_ = true;
  wake_.cancel();
}

Task<> Renewals::keep_planning() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    hurried_ = false;
    const auto planned = co_await contain(plan());
    if (!planned)
      environment_.telemetry.log.write(platform::LogLevel::warning, "ends of consents are not planned",
                                       {{"code", planned.error().code}, {"detail", planned.error().detail}});
    if (!planned) co_await sleep_for(kRetry);
    if (!hurried_ && planned) {
      wake_.expires_after(kPlanPause);
      boost::system::error_code ignored;
      co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    if (hurried_) co_await sleep_for(kGather);
  }
  co_return Result<void>{};
}

Task<> Renewals::plan() {
  const auto at = environment_.clock.now();
  // Twice over what was planned before: a change that was not told here, or a timer that was lost, is found.
  const auto since = planned_ == Timestamp() ? at - kMakeUp : std::max(at - kMakeUp, planned_ - 2 * kHorizon);
  Timestamp after_due{};
  std::string after_consent;
  const postgres::Scope platform_wide;
  CO_CHECK(co_await learn_reminders());
  while (true) {
    auto parameters = postgres::bind(since, at + kHorizon, kDefaults, after_due, after_consent, kPage);
    CO_TRY(const auto rows, co_await environment_.database.query(platform_wide, consent_timers,
                                                                 std::move(parameters), in(kQueryTime)));
    CO_TRY(const auto timers, rows.as<Timer>());
    for (const auto& timer : timers) CO_CHECK(co_await publish(timer));
    if (timers.size() < static_cast<std::size_t>(kPage)) break;
    after_due = timers.back().due_at;
    after_consent = timers.back().consent_id.str();
  }
  planned_ = at;
  co_return Result<void>{};
}

Task<> Renewals::learn_reminders() {
  const postgres::Scope platform_wide;
  auto at_most = postgres::bind(kMostInUse);
  CO_TRY(const auto rows, co_await environment_.database.query(platform_wide, consent_reminders_known,
                                                               std::move(at_most), in(kQueryTime)));
  CO_TRY(const auto known, rows.as<SecondsRow>());
  in_use_ = std::set<int>(kDefaults.begin(), kDefaults.end());
  for (const auto& row : known) in_use_.insert(row.seconds);
  co_return Result<void>{};
}

Task<> Renewals::publish(const Timer& timer) {
  const auto step = step_of(timer);
  nats::Schedule schedule;
  schedule.when = nats::Schedule::at(timer.due_at);
  schedule.target = std::string(kDue) + step;
  CO_TRY(const auto block, nats::with_schedule({}, schedule));
  const auto subject = std::string(kPlanned) + step;
  const auto payload = json::encode(timer);
  auto stored = co_await environment_.jetstream.publish(subject, payload, block);
  if (!stored) {
    CO_CHECK(co_await make_stream());  // perhaps somebody deleted it
    CO_CHECK(co_await environment_.jetstream.publish(subject, payload, block));
  }
  co_return Result<void>{};
}

Task<> Renewals::keep_taking() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  auto& jetstream = environment_.jetstream;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    auto due = co_await jetstream.fetch(kStream, kConsumer, 100, kFetchWait, nats::FetchUntil::available);
    if (!due) {
      co_await sleep_for(kRetry);
      co_await contain(make_stream());
      continue;
    }
    for (const auto& message : *due) {
      const auto timer = json::decode<Timer>(message.message.payload(), json::Unknown::ignore);
      if (!timer) {
        jetstream.terminate(message, "not a timer");
        continue;
      }
      const auto taken = co_await contain(take(*timer));
      if (!taken)
        jetstream.negative_acknowledge(message, kRetry);
      else if (*taken)
        jetstream.acknowledge(message);
      else
        jetstream.negative_acknowledge(message, kEarly);
    }
  }
  co_return Result<void>{};
}

Task<bool> Renewals::take(Timer timer) {
  const postgres::Scope scope{timer.tenant_id.str()};
  const bool end = timer.seconds_before == 0;
  auto parameters =
      end ? postgres::bind(timer.tenant_id, timer.consent_id, timer.expires_at)
          : postgres::bind(timer.tenant_id, timer.consent_id, timer.expires_at, timer.seconds_before);
  CO_TRY(const auto rows, co_await environment_.database.query(scope, end ? consent_expire : consent_remind,
                                                               std::move(parameters), in(kQueryTime)));
  CO_TRY(const auto outcome, rows.as_optional<Outcome>());
  co_return outcome && outcome->outcome != "early";
}

Task<> Renewals::keep_sweeping() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const postgres::Scope platform_wide;
    auto parameters = postgres::bind(kSweepBatch);
    const auto rows = co_await environment_.database.query(platform_wide, consent_sweep_expired,
                                                           std::move(parameters), in(kQueryTime));
    if (rows && rows->size() > 0)
      environment_.telemetry.log.write(platform::LogLevel::warning, "ends of consents were told late",
                                       {{"count", static_cast<std::int64_t>(rows->size())}});
    if (!rows || rows->size() < static_cast<std::size_t>(kSweepBatch)) co_await sleep_for(kSweepPause);
  }
  co_return Result<void>{};
}

Task<wire::RenewalsReply> Renewals::list(const platform::Caller& caller,
                                         const wire::RenewalsRequest& request) {
  caller.note->user_id = request.user_id;
  const int limit = request.limit.value_or(50);
  if (limit < 1 || limit > 200) co_return fail(intra365::errors::bad_value, "limit: 1 to 200");
  CO_TRY(const auto view, view_of(caller, request.user_id, request.mate_id));
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, view.user_id, view.mate_id, request.cursor.value_or(""),
                                   request.open, limit);
  CO_TRY(const auto rows, co_await environment_.database.query(scope, consent_renewals, std::move(parameters),
                                                               caller.deadline));
  wire::RenewalsReply reply;
  CO_TRY(reply.renewals, rows.as<wire::Renewal>());
  if (reply.renewals.size() == static_cast<std::size_t>(limit))
    reply.next_cursor = reply.renewals.back().consent_id.str();
  co_return reply;
}

Task<wire::Renewal> Renewals::ask(const platform::Caller& caller, const wire::AskRenewalRequest& request) {
  caller.note->consent_id = request.consent_id;
  const postgres::Scope scope{caller.tenant.str()};
  auto which = postgres::bind(caller.tenant, request.consent_id);
  CO_TRY(const auto found,
         co_await environment_.database.query(scope, consent_whose, std::move(which), caller.deadline));
  CO_TRY(const auto whose, found.as_optional<Whose>());
  // Only the Mate that the consent is for may ask for more of it.
  if (!whose || !caller.is_mate(whose->mate_id)) co_return fail(errors::unknown_consent);
  caller.note->user_id = person_of(whose->user_id);
  auto parameters = postgres::bind(caller.tenant, request.consent_id, caller.subject(),
                                   std::string(caller.trace.trace_id()));
  CO_TRY(const auto rows, co_await environment_.database.query(scope, consent_ask_renewal,
                                                               std::move(parameters), caller.deadline));
  CO_TRY(auto asked, rows.as_optional<wire::Renewal>());
  if (!asked) co_return fail(errors::nothing_to_renew);
  co_return *std::move(asked);
}

Task<wire::Reminders> Renewals::reminders(const platform::Caller& caller, const Empty&) {
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, kDefaults);
  CO_TRY(const auto rows, co_await environment_.database.query(scope, consent_reminders_of,
                                                               std::move(parameters), caller.deadline));
  CO_TRY(auto known, rows.as_optional<wire::Reminders>());
  co_return known.value_or(wire::Reminders());
}

Task<wire::Reminders> Renewals::set_reminders(const platform::Caller& caller,
                                              const wire::Reminders& request) {
  auto wanted = request.seconds_before;
  std::ranges::sort(wanted, std::ranges::greater());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted.size() > kMaxReminders ||
      std::ranges::any_of(wanted, [](int before) { return before < 1 || before > kMostBefore; }))
    co_return fail(intra365::errors::bad_value, "secondsBefore: at most 8, each from 1 to 7776000");
  const postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, wanted);
  CO_CHECK(co_await environment_.database.query(scope, consent_set_reminders, std::move(parameters),
                                                caller.deadline));
  in_use_.insert(wanted.begin(), wanted.end());
  hurried_ = true;
  wake_.cancel();
  wire::Reminders reply;
  reply.seconds_before = std::move(wanted);
  co_return reply;
}

}  // namespace intra365::services::consent
