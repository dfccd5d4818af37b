#include "base/time.hpp"

#include <time.h>

#include <charconv>
#include <cstdio>

namespace intra365 {
namespace {

using namespace std::chrono;

class SystemClock final : public Clock {
 public:
  Timestamp now() const override { return time_point_cast<microseconds>(std::chrono::system_clock::now()); }
  SteadyTime steady_now() const override { return steady_clock::now(); }
  BootTime boot_now() const override { return BootClock::now(); }
};

/// Takes exactly `digits` digits from the front of `text`.
bool take_number(std::string_view& text, std::size_t digits, int& value) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc{} || end != text.data() + digits || text[0] == '-') return false;
  text.remove_prefix(digits);
  return true;
}

bool take_char(std::string_view& text, std::string_view allowed) {
  if (text.empty() || allowed.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

bool take_fraction(std::string_view& text, microseconds& fraction) {
  if (text.empty() || text[0] != '.') return true;
  text.remove_prefix(1);
  std::int64_t value = 0;
  std::size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    if (digits < 6) value = value * 10 + (text[digits] - '0');
  }
  if (digits == 0 || digits > 9) return false;
  for (std::size_t i = digits; i < 6; ++i) value *= 10;
  fraction = microseconds(value);
  text.remove_prefix(digits);
  return true;
}

bool take_offset(std::string_view& text, minutes& offset) {
  if (take_char(text, "Zz")) return true;
  if (text.empty()) return false;
  const bool behind = text[0] == '-';
  int hour = 0, minute = 0;
  if (!take_char(text, "+-") || !take_number(text, 2, hour) || !take_char(text, ":") ||
      !take_number(text, 2, minute))
    return false;
  if (hour > 23 || minute > 59) return false;
  offset = minutes((behind ? -1 : 1) * (hour * 60 + minute));
  return true;
}

}  // namespace

BootTime BootClock::now() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return BootTime(seconds(time.tv_sec) + nanoseconds(time.tv_nsec));
}

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_rfc3339(Timestamp time) {
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss of_day(time - day);
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(of_day.hours().count()), static_cast<int>(of_day.minutes().count()),
                static_cast<int>(of_day.seconds().count()));
  std::string result(text);
  if (const auto fraction = of_day.subseconds().count(); fraction != 0) {
    std::snprintf(text, sizeof text, ".%06lld", static_cast<long long>(fraction));
    result += text;
    while (result.back() == '0') result.pop_back();
  }
  return result + "Z";
}

Result<Timestamp> parse_rfc3339(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  microseconds fraction{};
  minutes offset{};
  const bool well_formed = take_number(text, 4, year) && take_char(text, "-") &&
                           take_number(text, 2, month) && take_char(text, "-") && take_number(text, 2, day) &&
                           take_char(text, "Tt ") && take_number(text, 2, hour) && take_char(text, ":") &&
                           take_number(text, 2, minute) && take_char(text, ":") &&
                           take_number(text, 2, second) && take_fraction(text, fraction) &&
                           take_offset(text, offset) && text.empty();
  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day))};
  if (!well_formed || !date.ok() || year < 1970 || hour > 23 || minute > 59 || second > 59)
    return fail(errors::bad_time);
  return Timestamp(sys_days(date)) + hours(hour) + minutes(minute) + seconds(second) + fraction - offset;
}

std::int64_t unix_seconds(Timestamp time) {
  return floor<seconds>(time).time_since_epoch().count();
}
Timestamp from_unix_seconds(std::int64_t count) {
  return Timestamp(seconds(count));
}

}  // namespace intra365
