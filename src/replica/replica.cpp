#include "replica/replica.hpp"

namespace intra365::replica {
namespace {

constexpr auto kSyncTimeout = std::chrono::milliseconds(800);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Replica::Replica(nats::Connection& connection, TaskGroup& tasks, Source source)
    : connection_(connection), tasks_(tasks), source_(std::move(source)), wake_(connection.executor()) {}

Task<> Replica::start(SteadyTime deadline) {
  auto subscription = connection_.subscribe(source_.push_subject, [this](const nats::MessageView& message) {
    if (source_.on_push(message) == Push::gap) fall_behind();
  });
  if (!subscription) co_return fail(std::move(subscription).error());
  subscription_ = *std::move(subscription);
  CO_CHECK(co_await refresh(deadline));
  co_return tasks_.spawn(keep_syncing());
}

Task<> Replica::refresh(SteadyTime deadline) {
  const auto question = lease_.ask(now());
  CO_CHECK(co_await source_.sync(deadline));
  if (!lease_.renew(question)) wake_.cancel();
  co_return Result<void>{};
}

void Replica::fall_behind() {
  lease_.fall_behind();
  wake_.cancel();
}

Task<> Replica::keep_syncing() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    wake_.expires_after(guard::kSyncPause);
    boost::system::error_code ignored;
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (cancelled.cancelled() != asio::cancellation_type::none) break;
    // A failure is no news: the lease runs out by itself, and the next round tries again.
    co_await refresh(now() + kSyncTimeout);
    while (cancelled.cancelled() == asio::cancellation_type::none &&
           !alive(std::chrono::steady_clock::now()) && connection_.connected()) {
      if (!co_await refresh(now() + kSyncTimeout)) break;
    }
  }
  co_return Result<void>{};
}

}  // namespace intra365::replica
