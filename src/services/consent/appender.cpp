#include "services/consent/appender.hpp"

#include <algorithm>

#include "contract/errors.hpp"

namespace intra365::services::consent {
namespace {

using Consents = std::vector<intra365::consent::Consent>;

constexpr auto kBatchTime = std::chrono::seconds(5);

}  // namespace

struct Appender::Waiting {
  Waiting(asio::any_io_executor executor, Append append, SteadyTime deadline)
      : append(std::move(append)), done(std::move(executor), deadline) {
    for (const auto& change : this->append.changes) {
      raises.insert("user " + change.change.user_id.str());
      raises.insert("mate " + change.change.mate_id.str());
    }
  }
  Append append;
  Raised raises;
  std::optional<Result<Consents>> outcome;
  asio::steady_timer done;  ///< cancelled once there is an outcome
};

Task<Consents> Appender::append(TenantId tenant, std::vector<Change> changes, std::string trace_id,
                                SteadyTime deadline) {
  Append wanted;
  wanted.changes = std::move(changes);
  wanted.trace_id = std::move(trace_id);
  const auto waiting = std::make_shared<Waiting>(environment_.executor, std::move(wanted), deadline);
  auto& queue = queues_[tenant];
  if (queue.waiting.size() >= kMaxWaiting) co_return fail(intra365::errors::service_busy);
  queue.waiting.push_back(waiting);
  if (queue.under_way < kMaxUnderWay) {
    ++queue.under_way;
    if (auto started = environment_.tasks.spawn(store_all(tenant)); !started) {
      --queue.under_way;
      std::erase(queue.waiting, waiting);
      co_return fail(std::move(started).error());
    }
  }
  boost::system::error_code ignored;
  co_await waiting->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!waiting->outcome) co_return fail(postgres::errors::timeout);
  co_return std::move(*waiting->outcome);
}

Task<> Appender::store_all(TenantId tenant) {
  while (true) {
    auto& queue = queues_[tenant];
    auto batch = take_batch(queue);
    if (batch.empty()) {
      // What is still waiting is stored by whoever holds what it waits for.
      if (--queue.under_way == 0) queues_.erase(tenant);
      co_return Result<void>{};
    }
    Raised raised;
    for (const auto& one : batch) raised.insert(one->raises.begin(), one->raises.end());
    queue.held.insert(raised.begin(), raised.end());
    co_await store_batch(tenant, std::move(batch));
    for (const auto& one : raised) queue.held.erase(one);
  }
}

Appender::Batch Appender::take_batch(Queue& queue) {
  Batch batch;
  auto passed_over = queue.held;
  std::size_t looked_at = 0;
  for (auto next = queue.waiting.begin();
       next != queue.waiting.end() && batch.size() < kMaxAtOnce && looked_at < kMaxLookedAt; ++looked_at) {
    const auto& raises = (*next)->raises;
    if (std::ranges::any_of(raises, [&](const auto& one) { return passed_over.contains(one); })) {
      passed_over.insert(raises.begin(), raises.end());
      ++next;
    } else {
      batch.push_back(std::move(*next));
      next = queue.waiting.erase(next);
    }
  }
  return batch;
}

asio::awaitable<void> Appender::store_batch(TenantId tenant, Batch batch) {
  std::vector<const Append*> appends;
  for (const auto& one : batch) appends.push_back(&one->append);
  auto stored =
      co_await contain(store_.append(tenant, appends, std::chrono::steady_clock::now() + kBatchTime));
  if (!stored && batch.size() > 1 && !stored.error().is(postgres::errors::unavailable) &&
      !stored.error().is(postgres::errors::timeout)) {
    // One of them cannot be stored; the others must not suffer for it.
    for (auto& one : batch) {
      Batch alone;
      alone.push_back(std::move(one));
      co_await store_batch(tenant, std::move(alone));
    }
    co_return;
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (stored)
      batch[i]->outcome = std::move((*stored)[i]);
    else
      batch[i]->outcome = fail(stored.error());
    batch[i]->done.cancel();
  }
}

}  // namespace intra365::services::consent
