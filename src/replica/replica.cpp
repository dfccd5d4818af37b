#include "replica/replica.hpp"

namespace intra365::replica {
namespace {

constexpr auto kSyncTimeout = std::chrono::milliseconds(800);
/// Between two syncs, however many ask for one.
constexpr auto kHurry = std::chrono::milliseconds(10);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Replica::Replica(nats::Connection& connection, TaskGroup& tasks, Source source)
    : connection_(connection), tasks_(tasks), source_(std::move(source)), wake_(connection.executor()) {}

Task<> Replica::start(SteadyTime deadline) {
  auto subscription = connection_.subscribe(source_.push_subject, [this](const nats::MessageView& message) {
    if (source_.on_push(message) != Push::gap) return;
    lease_.gap();
    wake_.cancel();
  });
  if (!subscription) co_return fail(std::move(subscription).error());
  subscription_ = *std::move(subscription);
  CO_CHECK(co_await refresh(deadline));
  co_return tasks_.spawn(keep_syncing());
}

Task<> Replica::refresh(SteadyTime deadline) {
  const auto round = lease_.begin(BootClock::now());
  CO_CHECK(co_await source_.sync(deadline));
  if (!lease_.end(round)) wake_.cancel();
  co_return Result<void>{};
}

asio::awaitable<void> Replica::until_alive(SteadyTime deadline) {
  hurry();
  while (!alive(BootClock::now()) && now() < deadline) co_await sleep_for(kHurry);
}

void Replica::hurry() {
  hurried_ = true;  // for a round that is under way: what it asked was asked before
  wake_.cancel();
}

Task<> Replica::keep_syncing() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    wake_.expires_after(hurried_ ? kHurry : guard::kSyncPause);
    boost::system::error_code ignored;
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (cancelled.cancelled() != asio::cancellation_type::none) break;
    hurried_ = false;
    // A failure is no news: the lease runs out by itself, and the next round tries again.
    co_await refresh(now() + kSyncTimeout);
    while (cancelled.cancelled() == asio::cancellation_type::none && !alive(BootClock::now()) &&
           connection_.connected()) {
      if (!co_await refresh(now() + kSyncTimeout)) break;
    }
  }
  co_return Result<void>{};
}

}  // namespace intra365::replica
