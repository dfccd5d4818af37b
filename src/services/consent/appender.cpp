#include "services/consent/appender.hpp"

#include <algorithm>

#include "contract/errors.hpp"

namespace intra365::services::consent {
namespace {

constexpr auto kBatchTime = std::chrono::seconds(5);
/// Everybody locks in one order, so collisions are rare; what still collides is tried again.
constexpr int kMostTries = 5;
constexpr auto kTryPause = std::chrono::milliseconds(2);

bool is_collision(const Error& error) {
  return error.is(postgres::errors::serialization);
}

/// True when another transaction of the same statements would fail alike.
bool is_about_the_database(const Error& error) {
  return error.is(postgres::errors::unavailable) || error.is(postgres::errors::timeout);
}

}  // namespace

/// What a request waits for.
struct Appender::Outcome {
  Outcome(asio::any_io_executor executor, SteadyTime deadline)
      : deadline(deadline), done(std::move(executor), deadline) {}
  void set(Result<Told> outcome) {
    told = std::move(outcome);
    done.cancel();
  }
  Task<Told> wait(std::shared_ptr<Outcome>) {
    boost::system::error_code ignored;
    if (!told) co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!told) co_return fail(postgres::errors::timeout);
    co_return std::move(*told);
  }
  SteadyTime deadline;
  std::optional<Result<Told>> told;
  asio::steady_timer done;  ///< cancelled once there is an outcome
};

struct Appender::Waiting {
  Waiting(asio::any_io_executor executor, Append append, SteadyTime deadline)
      : append(std::move(append)), outcome(std::make_shared<Outcome>(std::move(executor), deadline)) {
    for (const auto& change : this->append.changes) {
      raises.insert("user " + change.change.user_id.str());
      raises.insert("mate " + change.change.mate_id.str());
    }
  }
  Append append;
  Raised raises;  ///< what hangs on it raises more, which only PostgreSQL knows and lets wait
  std::shared_ptr<Outcome> outcome;
};

Task<Told> Appender::append(TenantId tenant, std::vector<Change> changes, std::string trace_id,
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
  co_return co_await waiting->outcome->wait(waiting->outcome);
}

Task<Told> Appender::append_by(TenantId tenant, StoreOne store, std::string trace_id, SteadyTime deadline) {
  const auto outcome = std::make_shared<Outcome>(environment_.executor, deadline);
  CO_CHECK(
      environment_.tasks.spawn(store_one(std::move(tenant), std::move(store), std::move(trace_id), outcome)));
  co_return co_await outcome->wait(outcome);
}

Task<> Appender::store_one(TenantId tenant, StoreOne store, std::string trace_id,
                           std::shared_ptr<Outcome> outcome) {
  auto stored = co_await contain(store());
  for (int n = 1; !stored && is_collision(stored.error()) && n < kMostTries; ++n) {
    co_await sleep_for(kTryPause * n);
    stored = co_await contain(store());
  }
  if (!stored) {
    outcome->set(fail(std::move(stored).error()));
    co_return Result<void>{};
  }
  std::vector<Spread::Changed> changes(1);
  changes.front().stored = *std::move(stored);
  changes.front().trace_id = std::move(trace_id);
  auto told = co_await spread_.tell(std::move(tenant), std::move(changes));
  outcome->set(std::move(told.front()));
  co_return Result<void>{};
}

Task<> Appender::store_all(TenantId tenant) {
  while (true) {
    auto& queue = queues_[tenant];
    auto batch = take_batch(queue, std::chrono::steady_clock::now());
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

Appender::Batch Appender::take_batch(Queue& queue, SteadyTime now) {
  std::erase_if(queue.waiting, [now](const auto& one) { return one->outcome->deadline <= now; });
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
  const auto until = std::chrono::steady_clock::now() + kBatchTime;
  auto stored = co_await contain(store_.append(tenant, appends, until));
  for (int n = 1; !stored && is_collision(stored.error()) && n < kMostTries; ++n) {
    co_await sleep_for(kTryPause * n);
    stored = co_await contain(store_.append(tenant, appends, until));
  }
  if (!stored && batch.size() > 1 && !is_about_the_database(stored.error())) {
    // One of them cannot be stored; the others must not suffer for it.
    for (auto& one : batch) {
      Batch alone;
      alone.push_back(std::move(one));
      co_await store_batch(tenant, std::move(alone));
    }
    co_return;
  }
  if (!stored) {
    for (const auto& one : batch) one->outcome->set(fail(stored.error()));
    co_return;
  }
  std::vector<Spread::Changed> changes(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    changes[i].stored = std::move((*stored)[i]);
    changes[i].trace_id = batch[i]->append.trace_id;
  }
  auto told = co_await spread_.tell(tenant, std::move(changes));
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i]->outcome->set(std::move(told[i]));
}

}  // namespace intra365::services::consent
