// How an enforcement point watches uses that go on: at every change it hears of, at the moment their consent
// expires, and often enough to see a lease end.
#include "sdk/cpp/use.hpp"

#include <algorithm>
#include <map>

#include "contract/errors.hpp"
#include "contract/headers.hpp"
#include "sdk/cpp/enforcement_point.hpp"

namespace intra365::sdk {
namespace {

/// How late at most a handler hears of an end that nobody pushes: a lease that ran out, a token that was
/// revoked. It is only about stopping work; nothing is sent any more from the first moment.
constexpr auto kLook = std::chrono::milliseconds(50);
constexpr auto kUnsurePause = std::chrono::milliseconds(5);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

struct Use::State : std::enable_shared_from_this<Use::State> {
  State(EnforcementPoint& guard, const GuardedAction& action, const Call& call, const guard::Identity& caller)
      : guard(guard), watched(guard.watched_), action(action), call(call), caller(caller), began_at(now()) {
    if (call.consent_id)
      consented = {*call.consent_id, *call.user_id, guard.self_, action.use.scopes, *action.use.purpose};
  }
  ~State() { watched->erase(this); }

  /// Asks again. True: permitted; false: nobody knows just now.
  Result<bool> look() {
    if (running.ended()) return fail(*running.ended());
    const auto sure = running.hear(guard.recheck(*this), BootClock::now());
    if (sure) return sure;
    const auto self = shared_from_this();  // whoever is told may let go of this
    ++guard.counters_.cut;
    watched->erase(this);
    while (!listeners.empty()) {  // they may also take each other away
      const auto next = listeners.extract(listeners.begin());
      next.mapped()(sure.error());
    }
    return sure;
  }

  EnforcementPoint& guard;
  std::shared_ptr<std::unordered_set<State*>> watched;
  GuardedAction action;
  Call call;
  guard::Identity caller;
  std::optional<guard::ConsentedUse> consented;
  SteadyTime began_at;
  SteadyTime ends_at = SteadyTime::max();  ///< when the consent expires
  guard::RunningUse running;
  std::map<std::uint64_t, std::function<void(const Error&)>> listeners;  ///< in the order they came
  std::uint64_t last_listener = 0;
};

Task<> Use::permitted() {
  const auto state = state_;
  while (true) {
    CO_TRY(const bool sure, state->look());
    if (sure) co_return Result<void>{};
    co_await sleep_for(kUnsurePause);
  }
}

Use::Listener Use::on_end(std::function<void(const Error&)> tell) {
  auto& state = *state_;
  if (const auto sure = state.look(); !sure) {
    tell(sure.error());
    return {};
  }
  const auto number = ++state.last_listener;
  state.listeners.emplace(number, std::move(tell));
  state.watched->insert(&state);
  state.guard.look_by(std::min(now() + kLook, state.ends_at));
  return {state_, number};
}

Use::Listener::~Listener() {
  const auto state = state_.lock();
  if (!state) return;
  state->listeners.erase(number_);
  if (state->listeners.empty()) state->watched->erase(state.get());
}

Result<std::shared_ptr<Use>> EnforcementPoint::begin(const GuardedAction& action, const Call& call,
                                                     const nats::MessageView& message) {
  // It has just been verified, so this only finds it again; it may have grown old in between.
  TRY(const auto* identity, verifier_.verify_header(message.headers.get(headers::authorization)));
  return std::make_shared<Use>(std::make_shared<Use::State>(*this, action, call, *identity));
}

void EnforcementPoint::end(const Use& use, std::uint64_t parts, const Result<void>& how) {
  const auto& state = *use.state_;
  auto entry = entry_of(state.action, state.call, system_clock().now());
  entry.action = "data.access";
  entry.count = std::max<std::uint64_t>(parts, 1);
  entry.outcome = how ? "allowed" : state.running.ended() ? "denied" : "failed";
  if (!how) entry.code = how.error().code;
  entry.duration_us = std::chrono::duration_cast<std::chrono::microseconds>(now() - state.began_at).count();
  queue_.record_end(std::move(entry));
}

Result<bool> EnforcementPoint::recheck(Use::State& use) {
  const auto at = system_clock().instant();
  bool certain = is_certain(at.boot);
  // What is known to be over is over, however old the news.
  if (verifier_.revocations().covers(use.caller)) return fail(errors::revoked_token);
  if (use.consented) {
    const auto copy_is = certain ? guard::CopyIs::certain : guard::CopyIs::behind;
    TRY(const auto covered, guard::still_covered(consents_, *use.consented, copy_is, at));
    certain = covered.certain;
    // No later than the next look, which comes anyway.
    use.ends_at = now() + std::min<Timestamp::duration>(covered.until - consents_.time(at), kLook);
  }
  if (!policy_allows(use.action, use.caller, use.call)) return fail(errors::policy_denied);
  return certain;
}

void EnforcementPoint::look() {
  const std::vector<Use::State*> all(watched_->begin(), watched_->end());
  for (auto* const one : all) {
    // Whoever was told of an end may have ended others.
    if (watched_->contains(one)) static_cast<void>(one->look());
  }
}

SteadyTime EnforcementPoint::next_look() const {
  if (watched_->empty()) return SteadyTime::max();
  auto next = now() + kLook;
  for (const auto* one : *watched_) next = std::min(next, one->ends_at);
  return next;
}

void EnforcementPoint::look_by(SteadyTime at) {
  if (at < looking_.expiry()) looking_.cancel();
}

Task<> EnforcementPoint::keep_looking() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    looking_.expires_at(next_look());
    boost::system::error_code ignored;
    co_await looking_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (cancelled.cancelled() == asio::cancellation_type::none) look();
  }
  co_return Result<void>{};
}

}  // namespace intra365::sdk
