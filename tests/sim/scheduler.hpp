// Virtual time, and what happens next: events of one moment happen in the order they were made.
#pragma once
#include <functional>
#include <queue>
#include <random>
#include <vector>

#include "base/time.hpp"

namespace intra365::sim {

using Micros = std::chrono::microseconds;
/// Faults happen until the first, the world runs until the second.
inline constexpr Micros kFaultsUntil = std::chrono::seconds(20), kEnd = std::chrono::seconds(24);
/// What the truth's clock says at the beginning.
inline constexpr Timestamp kWallStart{std::chrono::hours(24 * 365 * 56)};

class Scheduler {
 public:
  explicit Scheduler(std::uint64_t seed) : random_(seed) {}
  Micros now() const { return now_; }
  BootTime boot() const { return BootTime(now_); }
  /// By the truth's clock.
  Timestamp wall() const { return kWallStart + now_; }
  bool faulty() const { return now_ < kFaultsUntil; }
  void after(Micros delay, std::function<void()> what) {
    queue_.push({now_ + delay, next_++, std::move(what)});
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool chance(double probability) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability; }
  Micros between(Micros least, Micros most) {
    return least +
           Micros(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }
  template <class T>
  const T& pick(const std::vector<T>& of) {
    return of[below(of.size())];
  }
  bool step() {
    if (queue_.empty() || queue_.top().at > kEnd) return false;
    const auto what = queue_.top().what;
    now_ = queue_.top().at;
    queue_.pop();
    what();
    return true;
  }

 private:
  struct Event {
    Micros at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };
  std::mt19937_64 random_;
  Micros now_{0};
  std::uint64_t next_ = 0;
  std::priority_queue<Event> queue_;
};

}  // namespace intra365::sim
