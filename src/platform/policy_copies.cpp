#include "platform/policy_copies.hpp"

#include <algorithm>

#include "contract/subjects.hpp"
#include "policy/compiled.hpp"

namespace intra365::platform {
namespace {

constexpr auto kLoadTimeout = std::chrono::milliseconds(800);
constexpr auto kForgetAfter = std::chrono::minutes(10);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Result<PolicySet> compile_set(std::uint64_t epoch, std::vector<policy::Policy> policies) {
  PolicySet set;
  set.epoch = epoch;
  const bool has_shadow = std::ranges::any_of(
      policies, [](const auto& one) { return policy::status_of(one) == policy::Status::shadow; });
  if (has_shadow) {
    TRY(set.with_shadow, policy::Snapshot::compile(policies, policy::Include::active_and_shadow));
  }
  TRY(set.in_force, policy::Snapshot::compile(std::move(policies)));
  return set;
}

SetAnswer answer_of(const PolicySet& set, const policy::Asked& asked, policy::Scratch& scratch) {
  SetAnswer answer;
  answer.reply = policy::reply_of(set.in_force->answer(asked.question(), scratch), asked.attributes);
  if (set.with_shadow == nullptr) return answer;
  auto would = policy::reply_of(set.with_shadow->answer(asked.question(), scratch), asked.attributes);
  if (would.decision != answer.reply.decision) answer.shadow = std::move(would);
  return answer;
}

policy::DecisionRecord record_of(const PolicySet& set, const policy::Asked& asked,
                                 const policy::EvaluateRequest& request, const SetAnswer& answer,
                                 Timestamp now) {
  policy::DecisionRecord record;
  record.evaluated_at = now;
  record.policy_epoch = set.epoch;
  record.request = json::to_value(request);
  record.attributes = asked.attributes;
  record.reply = json::to_value(answer.reply);
  if (answer.shadow) record.shadow = json::to_value(*answer.shadow);
  return record;
}

PolicyCopies::PolicyCopies(Environment& environment, Load load)
    : environment_(environment), load_(std::move(load)) {}

Result<void> PolicyCopies::start() {
  TRY(pushes_,
      environment_.nats.subscribe(
          subjects::in_any_account(subjects::guard_policy), [this](const nats::MessageView& message) {
            const auto scoped = subjects::split_account(message.subject);
            const auto* tenant = scoped ? environment_.tenants.find(scoped->account) : nullptr;
            if (tenant != nullptr) return changed(*tenant);
            // A tenant this process has not met by its account yet: nothing is certain any more.
            for (auto& [id, copy] : copies_) copy->lease.gap();
          }));
  return {};
}

const PolicySet* PolicyCopies::fresh(const TenantId& tenant) {
  const auto found = copies_.find(tenant);
  const auto at = BootClock::now();
  if (found == copies_.end() || !found->second->lease.alive(at)) return nullptr;
  auto& copy = *found->second;
  copy.used_at = at;
  // In use, and not asked lately: ask beside the work, so that the lease never runs out under it.
  if (!copy.loading && at - copy.asked_at > guard::kSyncPause)
    static_cast<void>(environment_.tasks.spawn(load(tenant, found->second, now() + kLoadTimeout)));
  return &copy.set;
}

Task<PolicySet> PolicyCopies::get(TenantId tenant, SteadyTime deadline) {
  const auto copy = copy_of(tenant);
  for (;;) {
    if (const auto* set = fresh(tenant)) co_return *set;
    if (now() >= deadline)
      co_return fail(intra365::errors::deadline, "the policies could not be read in time");
    if (!copy->loading) {
      CO_CHECK(co_await load(tenant, copy, deadline));
      continue;
    }
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer limit(environment_.executor, deadline);
    boost::system::error_code first, second;
    co_await (copy->loaded.async_wait(asio::redirect_error(asio::use_awaitable, first)) ||
              limit.async_wait(asio::redirect_error(asio::use_awaitable, second)));
  }
}

void PolicyCopies::changed(const TenantId& tenant) {
  const auto found = copies_.find(tenant);
  if (found == copies_.end()) return;
  found->second->lease.gap();
  // Somebody may be waiting to hear of it.
  if (on_change && !found->second->loading)
    static_cast<void>(environment_.tasks.spawn(load(tenant, found->second, now() + kLoadTimeout)));
}

PolicyCopies::CopyPointer PolicyCopies::copy_of(const TenantId& tenant) {
  auto& copy = copies_[tenant];
  if (!copy) {
    copy = std::make_shared<Copy>(environment_.executor);
    copy->used_at = BootClock::now();
    auto kept = copy;  // the map may move
    if (copies_.size() > kMaxCopies) forget_unused(BootClock::now());
    return kept;
  }
  return copy;
}

Task<> PolicyCopies::load(TenantId tenant, CopyPointer copy, SteadyTime deadline) {
  if (copy->loading) co_return Result<void>{};
  struct Loading {
    explicit Loading(Copy& copy) : copy_(copy) { copy.loading = true; }
    ~Loading() {
      copy_.loading = false;
      copy_.loaded.cancel();
    }
    Copy& copy_;
  } loading(*copy);
  const auto round = copy->lease.begin(BootClock::now());
  copy->asked_at = round.asked_at;
  CO_TRY(auto set, co_await load_(tenant, copy->set.in_force ? copy->set.epoch : 0, deadline));
  const bool replaced = set.has_value();
  if (replaced) copy->set = *std::move(set);
  if (!copy->set.in_force) co_return fail(intra365::errors::internal, "no policy set was given");
  copy->lease.end(round);
  if (replaced && on_change) on_change(tenant);
  co_return Result<void>{};
}

void PolicyCopies::forget_unused(BootTime now) {
  std::erase_if(copies_, [&](const auto& item) {
    return !item.second->loading && now - item.second->used_at > kForgetAfter;
  });
}

}  // namespace intra365::platform
