// A use of somebody's data that goes on after it was allowed: a streamed answer, a long job. What allowed it
// is watched until it is done.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "async/task.hpp"

namespace intra365::sdk {

class EnforcementPoint;
struct Call;

/// Owned by one shard; not thread-safe. Does not outlive its Mate.
///
/// A use is bound to the consent it began under: when that one ends, the use ends, even where another consent
/// would let a new call through.
class Use {
 public:
  struct State;
  explicit Use(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// As a new call's check would answer now, for this caller and this consent: `consent.revoked`,
  /// `consent.expired`, `token.revoked`, `policy.denied` … While nobody can know, because the enforcement
  /// point is about to ask the platform, this waits, at most two seconds: then it is `guard.lease_expired`.
  /// Once it has failed it stays so. A caller's token that has merely grown old ends nothing.
  Task<> permitted();
  /// Is called once, as soon as the use is not permitted any more; at once if it is not already. One at a
  /// time: the next takes the place of the last, an empty one only takes it away.
  void on_end(std::function<void(const Error&)> tell);

 private:
  friend class EnforcementPoint;
  std::shared_ptr<State> state_;
};

/// Runs `work` and cancels it as soon as the call is not permitted any more; fails with why, then.
/// `co_return co_await sdk::while_permitted(call.use, read_everything(call));`
template <class T>
Task<T> while_permitted(std::shared_ptr<Use> use, Task<T> work) {
  using namespace asio::experimental::awaitable_operators;
  std::optional<Error> why;
  asio::steady_timer ended(co_await asio::this_coro::executor, SteadyTime::max());
  use->on_end([&](const Error& error) {
    why = error;
    ended.cancel();
  });
  const auto wait = [](asio::steady_timer& timer, std::optional<Error>& told) -> asio::awaitable<void> {
    boost::system::error_code ignored;
    while (!told) co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  };
  std::optional<Result<T>> done;
  try {
    auto first = co_await (contain(std::move(work)) || wait(ended, why));
    if (first.index() == 0) done = std::get<0>(std::move(first));
  } catch (...) {
    use->on_end({});
    throw;
  }
  use->on_end({});
  if (!done || why) co_return fail(*why);
  co_return *std::move(done);
}

}  // namespace intra365::sdk
