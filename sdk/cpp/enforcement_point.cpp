#include "sdk/cpp/enforcement_point.hpp"

#include <charconv>

#include "consent/opt_out.hpp"
#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/operations/policy.hpp"
#include "contract/subjects.hpp"
#include "sdk/cpp/errors.hpp"

namespace intra365::sdk {
namespace {

constexpr auto kRecordPause = std::chrono::milliseconds(20);
constexpr auto kRetryPause = std::chrono::milliseconds(250);
constexpr auto kDefaultCallTime = std::chrono::milliseconds(5000);
constexpr std::size_t kInstanceChars = 12;
/// Of everything that a Mate has ever been told, in one round of syncs: the lease must not wait for it all.
constexpr int kSecondPages = 4;
constexpr auto kSecondTime = std::chrono::milliseconds(200);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

SteadyTime deadline_of(std::string_view left_ms, SteadyTime now) {
  std::int64_t left = 0;
  const auto [end, error] = std::from_chars(left_ms.data(), left_ms.data() + left_ms.size(), left);
  if (error != std::errc{} || left_ms.empty() || left < 0) return now + kDefaultCallTime;
  return now +
         std::min<std::chrono::milliseconds>(std::chrono::milliseconds(left), EnforcementPoint::kMaxCallTime);
}

CallOptions within(SteadyTime deadline) {
  CallOptions options;
  options.timeout = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now()),
                             std::chrono::milliseconds(1));
  return options;
}

}  // namespace

EnforcementPoint::Claims::Claims(const nats::HeaderView& received) {
  const std::pair<std::string_view, std::string_view*> wanted[] = {
      {headers::authorization, &authorization}, {headers::traceparent, &traceparent},
      {headers::deadline_ms, &deadline_ms},     {headers::user_id, &user_id},
      {headers::consent_id, &consent_id},       {headers::opt_out, &opt_out}};
  std::string_view rest = received.block(), name, value;
  while (nats::HeaderView::next(rest, name, value)) {
    for (const auto& [known, into] : wanted) {
      // The first of several counts, everywhere alike.
      if (into->data() == nullptr && nats::same_header_name(name, known)) *into = value;
    }
  }
}

EnforcementPoint::EnforcementPoint(Client& client, TaskGroup& tasks)
    : client_(client),
      tasks_(tasks),
      self_(MateId::trusted(client.id())),
      instance_(random_token(kInstanceChars)),
      verifier_(system_clock()),
      consents_(self_),
      tokens_(client.connection(), tasks, system_clock(), verifier_, client.tenant(),
              std::string(subjects::guard_token),
              [this](auth::SyncRequest request, SteadyTime deadline) {
                return client_.call(auth::sync, request, within(deadline));
              }),
      looking_(client.connection().executor(), SteadyTime::max()) {
  policy_replica_.emplace(
      client.connection(), tasks,
      replica::Replica::Source{"policies", std::string(subjects::guard_policy),
                               [this](SteadyTime deadline) { return sync_policies(deadline); },
                               [](const nats::MessageView&) { return replica::Push::gap; }});
  consent_replica_.emplace(
      client.connection(), tasks,
      replica::Replica::Source{"consents", subjects::guard_consent(self_),
                               [this](SteadyTime deadline) { return sync_consents(deadline); },
                               [this](const nats::MessageView& message) { return on_consent(message); }});
}

Task<> EnforcementPoint::start(SteadyTime deadline) {
  CO_CHECK(co_await tokens_.start(deadline));
  CO_CHECK(co_await policy_replica_->start(deadline));
  CO_CHECK(co_await consent_replica_->start(deadline));
  CO_CHECK(tasks_.spawn(keep_looking()));
  co_return tasks_.spawn(keep_recording());
}

bool EnforcementPoint::is_certain(BootTime now) const {
  return tokens_.alive(now) && policy_replica_->alive(now) && consent_replica_->alive(now);
}

asio::awaitable<void> EnforcementPoint::until_certain(const nats::MessageView& message) {
  const auto begun = now();
  const auto deadline =
      std::min(begun + replica::kPatience, deadline_of(Claims(message.headers).deadline_ms, begun));
  co_await tokens_.until_alive(deadline);
  for (auto* copy : {&*policy_replica_, &*consent_replica_}) {
    if (!copy->alive(BootClock::now())) co_await copy->until_alive(deadline);
  }
}

