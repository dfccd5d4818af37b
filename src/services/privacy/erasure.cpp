#include "services/privacy/erasure.hpp"

#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "contract/operations/consent_upkeep.hpp"
#include "crypto/encoding.hpp"
#include "nats/jetstream_ordered.hpp"
#include "nats/key_value.hpp"

namespace intra365::services::privacy {
namespace {

constexpr auto kPause = std::chrono::milliseconds(500);
constexpr auto kStepTime = std::chrono::seconds(30);
constexpr auto kTurnTime = std::chrono::seconds(30);  ///< then others get theirs
constexpr auto kReportPause = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::seconds(5);
constexpr auto kNextPass = std::chrono::seconds(1);
/// What was on its way when the erasure began has arrived after this: audit entries that Mates gather,
/// changes that capture has yet to read. An erasure ends with the first pass after it that finds nothing.
constexpr auto kSettleTime = std::chrono::seconds(5);
constexpr int kMostRevocations =
    5;  ///< in one turn: somebody who goes on consenting is still let in somewhere
constexpr std::size_t kMessagesAtOnce = 5000, kDeletedAtOnce = 500;
/// A change that was set aside and whose parts lie further apart is never told to its end.
constexpr std::uint64_t kFarthestPart = 1000;

SteadyTime in(std::chrono::nanoseconds time) {
  return std::chrono::steady_clock::now() + time;
}

std::string context_of(const TenantId& tenant, const std::string& request_id) {
  return "privacy_requests/" + tenant.str() + "/" + request_id;
}

bool is_over(SteadyTime time) {
  return std::chrono::steady_clock::now() >= time;
}

}  // namespace

Result<UserId> Erasure::user_of(const TenantId& tenant, const std::string& request_id,
                                const postgres::Bytes& sealed) const {
  TRY(const auto name, attestor_.envelope().open(sealed.value, context_of(tenant, request_id)));
  return UserId::parse(name);
}

Task<Progress> Erasure::begin(TenantId tenant, UserId user, std::optional<UserId> again, Timestamp due_at,
                              SteadyTime deadline) {
  CO_TRY(const auto working, co_await store_.working(tenant, deadline));
  for (const auto& one : working) {
    CO_TRY(const auto known, user_of(tenant, one.request_id, one.sealed_user));
    if (known != user) continue;
    CO_TRY(auto progress, co_await store_.progress(tenant, one.request_id, deadline));
    if (progress) co_return *std::move(progress);
  }
  Progress progress;
  progress.request_id = new_uuid();
  progress.pseudonym = again ? *again : UserId::trusted("erased-" + crypto::hex(random_bytes(16)));
  const postgres::Bytes sealed{
      attestor_.envelope().seal(user.str(), context_of(tenant, progress.request_id))};
  CO_TRY(const auto begun, co_await store_.begin_erasure(tenant, progress.request_id, user, sealed,
                                                         progress.pseudonym, due_at, deadline));
  if (!begun) co_return fail(errors::held);
  co_return progress;
}

Task<> Erasure::run() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    auto claimed = co_await store_.claim(in(std::chrono::seconds(5)));
    if (!claimed || !*claimed) {
      co_await sleep_for(kPause);
      continue;
    }
    const auto request_id = (*claimed)->request_id;
    const auto taken = co_await contain(take_turn(**std::move(claimed)));
    if (!taken)
      environment_.telemetry.log.write(platform::LogLevel::warning, "an erasure waits for its next attempt",
                                       {{"requestId", request_id}, {"code", taken.error().code}});
  }
  co_return Result<void>{};
}

Task<> Erasure::take_turn(Claimed erasure) {
  Turn turn;
  turn.until = in(kTurnTime);
  turn.reported = std::chrono::steady_clock::now();
  turn.person.tenant = erasure.tenant_id;
  if (erasure.progress) {
    CO_TRY(turn.report.walk, json::from_value<Walk>(*erasure.progress));
  }
  turn.erasure = std::move(erasure);
  const auto ended = co_await contain(sweep(turn));
  auto& report = turn.report;
  report.next = kRetry;
  report.held = ended && *ended == Ended::held;
  if (ended && *ended == Ended::lost) co_return Result<void>{};
  if (ended && *ended == Ended::turn_over) report.next = std::chrono::milliseconds(0);
  if (ended && *ended == Ended::pass) {
    const auto settled_at = turn.erasure.received_at + kSettleTime;
    report.done = report.walk.found == 0 && *report.walk.began > settled_at;
    const auto settles_in =
        std::chrono::ceil<std::chrono::milliseconds>(settled_at - environment_.clock.now());
    report.next =
        report.walk.found == 0 ? std::max<std::chrono::milliseconds>(settles_in, kNextPass) : kNextPass;
    Walk next;
    next.streams = std::move(report.walk.streams);
    report.walk = std::move(next);
  }
  CO_CHECK(co_await store_.report(turn.erasure, report, in(std::chrono::seconds(5))));
  if (!ended) co_return fail(ended.error());
  co_return Result<void>{};
}

