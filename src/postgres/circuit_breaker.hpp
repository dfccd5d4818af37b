// Decides when a server that no longer answers is asked no more, and when it is tried again. Pure: the caller
// brings the time.
//
//   closed --(failures in a row, and silence)--> open --(a while)--> half open --(answer)--> closed
//                                                 ^------(no answer, a longer while)------|
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>

#include "async/task.hpp"

namespace intra365::postgres {

struct CircuitBreakerOptions {
  std::size_t failures = 5;  ///< calls without an answer, with no other answer between them; 0: never opens
  std::chrono::milliseconds silence{1000};              ///< and nothing was heard from the server for so long
  std::chrono::milliseconds open{250}, open_max{5000};  ///< before it is tried again; doubles
};

/// Owned by one pool; not thread-safe.
class CircuitBreaker {
 public:
  enum class State { closed, open, half_open };
  explicit CircuitBreaker(CircuitBreakerOptions options) : options_(options), next_open_(options.open) {}

  State state() const { return state_; }
  /// The server said something, whatever it was.
  void answered(SteadyTime now) {
    failures_ = 0;
    last_answer_ = now;
    state_ = State::closed;
    next_open_ = options_.open;
  }
  /// A call that was sent had no answer in time. True when that opens the circuit.
  bool unanswered(SteadyTime now) {
    if (state_ != State::closed || options_.failures == 0) return false;
    if (failures_++ == 0 && last_answer_ == SteadyTime{}) last_answer_ = now;
    if (failures_ < options_.failures || now - last_answer_ < options_.silence) return false;
    state_ = State::open;
    return true;
  }
  /// The one trial begins.
  void try_again() { state_ = State::half_open; }
  /// It failed.
  void still_away() {
    state_ = State::open;
    next_open_ = std::min(next_open_ * 2, options_.open_max);
  }
  /// How long it stays open before the next trial.
  std::chrono::milliseconds open_for() const { return next_open_; }

 private:
  CircuitBreakerOptions options_;
  State state_ = State::closed;
  std::size_t failures_ = 0;
  SteadyTime last_answer_{};
  std::chrono::milliseconds next_open_;
};

}  // namespace intra365::postgres
