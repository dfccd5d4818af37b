// Times and durations: reading them, and their parts in a time zone.
#include <chrono>

#include "cel/function_support.hpp"
#include "cel/time_zone.hpp"

namespace intra365::cel {

Value read_timestamp(Evaluation& evaluation, std::string_view text);
Value read_duration(Evaluation& evaluation, std::string_view text);

namespace {

using namespace std::chrono;

bool take_number(std::string_view& text, std::size_t digits, std::int64_t& number) {
  if (text.size() < digits) return false;
  number = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool take_symbol(std::string_view& text, std::string_view symbols) {
  if (text.empty() || symbols.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// Up to nine digits behind a point, as nanoseconds.
bool take_fraction(std::string_view& text, std::int64_t& nanos) {
  nanos = 0;
  std::int64_t scale = 100'000'000;
  std::size_t digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits) {
    nanos += (text.front() - '0') * scale;
    scale /= 10;
  }
  return digits > 0 && digits <= 9;
}

/// A moment in the zone that the second argument names, UTC without one.
bool local_time(Arguments a, std::int64_t& seconds) {
  seconds = a[0].integer;
  std::int64_t offset = 0;
  if (a.size() == 2 && !utc_offset(a[1].view(), seconds, offset)) return false;
  seconds += offset;
  return true;
}

enum class Part { year, month, date, day_of_month, day_of_week, day_of_year, hours, minutes, seconds };

template <Part part>
Value part_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a.size() == 1 && a[0].kind == Kind::duration) {
    const auto whole = a[0].integer / 1'000'000'000;
    if (part == Part::hours) return Value::of(std::int64_t{whole / 3600});
    if (part == Part::minutes) return Value::of(std::int64_t{whole / 60});
    if (part == Part::seconds) return Value::of(std::int64_t{whole});
  }
  if (!are(a, Kind::timestamp) && !are(a, Kind::timestamp, Kind::string))
    return evaluation.no_overload(node, a);
  std::int64_t local = 0;
  if (!local_time(a, local)) return evaluation.fail(Cause::bad_argument, "unknown time zone");
  const sys_seconds time{std::chrono::seconds(local)};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  const auto answer = [&]() -> std::int64_t {
    switch (part) {
      case Part::year:
        return int(date.year());
      case Part::month:
        return unsigned(date.month()) - 1;
      case Part::date:
        return unsigned(date.day());
      case Part::day_of_month:
        return unsigned(date.day()) - 1;
      case Part::day_of_week:
        return weekday(day).c_encoding();
      case Part::day_of_year:
        return (day - sys_days(date.year() / January / 1)).count();
      case Part::hours:
        return clock.hours().count();
      case Part::minutes:
        return clock.minutes().count();
      case Part::seconds:
        return clock.seconds().count();
    }
    return 0;
  };
  return Value::of(answer());
}

Value milliseconds_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (are(a, Kind::duration)) return Value::of(std::int64_t{a[0].integer / 1'000'000 % 1000});
  if (!are(a, Kind::timestamp) && !are(a, Kind::timestamp, Kind::string))
    return evaluation.no_overload(node, a);
  std::int64_t local = 0;
  if (!local_time(a, local)) return evaluation.fail(Cause::bad_argument, "unknown time zone");
  return Value::of(std::int64_t{a[0].nanos / 1'000'000});
}

constexpr FunctionEntry kFunctions[] = {
    {"getFullYear", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::year>},
    {"getMonth", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::month>},
    {"getDate", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::date>},
    {"getDayOfMonth", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::day_of_month>},
    {"getDayOfWeek", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::day_of_week>},
    {"getDayOfYear", CalledAs::receiver, "timestamp:int timestamp,string:int", part_of<Part::day_of_year>},
    {"getHours", CalledAs::receiver, "timestamp:int timestamp,string:int duration:int", part_of<Part::hours>},
    {"getMinutes", CalledAs::receiver, "timestamp:int timestamp,string:int duration:int",
     part_of<Part::minutes>},
    {"getSeconds", CalledAs::receiver, "timestamp:int timestamp,string:int duration:int",
     part_of<Part::seconds>},
    {"getMilliseconds", CalledAs::receiver, "timestamp:int timestamp,string:int duration:int",
     milliseconds_of},
};

}  // namespace

