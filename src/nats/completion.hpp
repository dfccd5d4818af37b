// Every operation that is a coroutine, for callers that use none: a completion handler, a future, or whatever
// else Asio takes as a completion token.
#pragma once
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/dispatch.hpp>

#include "async/task.hpp"

namespace intra365::nats {

/// Starts `task` on `executor` and gives its result to `token`, whose signature is void(Result<T>). Nothing
/// is thrown: every failure is an Error. A cancellation slot bound to the token cancels the task.
///
///     start(connection.executor(), jetstream.publish("orders.new", body),
///           [](Result<PublishAck> ack) { … });
///
/// What the task refers to must live until it has ended.
template <class T, class Token>
auto start(asio::any_io_executor executor, Task<T> task, Token&& token) {
  const auto initiate = [](auto handler, asio::any_io_executor executor, Task<T> task) {
    const auto slot = asio::get_associated_cancellation_slot(handler);
    const auto target = asio::get_associated_executor(handler, executor);
    auto done = [handler = std::move(handler), target](std::exception_ptr, Result<T> result) mutable {
      asio::dispatch(target, [handler = std::move(handler), result = std::move(result)]() mutable {
        std::move(handler)(std::move(result));
      });
    };
    asio::co_spawn(executor, contain(std::move(task)), asio::bind_cancellation_slot(slot, std::move(done)));
  };
  return asio::async_initiate<Token, void(Result<T>)>(initiate, token, std::move(executor), std::move(task));
}

}  // namespace intra365::nats
