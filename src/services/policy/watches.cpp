#include "services/policy/watches.hpp"

#include "contract/errors.hpp"
#include "contract/subjects.hpp"
#include "crypto/digest.hpp"
#include "crypto/encoding.hpp"

namespace intra365::services::policy {
namespace {

namespace wire = intra365::policy;

constexpr auto kTick = std::chrono::seconds(1);
constexpr auto kLookTimeout = std::chrono::seconds(2);
constexpr int kDefaultSeconds = 60, kMaxSeconds = 3600;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// What two answers are compared by: everything but the id.
std::string essence(wire::EvaluateReply reply) {
  reply.decision_id.clear();
  return json::encode(reply);
}

/// The same for the same question of the same caller, so that asking again renews.
std::string id_of(const platform::Caller& caller, const wire::EvaluateRequest& question) {
  crypto::Sha256 digest;
  for (const auto& part : {caller.tenant.str(), caller.subject(), json::encode(question)}) {
    digest.add(part);
    digest.add("\n");
  }
  return crypto::hex(digest.finish()).substr(0, 32);
}

}  // namespace

Watches::Watches(platform::Environment& environment, Decisions& decisions)
    : environment_(environment), decisions_(decisions) {}

Task<> Watches::start() {
  decisions_.on_change([this](const TenantId& tenant) { wake(tenant, false); });
  CO_TRY(consents_,
         environment_.nats.subscribe(
             subjects::in_any_account("intra365.guard.consent.*"), [this](const nats::MessageView& message) {
               const auto scoped = subjects::split_account(message.subject);
               const auto* tenant = scoped ? environment_.tenants.find(scoped->account) : nullptr;
               wake(tenant == nullptr ? std::nullopt : std::optional(*tenant), true);
             }));
  co_return environment_.tasks.spawn(keep_looking());
}

Task<wire::WatchReply> Watches::watch(const platform::Caller& caller, const wire::WatchRequest& request) {
  const int seconds = request.seconds.value_or(kDefaultSeconds);
  if (seconds < 1 || seconds > kMaxSeconds)
    co_return fail(intra365::errors::bad_value, "seconds: 1 to " + std::to_string(kMaxSeconds));
  const wire::EvaluateRequest question{request.subject, request.action, request.resource, request.context};
  wire::WatchReply reply;
  CO_TRY(reply.now, co_await decisions_.evaluate(caller, question));
  reply.watch_id = id_of(caller, question);
  CO_TRY(const auto account, co_await environment_.tenants.account_of(caller.tenant, caller.deadline));

  const auto known = watches_.find(reply.watch_id);
  if (known == watches_.end()) {
    const auto of_caller = std::ranges::count_if(watches_, [&](const auto& item) {
      return item.second.tenant == caller.tenant && item.second.caller == caller.subject();
    });
    if (watches_.size() >= kMaxWatches || of_caller >= static_cast<std::ptrdiff_t>(kMaxOfCaller))
      co_return fail(errors::too_many_watches);
  }
  auto& watch = watches_[reply.watch_id];
  reply.subject = subjects::guard_decision(caller.id);
  reply.expires_at = environment_.clock.now() + std::chrono::seconds(seconds);
  CO_TRY(const auto asked, wire::Asked::read(question));
  watch = {caller.tenant,      account,
           caller.subject(),   subjects::in_account(account, reply.subject),
           question,           wire::owner_of(asked.resource).has_value(),
           essence(reply.now), now() + std::chrono::seconds(seconds)};
  co_return reply;
}

void Watches::wake(std::optional<TenantId> tenant, bool only_people) {
  if (watches_.empty()) return;
  static_cast<void>(environment_.tasks.spawn(look_again(std::move(tenant), only_people)));
}

Task<> Watches::look_again(std::optional<TenantId> tenant, bool only_people) {
  std::vector<std::string> ids;
  for (const auto& [id, watch] : watches_) {
    if ((!tenant || watch.tenant == *tenant) && (!only_people || watch.of_a_person)) ids.push_back(id);
  }
  for (const auto& id : ids) {
    auto found = watches_.find(id);
    if (found == watches_.end()) continue;
    const auto question = found->second.question;
    const auto answer = co_await decisions_.look(found->second.tenant, question, now() + kLookTimeout);
    found = watches_.find(id);  // it may have ended meanwhile
    if (found == watches_.end() || !answer || essence(*answer) == found->second.told) continue;
    // What is told is a decision like any other, with an id and a record.
    const auto decided = co_await decisions_.decide(found->second.tenant, question, now() + kLookTimeout);
    found = watches_.find(id);
    if (found == watches_.end() || !decided) continue;
    auto& watch = found->second;
    const wire::DecisionChange change{id, *decided};
    if (environment_.nats.publish(watch.subject, json::encode(change))) watch.told = essence(*decided);
  }
  co_return Result<void>{};
}

/// What no push tells: consents that expire, pushes that got lost, watches nobody renews.
Task<> Watches::keep_looking() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    co_await sleep_for(kTick);
    std::erase_if(watches_, [at = now()](const auto& item) { return item.second.until < at; });
    co_await look_again(std::nullopt, false);
  }
  co_return Result<void>{};
}

}  // namespace intra365::services::policy
