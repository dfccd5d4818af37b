#include "async/task_group.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <cassert>

namespace intra365 {

TaskGroup::TaskGroup(asio::any_io_executor executor, std::string name, std::size_t limit)
    : executor_(std::move(executor)),
      name_(std::move(name)),
      limit_(limit),
      ended_(executor_, SteadyTime::max()) {}

TaskGroup::~TaskGroup() {
  assert(running_.empty() && "a task group must be joined before it goes");
}

Result<void> TaskGroup::spawn(Task<> work) {
  if (stopping_) return fail(errors::cancelled, "'" + name_ + "' is stopping");
  if (running_.size() >= limit_)
    return fail(errors::group_full, "'" + name_ + "' runs " + std::to_string(limit_) + " tasks already");
  running_.emplace_back();
  const auto signal = std::prev(running_.end());
  asio::co_spawn(
      executor_, contain(std::move(work)),
      asio::bind_cancellation_slot(signal->slot(), [this, signal](std::exception_ptr, Result<void> outcome) {
        if (!outcome) ++failed_;
        running_.erase(signal);
        if (running_.empty()) ended_.cancel();
      }));
  return {};
}

void TaskGroup::cancel() {
  stopping_ = true;
  // Emitting can end tasks and so shorten the list: take the slots by position, newest last.
  for (auto it = running_.begin(); it != running_.end();) (it++)->emit(asio::cancellation_type::terminal);
}

Task<> TaskGroup::join(SteadyTime deadline) {
  const auto wait_until = [this](SteadyTime end) -> asio::awaitable<void> {
    if (running_.empty()) co_return;
    ended_.expires_at(end);
    boost::system::error_code ignored;
    co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  };
  stopping_ = true;
  co_await wait_until(deadline);
  cancel();
  co_await wait_until(SteadyTime::max());
  co_return Result<void>{};
}

}  // namespace intra365
