// Sends cancel requests away from the loop, because libpq's PQcancel blocks for as long as the server likes.
#pragma once
#include <libpq-fe.h>

#include <functional>
#include <memory>

#include "async/task.hpp"

namespace intra365::postgres {

struct CancelDeleter {
  void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};
using CancelHandle = std::unique_ptr<PGcancel, CancelDeleter>;

/// One thread, started with the first request. Destroying the canceller never waits: a request that a
/// frozen server does not answer is left to its thread, which owns all that it touches.
class Canceller {
 public:
  explicit Canceller(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~Canceller();
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  /// Sends the request; `done` runs on the executor when it has ended, unless the canceller has gone.
  void send(CancelHandle cancel, std::function<void()> done);

 private:
  struct State;
  static void work(const std::shared_ptr<State>& state);
  asio::any_io_executor executor_;
  std::shared_ptr<State> state_;
};

}  // namespace intra365::postgres
