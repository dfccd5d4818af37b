// What every asynchronous function of ours returns, and how long it may take. The layer between `base`,
// which knows no I/O, and the protocol folders (nats, postgres, http), which all share these few lines.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "base/error.hpp"
#include "base/time.hpp"

namespace intra365 {

namespace asio = boost::asio;

/// A coroutine that ends with a value or an Error. Lazy: it runs when it is awaited or spawned.
template <class T = void>
using Task = asio::awaitable<Result<T>>;

namespace errors {
inline constexpr ErrorCode deadline{ErrorKind::deadline, "deadline",
                                    "It was not finished in time; the outcome may be unknown."};
inline constexpr ErrorCode cancelled{ErrorKind::unavailable, "cancelled",
                                     "The work was stopped before it was done."};
}  // namespace errors

/// Runs `work` and turns every exception into an Error: cancellation into `cancelled`, the rest into
/// `internal` with the exception's text. Nothing is thrown out of it.
template <class T>
Task<T> contain(Task<T> work) {
  try {
    co_return co_await std::move(work);
  } catch (const boost::system::system_error& exception) {
    if (exception.code() == asio::error::operation_aborted) co_return fail(errors::cancelled);
    co_return fail(errors::internal, exception.what());
  } catch (const std::exception& exception) {
    co_return fail(errors::internal, exception.what());
  }
}

/// Runs `work` until it ends or `deadline` passes; then cancels it, waits until it has really ended and
/// fails with `deadline`. An exception thrown in `work`, at once or later, is `internal`, never `deadline`.
template <class T>
Task<T> with_deadline(SteadyTime deadline, Task<T> work) {
  using namespace asio::experimental::awaitable_operators;
  // The work comes in contained: operator|| waits for the first *success* and would otherwise swallow
  // an early exception until the timer fires.
  asio::steady_timer timer(co_await asio::this_coro::executor, deadline);
  auto first = co_await (contain(std::move(work)) || timer.async_wait(asio::use_awaitable));
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return fail(errors::deadline);
}

/// Waits without holding a thread.
inline asio::awaitable<void> sleep_for(std::chrono::steady_clock::duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace intra365
