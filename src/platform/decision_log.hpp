// Keeps every decision, for replay: gathers them and writes them in batches behind the answers. Alike
// decisions of one moment share one record with a count, so that a busy decision point stays fast and the
// table readable.
//
// A decision is answered before its record is durable, like every read. What was decided in the last
// milliseconds before a crash has no record; where records cannot be written at all, decisions are refused.
#pragma once
#include <deque>
#include <functional>
#include <unordered_map>

#include "async/task_group.hpp"
#include "contract/operations/decisions.hpp"

namespace intra365::platform {

namespace errors {
inline constexpr ErrorCode decisions_full{ErrorKind::exhausted, "policy.log_full",
                                          "More decisions wait to be recorded than may."};
}

/// Owned by one shard; not thread-safe.
class DecisionLog {
 public:
  using Write = std::function<Task<>(TenantId tenant, std::vector<policy::DecisionRecord> records,
                                     SteadyTime deadline)>;
  /// Makes the record of a decision that is the first of its kind in this moment; without id and count.
  using Make = std::function<policy::DecisionRecord()>;

  DecisionLog(asio::any_io_executor executor, TaskGroup& tasks, Write write);
  Result<void> start();

  /// The id of a decision. `likeness` is the same for decisions that differ in nothing but their time. Fails
  /// with `policy.log_full`.
  Result<std::string> add(const TenantId& tenant, std::string_view likeness, const Make& make);
  /// Writes what waits, then ends.
  Task<> stop(SteadyTime deadline);
  std::size_t waiting() const { return waiting_; }

 private:
  using Records = std::vector<policy::DecisionRecord>;
  struct Pending {
    Records records;
    std::unordered_map<std::string, std::size_t> alike;  ///< likeness -> place in `records`
  };
  Task<> keep_writing();
  Task<> write_batch(TenantId tenant, Records& records);

  static constexpr std::size_t kMaxWaiting = 50'000;
  static constexpr std::size_t kMaxPerWrite = 500;

  TaskGroup& tasks_;
  Write write_;
  std::unordered_map<TenantId, Pending> pending_;
  std::size_t waiting_ = 0;
  bool stopping_ = false, writing_ = false;
  asio::steady_timer changed_;  ///< cancelled when something was added
};

}  // namespace intra365::platform
