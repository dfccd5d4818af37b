// Nothing is spawned except through a task group: it names its tasks, bounds their number and joins them.
#pragma once
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "async/task.hpp"

namespace intra365 {

namespace errors {
inline constexpr ErrorCode group_full{ErrorKind::exhausted, "group.full",
                                      "Too much is running at once; try again a little later."};
}  // namespace errors

/// Owned by one shard; not thread-safe. Coroutines given to it take values, not references, or references
/// to things that outlive `join`. Destroying a group that still runs tasks is a bug.
class TaskGroup {
 public:
  TaskGroup(asio::any_io_executor executor, std::string name, std::size_t limit);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts `work`. Fails with `group.full` at the limit and with `cancelled` once the group is stopping.
  /// What `work` returns as an error is counted in `failed()`; it is the work's business to report it.
  Result<void> spawn(Task<> work);

  /// Asks every task to stop; new ones are refused.
  void cancel();
  /// Waits until all have ended, or until `deadline`; then cancels them and waits again.
  Task<> join(SteadyTime deadline);

  std::size_t running() const { return running_.size(); }
  std::size_t failed() const { return failed_; }
  const std::string& name() const { return name_; }

 private:
  using Signals = std::list<asio::cancellation_signal>;
  asio::any_io_executor executor_;
  std::string name_;
  std::size_t limit_;
  Signals running_;
  std::size_t failed_ = 0;
  bool stopping_ = false;
  asio::steady_timer ended_;  ///< cancelled whenever the last task ends
};

}  // namespace intra365