Task<Erasure::Ended> Erasure::sweep(Turn& turn) {
  const auto& erasure = turn.erasure;
  CO_TRY(turn.person.user, user_of(erasure.tenant_id, erasure.request_id, erasure.sealed_user));
  CO_TRY(turn.person.account, co_await environment_.tenants.account_of(erasure.tenant_id, in(kStepTime)));
  CO_TRY(const auto held, co_await store_.is_held(erasure.tenant_id, turn.person.user, in(kStepTime)));
  if (held) co_return Ended::held;
  auto& walk = turn.report.walk;
  if (!walk.began) {
    walk.began = environment_.clock.now();
    CO_CHECK(co_await shut_out(turn));
  }
  if (!walk.tables_done) {
    CO_TRY(const auto ended, co_await sweep_tables(turn));
    if (ended) co_return *ended;
  }
  CO_TRY(const auto ended, co_await sweep_streams(turn));
  co_return ended.value_or(Ended::pass);
}

Task<> Erasure::shut_out(const Turn& turn) {
  const auto& tenant = turn.erasure.tenant_id;
  const auto deadline = in(kStepTime);
  const TraceContext trace = TraceContext::create();
  auth::LockOutRequest lock_out;
  lock_out.user_id = turn.person.user;
  CO_CHECK(co_await services_.call(auth::lock_out, tenant, std::move(lock_out), trace, deadline));
  // Only where there is something to take back: the trail's entry of it names the person.
  CO_TRY(const auto standing, co_await store_.has_standing(tenant, turn.person.user, deadline));
  if (!standing) co_return Result<void>{};
  consent::RevokeRequest revoke;
  revoke.user_id = turn.person.user;
  CO_CHECK(co_await services_.call(consent::revoke, tenant, std::move(revoke), trace, deadline));
  co_return Result<void>{};
}

Task<std::optional<Erasure::Ended>> Erasure::sweep_tables(Turn& turn) {
  auto& walk = turn.report.walk;
  CO_TRY(const auto tables, co_await store_.erasure_tables(in(kStepTime)));
  auto at = std::ranges::find(tables, walk.table);
  if (at == tables.end()) {
    at = tables.begin();
    walk.key.reset();
  }
  int revocations = 0;
  for (; at != tables.end(); ++at, walk.key.reset()) {
    walk.table = *at;
    auto outcome = StepOutcome::more;
    while (outcome != StepOutcome::done) {
      CO_TRY(auto step,
             co_await store_.erase_rows(turn.erasure, turn.person.user, walk.table, walk.key, in(kStepTime)));
      outcome = step.outcome;
      if (outcome == StepOutcome::held) co_return std::optional(Ended::held);
      if (outcome == StepOutcome::standing) {
        ++walk.found;
        if (++revocations > kMostRevocations) co_return std::optional(Ended::turn_over);
        CO_CHECK(co_await shut_out(turn));
        continue;
      }
      walk.found += step.touched;
      turn.report.rows += step.touched;
      walk.key = std::move(step.reached);
      if (outcome == StepOutcome::done && walk.table == "consent_records")
        CO_CHECK(co_await cache_anew(turn));
      CO_TRY(const auto ended, co_await go_on(turn));
      if (ended) co_return ended;
    }
  }
  walk.tables_done = true;
  co_return std::optional<Ended>();
}

Task<> Erasure::cache_anew(const Turn& turn) {
  consent::CacheRequest request;
  request.user_id = turn.erasure.pseudonym;
  CO_CHECK(co_await services_.call(consent::cache, turn.erasure.tenant_id, std::move(request),
                                   TraceContext::create(), in(kStepTime)));
  co_return Result<void>{};
}

Task<std::optional<Erasure::Ended>> Erasure::sweep_streams(Turn& turn) {
  auto& read = turn.report.walk.streams;
  CO_TRY(const auto streams, co_await environment_.jetstream.streams());
  std::map<std::string, Walk::Read> still;
  for (const auto& stream : streams) {
    auto& one = still[stream.config.name];
    one = read[stream.config.name];
    if (one.created != stream.state.created) one = {stream.state.created, 0};
  }
  read = std::move(still);
  for (const auto& stream : streams) {
    if (stream.state.last_seq <= read[stream.config.name].sequence) continue;
    CO_TRY(const auto ended, co_await sweep_stream(turn, stream.config.name));
    if (ended) co_return ended;
  }
  co_return std::optional<Ended>();
}

