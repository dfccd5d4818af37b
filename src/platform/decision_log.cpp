#include "platform/decision_log.hpp"

#include <iterator>

namespace intra365::platform {
namespace {

/// Gathers what a busy moment brings.
constexpr auto kGather = std::chrono::milliseconds(5);
constexpr auto kRetry = std::chrono::milliseconds(100);
constexpr auto kWriteTimeout = std::chrono::seconds(5);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

DecisionLog::DecisionLog(asio::any_io_executor executor, TaskGroup& tasks, Write write)
    : tasks_(tasks), write_(std::move(write)), changed_(std::move(executor), SteadyTime::max()) {}

Result<void> DecisionLog::start() {
  CHECK(tasks_.spawn(keep_writing()));
  writing_ = true;
  return {};
}

Result<std::string> DecisionLog::add(const TenantId& tenant, std::string_view likeness, const Make& make) {
  if (stopping_ || waiting_ >= kMaxWaiting) return fail(errors::decisions_full);
  auto& pending = pending_[tenant];
  const auto [known, is_new] = pending.alike.try_emplace(std::string(likeness), pending.records.size());
  if (!is_new) {
    auto& record = pending.records[known->second];
    return record.decision_id + "." + std::to_string(++record.count);
  }
  auto& record = pending.records.emplace_back(make());
  record.decision_id = new_uuid();
  record.count = 1;
  if (++waiting_ == 1) changed_.cancel();
  return record.decision_id;
}

Task<> DecisionLog::keep_writing() {
  while (true) {
    if (pending_.empty()) {
      if (stopping_) break;
      boost::system::error_code ignored;
      changed_.expires_at(SteadyTime::max());
      co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    if (!stopping_) co_await sleep_for(kGather);
    // What comes from here on belongs to the next round.
    auto round = std::exchange(pending_, {});
    for (auto& [tenant, pending] : round) co_await write_batch(tenant, pending.records);
  }
  writing_ = false;
  co_return Result<void>{};
}

Task<> DecisionLog::write_batch(TenantId tenant, Records& records) {
  for (std::size_t begin = 0; begin < records.size();) {
    const auto end = std::min(begin + kMaxPerWrite, records.size());
    const Records part(records.begin() + static_cast<std::ptrdiff_t>(begin),
                       records.begin() + static_cast<std::ptrdiff_t>(end));
    auto written = co_await write_(tenant, part, now() + kWriteTimeout);
    // Records wait for their table; the limit turns a long outage into refusals. A repeated write changes
    // nothing.
    if (!written && !stopping_ && written.error().kind != ErrorKind::invalid) {
      co_await sleep_for(kRetry);
      continue;
    }
    waiting_ -= end - begin;
    begin = end;
  }
  co_return Result<void>{};
}

Task<> DecisionLog::stop(SteadyTime deadline) {
  stopping_ = true;
  changed_.cancel();
  while (writing_ && now() < deadline) co_await sleep_for(std::chrono::milliseconds(2));
  co_return Result<void>{};
}

}  // namespace intra365::platform
