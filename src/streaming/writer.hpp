// The answering side of a streamed answer: parts in order, never more under way than the reader asked for,
// and one end. Whether parts may still be sent is asked before each of them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "async/task_group.hpp"
#include "base/ids.hpp"
#include "nats/connection.hpp"
#include "streaming/errors.hpp"
#include "streaming/pace.hpp"

namespace intra365::streaming {

/// One answer. Owned by one shard; not thread-safe.
class Writer : public std::enable_shared_from_this<Writer> {
 public:
  /// Where the parts go, and until when.
  struct Route {
    std::string inbox, control;
    std::string trace_id;  ///< named in the error that ends it
    int window = 1;
    SteadyTime deadline;
  };
  Writer(nats::Connection& connection, Route route);

  /// Sends the next part; waits while the window is full. Once the answer is over it fails with why:
  /// `stream.cancelled`, `stream.reader_gone`, `stream.silent`, `deadline`, or what `forbid_with` said
  /// (`consent.revoked` …). A part that is too large fails with `nats.too_large` and ends nothing.
  Task<> send(std::string part);
  std::uint64_t sent() const { return sent_; }

  /// Asked before every part, which waits for the answer; what it fails with ends this one.
  void forbid_with(std::function<Task<>()> permitted) { permitted_ = std::move(permitted); }
  /// Ends the answer now, and whoever waits in `send` or `run`. The first end counts.
  void end(Result<void> how);
  bool over() const { return over_.has_value(); }
  /// How it ended; only when it is over.
  const Result<void>& how() const { return *over_; }
  /// Runs what fills the answer, cancels it when the answer is over before it (which does not even begin when
  /// it is over already), and ends the answer with its outcome. Returns how the answer has ended.
  static Task<> run(std::shared_ptr<Writer> self, Task<> filling);

 private:
  friend class Writers;
  Task<> check();
  void hear(const nats::MessageView& control);
  /// A message to the reader: a part, the end, or (`still_here`) neither.
  Result<void> say(std::uint64_t part, std::string_view payload, const Result<void>* end = nullptr);
  void say_end();
  Task<> end_is_said();
  void still_here() { static_cast<void>(say(0, {})); }
  asio::awaitable<void> wait_for_change();
  asio::awaitable<void> until_over();

  nats::Connection& connection_;
  Route route_;
  std::function<Task<>()> permitted_;
  std::uint64_t sent_ = 0, taken_ = 0;
  std::optional<Result<void>> over_;
  bool end_waits_ = false;  ///< for room in the connection's buffer
  SteadyTime heard_at_, said_at_;
  asio::steady_timer changed_;  ///< cancelled when there is room again, and at the end
};

/// All answers in parts that one Mate is sending. Owned by one shard; outlives its task group's tasks.
class Writers {
 public:
  Writers(nats::Connection& connection, TaskGroup& tasks, MateId mate, Pace pace = {});
  /// Listens to the readers. Call `flush` on the connection before answering.
  Result<void> start();
  /// An answer to `request`, which must ask for parts and have an inbox for them.
  Result<std::shared_ptr<Writer>> open(const nats::MessageView& request, SteadyTime deadline,
                                       std::string trace_id);
  std::size_t size() const { return open_.size(); }

 private:
  void hear(const nats::MessageView& control);
  Task<> keep_pace();

  static constexpr std::size_t kMaxOpen = 1024;

  nats::Connection& connection_;
  TaskGroup& tasks_;
  MateId mate_;
  Pace pace_;
  std::string control_;  ///< subject before an answer's own token
  nats::Subscription subscription_;
  std::unordered_map<std::string, std::weak_ptr<Writer>> open_;  ///< by that token
};

}  // namespace intra365::streaming
