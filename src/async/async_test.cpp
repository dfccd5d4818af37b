#include <gtest/gtest.h>

#include <stdexcept>

#include "async/task.hpp"
#include "async/task_group.hpp"

namespace intra365 {
namespace {

using namespace std::chrono_literals;

SteadyTime in(std::chrono::milliseconds delay) {
  return std::chrono::steady_clock::now() + delay;
}

template <class T>
Result<T> run(Task<T> task) {
  asio::io_context io;
  Result<T> outcome = fail(errors::internal, "never ran");
  asio::co_spawn(io, std::move(task),
                 [&](std::exception_ptr, Result<T> result) { outcome = std::move(result); });
  io.run();
  return outcome;
}

Task<int> answer() {
  co_return 42;
}
Task<int> throws_at_once() {
  throw std::runtime_error("boom");
  co_return 0;
}
Task<int> never(bool& ended) {
  struct AtEnd {
    bool& ended;
    ~AtEnd() { ended = true; }
  } at_end{ended};
  co_await sleep_for(1h);
  co_return 0;
}

TEST(Deadline, work_in_time_gives_its_value) {
  EXPECT_EQ(run(with_deadline(in(1s), answer())), 42);
}

TEST(Deadline, exception_thrown_at_once_is_internal_not_deadline) {
  const auto outcome = run(with_deadline(in(5s), throws_at_once()));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, "internal");
  EXPECT_EQ(outcome.error().detail, "boom");
}

TEST(Deadline, late_work_is_cancelled_and_has_ended) {
  bool ended = false;
  const auto outcome = run(with_deadline(in(10ms), never(ended)));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, "deadline");
  EXPECT_TRUE(ended);
}

TEST(TaskGroup, refuses_beyond_its_limit_and_joins_all) {
  asio::io_context io;
  TaskGroup group(io.get_executor(), "test", 2);
  bool first = false, second = false;
  const auto endless = [](bool& ended) -> Task<> {
    co_await never(ended);
    co_return Result<void>{};
  };
  EXPECT_TRUE(group.spawn(endless(first)));
  EXPECT_TRUE(group.spawn(endless(second)));
  EXPECT_EQ(group.spawn(endless(first)).error().code, "group.full");
  asio::co_spawn(io, group.join(in(10ms)), asio::detached);
  io.run();
  EXPECT_TRUE(first && second);
  EXPECT_EQ(group.running(), 0u);
}

}  // namespace
}  // namespace intra365
