#include "services/consent/appender.hpp"

#include "contract/errors.hpp"

namespace intra365::services::consent {
namespace {

using Consents = std::vector<intra365::consent::Consent>;

constexpr auto kBatchTime = std::chrono::seconds(5);

}  // namespace

struct Appender::Waiting {
  Waiting(asio::any_io_executor executor, Append append, SteadyTime deadline)
      : append(std::move(append)), done(std::move(executor), deadline) {}
  Append append;
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
    if (queue.waiting.empty()) {
      if (--queue.under_way == 0) queues_.erase(tenant);
      co_return Result<void>{};
    }
    std::vector<std::shared_ptr<Waiting>> batch;
    while (!queue.waiting.empty() && batch.size() < kMaxAtOnce) {
      batch.push_back(std::move(queue.waiting.front()));
      queue.waiting.pop_front();
    }
    co_await store_batch(tenant, std::move(batch));
  }
}

asio::awaitable<void> Appender::store_batch(TenantId tenant, std::vector<std::shared_ptr<Waiting>> batch) {
  std::vector<const Append*> appends;
  for (const auto& one : batch) appends.push_back(&one->append);
  auto stored =
      co_await contain(store_.append(tenant, appends, std::chrono::steady_clock::now() + kBatchTime));
  if (!stored && batch.size() > 1 && !stored.error().is(postgres::errors::unavailable) &&
      !stored.error().is(postgres::errors::timeout)) {
    // One of them cannot be stored; the others must not suffer for it.
    for (auto& one : batch) {
      std::vector<std::shared_ptr<Waiting>> alone;
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
