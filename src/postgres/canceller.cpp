#include "postgres/canceller.hpp"

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace intra365::postgres {

struct Canceller::State {
  struct Request {
    CancelHandle cancel;
    std::function<void()> done;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Request> requests;  ///< at most one for each connection that is being drained
  asio::any_io_executor executor;
  bool stopped = false;
};

Canceller::~Canceller() {
  if (!state_) return;
  std::deque<State::Request> left;  // callbacks end on this thread, like what they hold
  const std::lock_guard lock(state_->mutex);
  state_->stopped = true;
  state_->executor = {};
  left.swap(state_->requests);
  state_->changed.notify_one();
}

void Canceller::send(CancelHandle cancel, std::function<void()> done) {
  if (!state_) {
    state_ = std::make_shared<State>();
    state_->executor = executor_;
    std::thread([state = state_] { work(state); }).detach();
  }
  const std::lock_guard lock(state_->mutex);
  state_->requests.push_back({std::move(cancel), std::move(done)});
  state_->changed.notify_one();
}

void Canceller::work(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->stopped || !state->requests.empty(); });
    if (state->stopped) return;
    auto request = std::move(state->requests.front());
    state->requests.pop_front();
    lock.unlock();
    char ignored[256];
    PQcancel(request.cancel.get(), ignored, sizeof ignored);
    lock.lock();
    // Posted under the lock: once `stopped` is set the loop may be gone.
    if (!state->stopped) asio::post(state->executor, std::move(request.done));
  }
}

}  // namespace intra365::postgres
