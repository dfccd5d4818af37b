// Keeps a copy of some truth fresh: pushes make it fast, periodic syncs make it certain, and a lease says
// whether it may be used. What the copy is, and how it is synced, is the owner's business.
#pragma once
#include <functional>
#include <string>

#include "async/task_group.hpp"
#include "guard/lease.hpp"
#include "nats/connection.hpp"

namespace intra365::replica {

using guard::Push;

/// How long a question waits for a copy that is being brought up to date, rather than being refused.
inline constexpr std::chrono::milliseconds kPatience{500};

/// Owned by one shard; not thread-safe. Outlives its task group's tasks.
class Replica {
 public:
  struct Source {
    std::string name;  ///< for error messages
    std::string push_subject;
    /// Asks the truth and brings the copy up to date.
    std::function<Task<>(SteadyTime deadline)> sync;
    std::function<Push(const nats::MessageView&)> on_push;
  };

  Replica(nats::Connection& connection, TaskGroup& tasks, Source source);
  /// Subscribes, syncs once, and keeps on syncing until the task group is cancelled.
  Task<> start(SteadyTime deadline);
  bool alive(BootTime now) const { return lease_.alive(now); }
  /// Syncs now, e.g. because a key is not known; waits at most until `deadline`.
  Task<> refresh(SteadyTime deadline);
  /// Waits until the copy may be used, at most until `deadline`; whether it may, `alive` says then.
  asio::awaitable<void> until_alive(SteadyTime deadline);
  /// From within `sync`: the copy was of no use any more, so the lease must not be used before the next one.
  void begin_anew() { lease_.gap(); }
  /// Syncs soon instead of at the next turn, so that the truth learns how far this copy has come.
  void hurry();

 private:
  Task<> keep_syncing();

  nats::Connection& connection_;
  TaskGroup& tasks_;
  Source source_;
  guard::SyncedLease lease_;
  nats::Subscription subscription_;
  asio::steady_timer wake_;
  bool hurried_ = false;
};

}  // namespace intra365::replica
