#include "sdk/cpp/enforcement_point.hpp"

#include <charconv>

#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "contract/operations/policy.hpp"
#include "contract/subjects.hpp"

namespace intra365::sdk {
namespace {

constexpr auto kRecordPause = std::chrono::milliseconds(20);
constexpr std::size_t kMaxPerAppend = 500;
constexpr auto kDefaultCallTime = std::chrono::milliseconds(5000);
constexpr auto kMaxCallTime = std::chrono::minutes(5);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

SteadyTime deadline_of(std::string_view left_ms, SteadyTime now) {
  std::int64_t left = 0;
  const auto [end, error] = std::from_chars(left_ms.data(), left_ms.data() + left_ms.size(), left);
  if (error != std::errc{} || left_ms.empty() || left < 0) return now + kDefaultCallTime;
  return now + std::min<std::chrono::milliseconds>(std::chrono::milliseconds(left), kMaxCallTime);
}

CallOptions within(SteadyTime deadline) {
  CallOptions options;
  options.timeout = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now()),
                             std::chrono::milliseconds(1));
  return options;
}

}  // namespace

EnforcementPoint::Claims::Claims(const nats::HeaderView& received) {
  const std::pair<std::string_view, std::string_view*> wanted[] = {{headers::authorization, &authorization},
                                                                   {headers::traceparent, &traceparent},
                                                                   {headers::deadline_ms, &deadline_ms},
                                                                   {headers::user_id, &user_id},
                                                                   {headers::consent_id, &consent_id}};
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
      verifier_(system_clock()),
      tokens_(client.connection(), tasks, system_clock(), verifier_, client.tenant(),
              std::string(subjects::guard_token), [this](auth::SyncRequest request, SteadyTime deadline) {
                return client_.call(auth::sync, request, within(deadline));
              }) {
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
  co_return tasks_.spawn(keep_recording());
}

Result<Call> EnforcementPoint::check(const GuardedAction& action, const nats::MessageView& message) {
  const Claims claims(message.headers);
  const Moment now{std::chrono::steady_clock::now(), system_clock().now()};
  Call call;
  call.trace = TraceContext::parse_or_new(claims.traceparent).child();
  call.deadline = deadline_of(claims.deadline_ms, now.steady);
  // Where decisions cannot be recorded any more, none is made.
  const auto decided = entries_.size() < kMaxEntries
                           ? decide(action, claims, now, call)
                           : fail(errors::rate_limited, "the audit trail is behind");
  ++(decided ? counters_.allowed : counters_.denied);
  record(action, call, now, decided ? nullptr : &decided.error());
  if (!decided) return fail(decided.error());
  return call;
}

Result<void> EnforcementPoint::decide(const GuardedAction& action, const Claims& claims, const Moment& now,
                                      Call& call) {
  if (!tokens_.alive(now.steady) || !policy_replica_->alive(now.steady) ||
      !consent_replica_->alive(now.steady))
    return fail(errors::lease_expired);
  TRY(const auto* identity, verifier_.verify_header(claims.authorization));
  if (identity->tenant != client_.tenant()) return fail(errors::wrong_tenant);
  call.caller = identity->subject();
  if (!claims.user_id.empty()) {
    TRY(call.user_id, UserId::parse(claims.user_id));
  }
  TRY(const bool consented, check_consent(action, claims, now, call));
  if (!policy_allows(action, *identity, call, consented)) return fail(errors::policy_denied);
  return {};
}

Result<bool> EnforcementPoint::check_consent(const GuardedAction& action, const Claims& claims,
                                             const Moment& now, Call& call) {
  if (action.use.scopes.empty() || !action.use.purpose) return false;
  if (!call.user_id) return fail(errors::user_required);
  auto decision = consents_.decide(*call.user_id, self_, action.use.scopes, *action.use.purpose, now.system);
  if (!decision.allowed()) return fail(guard::error_of(decision.code));
  call.consent_id = consents_.id(decision.record);
  // The id in the header proves nothing; one that names another consent is an attempt to pass it off.
  if (const auto named = claims.consent_id; !named.empty() && named != call.consent_id->str()) {
    const auto id = ConsentId::parse(named);
    if (id)
      decision =
          consents_.decide(*id, *call.user_id, self_, action.use.scopes, *action.use.purpose, now.system);
    if (!id || !decision.allowed()) {
      call.consent_id.reset();
      return fail(errors::consent_mismatch);
    }
    call.consent_id = *id;
  }
  return true;
}

bool EnforcementPoint::policy_allows(const GuardedAction& action, const guard::Identity& caller,
                                     const Call& call, bool has_consent) {
  // One policy set gives one answer to one question: what was decided once is remembered until the set
  // changes.
  question_.assign(caller.token_id)
      .append("|")
      .append(action.resource)
      .append(has_consent ? "|consent" : "|");
  if (const auto known = policy_answers_.find(question_); known != policy_answers_.end())
    return known->second;

  boost::json::array held;
  for (const auto& role : caller.roles) held.emplace_back(role);
  boost::json::object attributes{
      {"context", boost::json::object()},
      {"subject", {{"type", to_string(caller.kind)}, {"id", caller.id}, {"roles", held}}}};
  attributes[to_string(caller.kind)] = attributes["subject"];
  attributes["resource"] = {{"type", "mate"}, {"id", self_.str()}};
  boost::json::object consented{{"granted", has_consent}};
  if (action.use.purpose && has_consent) consented["purpose"] = action.use.purpose->str();
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
  co_return Result<void>{};
}

Task<> EnforcementPoint::sync_consents(SteadyTime deadline) {
  mate_epochs_.sync_begins();
  const auto reached = co_await contain(load_consents(deadline));
  // What was pushed meanwhile is in the index; where something before it is missing, the copy is closed.
  if (!mate_epochs_.sync_ended(reached ? *reached : mate_epochs_.at())) consent_replica_->fall_behind();
  if (!reached) co_return fail(reached.error());
  consents_.prune(system_clock().now() - std::chrono::hours(24));
  co_return Result<void>{};
}

Task<std::uint64_t> EnforcementPoint::load_consents(SteadyTime deadline) {
  auto reached = mate_epochs_.at();
  for (bool more = true; more;) {
    consent::SyncRequest request;
    request.mate_id = self_;
    request.mate_epoch = reached;
    CO_TRY(const auto reply, co_await client_.call(consent::sync, request, within(deadline)));
    more = reply.more;
    // Within a page the epoch moves with the records; with the last one it is what the platform says.
    for (const auto& record : reply.consents) {
      reached = std::max(reached, record.mate_epoch);
      consents_.apply(record);
    }
    if (!more) reached = std::max(reached, reply.mate_epoch);
  }
  co_return reached;
}

replica::Push EnforcementPoint::on_consent(const nats::MessageView& message) {
  const auto record = json::decode<consent::Consent>(message.payload, json::Unknown::ignore);
  if (!record) return replica::Push::gap;
  // A record replaces only an older one of itself, so it may be applied before those it overtook.
  if (record->mate_id == self_) consents_.apply(*record);
  return mate_epochs_.pushed(record->mate_epoch);
}

void EnforcementPoint::record(const GuardedAction& action, const Call& call, const Moment& now,
                              const Error* error) {
  // Alike decisions of one moment become one entry with a count: at full speed a Mate decides far more often
  // than anybody could read. The trace kept is the first one's.
  likeness_.assign(call.caller).append("|").append(action.resource).append("|");
  if (error != nullptr) likeness_.append(error->code);
  if (call.user_id) likeness_.append("|").append(call.user_id->str());
  if (call.consent_id) likeness_.append("|").append(call.consent_id->str());
  const auto [known, is_new] = alike_.try_emplace(likeness_, entries_.size());
  if (!is_new) {
    ++entries_[known->second].count;
    return;
  }
  audit::Entry entry;
  entry.entry_id = new_uuid();
  entry.at = now.system;
  entry.actor = call.caller.empty() ? "guest" : call.caller;
  entry.action = "call";
  entry.resource = action.resource;
  entry.outcome = error == nullptr ? "allowed" : "denied";
  if (error != nullptr) entry.code = error->code;
  entry.user_id = call.user_id;
  entry.consent_id = call.consent_id;
  entry.purpose = action.use.purpose;
  entry.scopes = action.use.scopes;
  entry.trace_id = std::string(call.trace.trace_id());
  entries_.push_back(std::move(entry));
}

Task<> EnforcementPoint::keep_recording() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    co_await sleep_for(kRecordPause);
    co_await send_entries(now() + std::chrono::seconds(5));
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
  while (!entries_.empty()) {
    alike_.clear();  // what is under way must not grow any more
    audit::AppendRequest request;
    const auto count = std::min(entries_.size(), kMaxPerAppend);
    request.entries.assign(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(count));
    CO_CHECK(co_await client_.call(audit::append, std::move(request), within(deadline)));
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(count));
    alike_.clear();  // positions have moved
  }
  co_return Result<void>{};
}

Task<> EnforcementPoint::flush(SteadyTime deadline) {
  while (!entries_.empty()) {
    if (now() >= deadline) co_return fail(errors::deadline, "audit entries are not recorded yet");
    co_await send_entries(deadline);
    if (!entries_.empty()) co_await sleep_for(std::chrono::milliseconds(5));
  }
  co_return Result<void>{};
}

}  // namespace intra365::sdk