Result<Call> EnforcementPoint::check(const GuardedAction& action, const nats::MessageView& message) {
  const Claims claims(message.headers);
  const Moment now{std::chrono::steady_clock::now(), BootClock::now(), system_clock().now()};
  Call call;
  call.trace = TraceContext::parse_or_new(claims.traceparent).child();
  call.deadline = deadline_of(claims.deadline_ms, now.steady);
  // Where decisions cannot be recorded any more, none is made.
  const auto decided = queue_.has_room() ? decide(action, claims, now, call)
                                         : fail(errors::rate_limited, "the audit trail is behind");
  ++(decided ? counters_.allowed : counters_.denied);
  record(action, call, now, decided ? nullptr : &decided.error());
  if (!decided) return fail(decided.error());
  return call;
}

Result<void> EnforcementPoint::decide(const GuardedAction& action, const Claims& claims, const Moment& now,
                                      Call& call) {
  if (!is_certain(now.boot)) return fail(errors::lease_expired);
  TRY(const auto* identity, verifier_.verify_header(claims.authorization));
  if (identity->tenant != client_.tenant()) return fail(errors::wrong_tenant);
  call.caller = identity->subject();
  if (!claims.user_id.empty()) {
    TRY(call.user_id, UserId::parse(claims.user_id));
  }
  CHECK(check_consent(action, claims, now, call));
  if (!policy_allows(action, *identity, call)) return fail(errors::policy_denied);
  return {};
}

Result<void> EnforcementPoint::check_consent(const GuardedAction& action, const Claims& claims,
                                             const Moment& now, Call& call) {
  if (action.use.scopes.empty() && !action.use.purpose) return {};
  if (!action.use.is_whole()) return fail(errors::incomplete_use);
  if (!call.user_id) return fail(errors::user_required);
  if (consent::opts_out(claims.opt_out, *action.use.purpose)) return fail(errors::opted_out);
  const auto& user = call.user_id->str();
  const auto& purpose = action.use.purpose->str();
  const auto time = consents_.time({now.system, now.boot});
  auto answer = consents_.index().decide(user, self_.str(), action.use.scopes, purpose, time);
  if (!answer.allowed()) return fail(guard::error_of(answer.code));
  auto consent = consents_.index().consent_id(answer.record);
  // The id in the header proves nothing; one that names another consent is an attempt to pass it off.
  if (const auto named = claims.consent_id; !named.empty() && named != consent.str()) {
    answer = consents_.index().decide_by(named, user, self_.str(), action.use.scopes, purpose, time);
    if (!answer.allowed()) return fail(errors::consent_mismatch);
    consent = consents_.index().consent_id(answer.record);
  }
  call.consent_id = std::move(consent);
  return {};
}