Value read_timestamp(Evaluation& evaluation, std::string_view text) {
  const auto refuse = [&] {
    return evaluation.fail(Cause::bad_argument, "not a timestamp in RFC 3339, or out of range");
  };
  std::int64_t y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, nanos = 0, oh = 0, om = 0;
  if (!take_number(text, 4, y) || !take_symbol(text, "-") || !take_number(text, 2, mo) ||
      !take_symbol(text, "-") || !take_number(text, 2, d) || !take_symbol(text, "Tt") ||
      !take_number(text, 2, h) || !take_symbol(text, ":") || !take_number(text, 2, mi) ||
      !take_symbol(text, ":") || !take_number(text, 2, s))
    return refuse();
  if (take_symbol(text, ".") && !take_fraction(text, nanos)) return refuse();
  if (!take_symbol(text, "Zz")) {
    const bool west = text.starts_with('-');
    if (!take_symbol(text, "+-") || !take_number(text, 2, oh) || !take_symbol(text, ":") ||
        !take_number(text, 2, om))
      return refuse();
    if (west) oh = -oh, om = -om;
  }
  const year_month_day date{year(int(y)), month(unsigned(mo)), day(unsigned(d))};
  if (!text.empty() || !date.ok() || h > 23 || mi > 59 || s > 59 || std::abs(oh) > 23 || std::abs(om) > 59)
    return refuse();
  const auto at = sys_days(date).time_since_epoch().count() * std::int64_t{86400} + h * 3600 + mi * 60 + s -
                  oh * 3600 - om * 60;
  if (at < -62135596800 || at > 253402300799) return evaluation.fail(Cause::range, "timestamp out of range");
  return Value::timestamp(at, static_cast<std::uint32_t>(nanos));
}

/// `1h30m`, `-1.5s`, `20ms`: numbers with units, a sign before all of them.
Value read_duration(Evaluation& evaluation, std::string_view text) {
  const auto refuse = [&] {
    return evaluation.fail(Cause::bad_argument, "not a duration such as 1h30m or 1.5s");
  };
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {{"ns", 1},
                                                                  {"us", 1'000},
                                                                  {"\u00b5s", 1'000},
                                                                  {"ms", 1'000'000},
                                                                  {"s", 1'000'000'000},
                                                                  {"m", 60'000'000'000},
                                                                  {"h", 3'600'000'000'000}};
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return Value::duration(0);
  if (text.empty()) return refuse();
  __extension__ using Wide = __int128;
  Wide total = 0;
  const Wide most = Wide{1} << 63;
  while (!text.empty()) {
    Wide whole = 0, part = 0, scale = 1;
    std::size_t digits = 0;
    const auto digit = [&] { return !text.empty() && text.front() >= '0' && text.front() <= '9'; };
    for (; digit(); text.remove_prefix(1), ++digits) {
      whole = whole * 10 + (text.front() - '0');
      if (whole > most) return evaluation.fail(Cause::range, "duration out of range");
    }
    if (take_symbol(text, ".")) {
      for (; digit(); text.remove_prefix(1), ++digits) {
        if (scale > Wide{1'000'000'000'000'000}) continue;  // below what a unit can show
        part = part * 10 + (text.front() - '0');
        scale *= 10;
      }
    }
    if (digits == 0) return refuse();
    const auto* unit =
        std::ranges::find_if(kUnits, [&](const auto& one) { return text.starts_with(one.first); });
    if (unit == std::end(kUnits)) return refuse();
    text.remove_prefix(unit->first.size());
    total += whole * unit->second + part * unit->second / scale;
    if (total > most) return evaluation.fail(Cause::range, "duration out of range");
  }
  if (negative) total = -total;
  if (total > INT64_MAX) return evaluation.fail(Cause::range, "duration out of range");
  return Value::duration(static_cast<std::int64_t>(total));
}

std::span<const FunctionEntry> time_functions() {
  return kFunctions;
}

}  // namespace intra365::cel