Task<std::optional<Erasure::Ended>> Erasure::sweep_stream(Turn& turn, std::string stream) {
  auto& walk = turn.report.walk;
  for (bool more = true; more;) {
    CO_TRY(const auto held, co_await store_.is_held(turn.person.tenant, turn.person.user, in(kStepTime)));
    if (held) co_return std::optional(Ended::held);
    CO_TRY(const auto findings, co_await judge(turn.person, stream, walk.streams[stream].sequence + 1));
    CO_CHECK(co_await remove(stream, findings));
    const auto removed = static_cast<std::int64_t>(findings.sequences.size() + findings.keys.size());
    turn.report.messages += removed;
    walk.found += removed + (findings.waiting ? 1 : 0);
    walk.streams[stream].sequence = findings.judged;
    more = !findings.caught_up;
    CO_TRY(const auto ended, co_await go_on(turn));
    if (ended) co_return ended;
  }
  co_return std::optional<Ended>();
}

Task<Erasure::Findings> Erasure::judge(const Person& person, std::string stream, std::uint64_t from) {
  CO_TRY(const auto up_to, co_await deletable(stream));
  nats::OrderedOptions options;
  options.deliver_policy = "by_start_sequence";
  options.opt_start_seq = from;
  nats::OrderedConsumer reader(environment_.jetstream, stream, std::move(options));
  const auto bucket = stream.starts_with("KV_") ? stream.substr(3) : std::string();
  const auto keys_begin = std::string("$KV.").size() + bucket.size() + 1;
  Findings findings;
  findings.judged = from - 1;
  AsideParts parts;
  std::optional<std::uint64_t> first_waiting;
  for (std::size_t read = 0; read < kMessagesAtOnce && findings.sequences.size() < kDeletedAtOnce; ++read) {
    CO_TRY(const auto next, co_await reader.next(in(std::chrono::seconds(10))));
    findings.caught_up = !next;
    if (!next) break;
    const auto message = next->message.view();
    const auto sequence = findings.judged = next->stream_sequence;
    const auto change = std::string(message.headers.get("Intra365-Change"));
    const auto* whole =
        change.empty() ? nullptr
                       : parts.add(change, message.headers.get("Intra365-Part"), sequence, message.payload);
    if (whole != nullptr) {
      if (!whole->complete) continue;
      if (names(person, message.subject, whole->text))
        findings.sequences.insert(findings.sequences.end(), whole->sequences.begin(), whole->sequences.end());
      parts.forget(change);
    } else if (names(person, message.subject, message.payload)) {
      if (!bucket.empty())
        findings.keys.insert(std::string(message.subject.substr(keys_begin)));
      else if (sequence > up_to)
        first_waiting = std::min(first_waiting.value_or(sequence), sequence);
      else
        findings.sequences.push_back(sequence);
    }
  }
  reader.stop();
  for (const auto& [change, whole] : parts.open()) {
    const bool is_lost = whole.sequences.front() + kFarthestPart < findings.judged;
    if ((is_lost || findings.caught_up) && names_fragment(person, whole.text))
      findings.sequences.insert(findings.sequences.end(), whole.sequences.begin(), whole.sequences.end());
    else if (!is_lost)
      findings.judged = std::min(findings.judged, whole.sequences.front() - 1);
  }
  findings.waiting = first_waiting.has_value();
  if (first_waiting) findings.judged = std::min(findings.judged, *first_waiting - 1);
  findings.caught_up = findings.caught_up || findings.waiting;
  co_return findings;
}

Task<> Erasure::remove(std::string stream, const Findings& findings) {
  for (const auto sequence : findings.sequences)
    CO_CHECK(co_await environment_.jetstream.delete_message(stream, sequence, nats::Erase::yes));
  // Buckets refuse to lose single messages: their keys are purged, with a marker for those who watch.
  if (findings.keys.empty()) co_return Result<void>{};
  nats::KeyValue values(environment_.jetstream, stream.substr(3));
  for (const auto& key : findings.keys) CO_CHECK(co_await values.purge(key));
  co_return Result<void>{};
}

Task<std::uint64_t> Erasure::deletable(std::string_view stream) {
  auto up_to = std::numeric_limits<std::uint64_t>::max();
  if (stream != platform::audit_stream) co_return up_to;
  CO_TRY(const auto consumers, co_await environment_.jetstream.consumers(stream));
  if (consumers.empty()) co_return std::uint64_t{0};  // nobody has carried anything to PostgreSQL
  for (const auto& consumer : consumers) up_to = std::min(up_to, consumer.ack_floor.stream_seq);
  co_return up_to;
}

Task<std::optional<Erasure::Ended>> Erasure::go_on(Turn& turn) {
  if (is_over(turn.until)) co_return std::optional(Ended::turn_over);
  if (!is_over(turn.reported + kReportPause)) co_return std::optional<Ended>();
  turn.report.next.reset();
  CO_TRY(const bool ours, co_await store_.report(turn.erasure, turn.report, in(kStepTime)));
  if (!ours) co_return std::optional(Ended::lost);
  turn.reported = std::chrono::steady_clock::now();
  turn.report.rows = turn.report.messages = 0;
  co_return std::optional<Ended>();
}

}  // namespace intra365::services::privacy
