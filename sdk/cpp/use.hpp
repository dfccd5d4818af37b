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

  /// Listens for as long as it lives.
  class [[nodiscard]] Listener {
   public:
    Listener() = default;
    Listener(std::weak_ptr<State> state, std::uint64_t number) : state_(std::move(state)), number_(number) {}
    Listener(Listener&&) noexcept = default;
    Listener& operator=(Listener&&) = delete;
    ~Listener();

   private:
    std::weak_ptr<State> state_;
    std::uint64_t number_ = 0;
  };
  /// `tell` is called once, as soon as the use is not permitted any more; at once if it is not already.
  Listener on_end(std::function<void(const Error&)> tell);

 private:
  friend class EnforcementPoint;
  std::shared_ptr<State> state_;
};

/// Runs `work` and cancels it as soon as the call is not permitted any more; fails with why, then. Where it
/// is not permitted already, nothing begins.
/// `co_return co_await sdk::while_permitted(call.use, read_everything(call));`
template <class T>
Task<T> while_permitted(std::shared_ptr<Use> use, Task<T> work) {
  using namespace asio::experimental::awaitable_operators;
  std::optional<Error> why;
  asio::steady_timer ended(co_await asio::this_coro::executor, SteadyTime::max());
  const auto listener = use->on_end([&](const Error& error) {
    why = error;
    ended.cancel();
  });
  if (why) co_return fail(*why);
  const auto wait = [](asio::steady_timer& timer, std::optional<Error>& told) -> asio::awaitable<void> {
    boost::system::error_code ignored;
    while (!told) co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  };
  auto first = co_await (contain(std::move(work)) || wait(ended, why));
  if (why) co_return fail(*why);
  co_return std::get<0>(std::move(first));
}

}  // namespace intra365::sdk
