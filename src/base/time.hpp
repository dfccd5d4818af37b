// Wall-clock and monotonic time, handed in as an argument so that tests can move it.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365 {

/// Wall-clock time in UTC, in microseconds: what PostgreSQL stores and RFC 3339 prints.
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;
/// Monotonic time: deadlines, latencies.
using SteadyTime = std::chrono::steady_clock::time_point;

/// Monotonic time that goes on while the machine sleeps (CLOCK_BOOTTIME), which steady_clock does not: how
/// old something is that another machine may have changed meanwhile. Timers cannot wait by it.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};
using BootTime = BootClock::time_point;

/// One moment by two clocks: one that may be set, and one that only goes on.
struct Instant {
  Timestamp wall;
  BootTime boot;
};

/// Where a component gets its time from.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp now() const = 0;
  virtual SteadyTime steady_now() const = 0;
  virtual BootTime boot_now() const = 0;
  Instant instant() const { return {now(), boot_now()}; }
};

/// The machine's clocks; lives as long as the program.
const Clock& system_clock();

/// A clock that stands still until it is moved.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Timestamp start) : now_(start) {}
  Timestamp now() const override { return now_; }
  SteadyTime steady_now() const override { return steady_; }
  BootTime boot_now() const override { return boot_; }
  void advance(std::chrono::microseconds by) {
    now_ += by;
    steady_ += by;
    boot_ += by;
  }
  /// Sets the wall clock alone.
  void set(Timestamp now) { now_ = now; }

 private:
  Timestamp now_;
  SteadyTime steady_{};
  BootTime boot_{};
};

/// `2026-10-29T10:00:00Z`, with up to six digits of a fraction where there is one.
std::string format_rfc3339(Timestamp time);
/// Reads RFC 3339 with `Z` or a numeric offset, years 1970 to 9999, at most nine fraction digits
/// (rounded down to microseconds). Fails with `request.bad_time`.
Result<Timestamp> parse_rfc3339(std::string_view text);

/// Seconds since 1970, as JWT claims count them.
std::int64_t unix_seconds(Timestamp time);
Timestamp from_unix_seconds(std::int64_t seconds);

}  // namespace intra365