bool EnforcementPoint::policy_allows(const GuardedAction& action, const guard::Identity& caller,
                                     const Call& call) {
  // One policy set gives one answer to one question: what was decided once is remembered until the set
  // changes.
  question_.assign(caller.token_id)
      .append("|")
      .append(action.resource)
      .append(call.consent_id ? "|consent" : "|");
  if (const auto known = policy_answers_.find(question_); known != policy_answers_.end())
    return known->second;

  boost::json::array held;
  for (const auto& role : caller.roles) held.emplace_back(role);
  boost::json::object attributes{
      {"context", boost::json::object()},
      {"subject", {{"type", to_string(caller.kind)}, {"id", caller.id}, {"roles", held}}}};
  attributes[to_string(caller.kind)] = attributes["subject"];
  attributes["resource"] = {{"type", "mate"}, {"id", self_.str()}};
  boost::json::object consented{{"granted", call.consent_id.has_value()}};
  if (action.use.purpose && call.consent_id) consented["purpose"] = action.use.purpose->str();
  attributes["consent"] = std::move(consented);
  const auto answer = policies_->answer({call.caller, "call", action.resource, &attributes}, scratch_);
  // Nobody here can do what an obligation asks for, and an allow whose obligations are not done is none.
  const bool allowed = answer.allowed() && answer.obligations.empty();
  if (policy_answers_.size() >= 10'000) policy_answers_.clear();
  policy_answers_.emplace(question_, allowed);
  return allowed;
}

Task<> EnforcementPoint::sync_policies(SteadyTime deadline) {
  policy::SyncRequest request;
  request.policy_epoch = policy_epoch_;
  CO_TRY(const auto reply, co_await client_.call(policy::sync, request, within(deadline)));
  if (!reply.changed && policies_) co_return Result<void>{};
  CO_TRY(policies_, policy::Snapshot::compile(reply.policies));
  policy_answers_.clear();
  policy_epoch_ = reply.policy_epoch;
  look();
  co_return Result<void>{};
}

Task<> EnforcementPoint::sync_consents(SteadyTime deadline) {
  bool taken_back = false;
  for (bool more = true; more;) {
    auto question = consents_.question();
    question.instance = instance_;
    const auto since = question.mate_epoch;
    CO_TRY(const auto reply, co_await client_.call(consent::sync, std::move(question), within(deadline)));
    const auto answered = consents_.on_answer(since, reply, system_clock().instant());
    if (answered == guard::ConsentCopy::Answered::anew) consent_replica_->begin_anew();
    more = answered != guard::ConsentCopy::Answered::all;
    for (const auto& record : reply.consents) taken_back = taken_back || !record.granted;
  }
  const bool behind = co_await fetch_everything(std::min(deadline, now() + kSecondTime));
  if (consents_.prune(system_clock().instant()) == guard::ConsentCopy::Pruned::emptied)
    consent_replica_->begin_anew();
  look();
  if (taken_back || behind) consent_replica_->hurry();
  co_return Result<void>{};
}

asio::awaitable<bool> EnforcementPoint::fetch_everything(SteadyTime deadline) {
  bool more = true;
  for (int page = 0; page < kSecondPages && more; ++page) {
    auto question = consents_.second_question();
    if (!question) co_return false;
    const auto since = question->mate_epoch;
    const auto reply = co_await contain(client_.call(consent::sync, *std::move(question), within(deadline)));
    if (!reply) co_return false;  // the next round asks again; until then groups allow nothing here
    more = consents_.on_second_answer(since, *reply, system_clock().instant());
  }
  co_return more;
}

replica::Push EnforcementPoint::on_consent(const nats::MessageView& message) {
  const auto record = json::decode<consent::Consent>(message.payload, json::Unknown::ignore);
  if (!record) return replica::Push::gap;
  const auto push = consents_.on_push(*record, system_clock().instant());
  look();
  // Who has taken something back wants to know that it is done; so do those whose household somebody leaves.
  if (push == replica::Push::applied && (!record->granted || guard::is_of_group(*record)))
    consent_replica_->hurry();
  return push;
}

audit::Entry EnforcementPoint::entry_of(const GuardedAction& action, const Call& call, Timestamp at) {
  audit::Entry entry;
  entry.entry_id = new_uuid();
  entry.at = at;
  entry.actor = call.caller.empty() ? "guest" : call.caller;
  entry.resource = action.resource;
  entry.user_id = call.user_id;
  entry.consent_id = call.consent_id;
  entry.purpose = action.use.purpose;
  entry.scopes = action.use.scopes;
  entry.trace_id = std::string(call.trace.trace_id());
  return entry;
}

void EnforcementPoint::record(const GuardedAction& action, const Call& call, const Moment& now,
                              const Error* error) {
  likeness_.assign(call.caller).append("|").append(action.resource).append("|");
  if (error != nullptr) likeness_.append(error->code);
  if (call.user_id) likeness_.append("|").append(call.user_id->str());
  if (call.consent_id) likeness_.append("|").append(call.consent_id->str());
  queue_.record(likeness_, [&] {
    auto entry = entry_of(action, call, now.system);
    entry.action = "call";
    entry.outcome = error == nullptr ? "allowed" : "denied";
    if (error != nullptr) entry.code = error->code;
    return entry;
  });
}

Task<> EnforcementPoint::keep_recording() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    co_await sleep_for(kRecordPause);
    const auto sent = co_await send_entries(now() + std::chrono::seconds(5));
    if (!sent) co_await sleep_for(kRetryPause);
  }
  co_return Result<void>{};
}

Task<> EnforcementPoint::send_entries(SteadyTime deadline) {
  if (sending_) co_return Result<void>{};  // the other one takes ours along
  sending_ = true;
  const auto done = co_await send_all(deadline);
  sending_ = false;
  co_return done;
}

Task<> EnforcementPoint::send_all(SteadyTime deadline) {
  while (!queue_.batch().empty()) {
    audit::AppendRequest request{queue_.batch()};
    CO_CHECK(co_await client_.call(audit::append, std::move(request), within(deadline)));
    queue_.sent();
  }
  co_return Result<void>{};
}

Task<> EnforcementPoint::flush(SteadyTime deadline) {
  while (!queue_.empty()) {
    if (now() >= deadline) co_return fail(errors::deadline, "audit entries are not recorded yet");
    co_await send_entries(deadline);
    if (!queue_.empty()) co_await sleep_for(std::chrono::milliseconds(5));
  }
  co_return Result<void>{};
}

}  // namespace intra365::sdk
