// PostgreSQL's text forms that need more than a line: timestamptz, bytea, jsonb, arrays.
#include "postgres/convert.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdio>

namespace intra365::postgres::detail {
namespace {

using namespace std::chrono;

constexpr std::size_t kMaxArrayElements = 1'000'000;
/// What std::chrono's calendar holds; PostgreSQL's own ends at 4713 BC and AD 294276.
constexpr Timestamp kEarliest = sys_days(year(-32'000) / 1 / 1), kLatest = sys_days(year(32'000) / 1 / 1);

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Takes digits from the front, at least one and at most `limit`.
bool take_digits(std::string_view& text, std::size_t limit, int& value) {
  std::size_t count = 0;
  value = 0;
  while (count < text.size() && count < limit && is_digit(text[count]))
    value = value * 10 + (text[count++] - '0');
  text.remove_prefix(count);
  return count > 0;
}

bool take(std::string_view& text, char expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(1);
  return true;
}

bool take_time_of_day(std::string_view& text, microseconds& time) {
  int hour, minute, second;
  if (!take_digits(text, 2, hour) || !take(text, ':') || !take_digits(text, 2, minute) || !take(text, ':') ||
      !take_digits(text, 2, second) || hour > 24 || minute > 59 || second > 60) {
    return false;
  }
  time = hours(hour) + minutes(minute) + seconds(second);
  if (take(text, '.')) {
    int unit = 100'000, fraction = 0;
    if (text.empty() || !is_digit(text[0])) return false;
    for (; !text.empty() && is_digit(text[0]); text.remove_prefix(1), unit /= 10)
      fraction += (text[0] - '0') * unit;
    time += microseconds(fraction);
  }
  return true;
}

/// `+00`, `-05:30`, `+01:15:02`; absent for a timestamp without time zone, which is then UTC.
bool take_offset(std::string_view& text, seconds& offset) {
  offset = seconds(0);
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return true;
  const int sign = text[0] == '-' ? -1 : 1;
  text.remove_prefix(1);
  int hour, minute = 0, second = 0;
  if (!take_digits(text, 2, hour)) return false;
  if (take(text, ':') && !take_digits(text, 2, minute)) return false;
  if (take(text, ':') && !take_digits(text, 2, second)) return false;
  offset = sign * (hours(hour) + minutes(minute) + seconds(second));
  return true;
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string write_double(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return std::string(buffer.data(), end);
}

bool read_double(std::string_view text, double& value) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);  // knows NaN and Infinity
  return parsed.ec == std::errc{} && parsed.ptr == end;
}

// Times outside the calendar stand for PostgreSQL's 'infinity', which has no other C++ counterpart.
std::string write_timestamp(Timestamp value) {
  if (value >= kLatest) return "infinity";
  if (value < kEarliest) return "-infinity";
  const auto day = floor<days>(value);
  const year_month_day date(day);
  const hh_mm_ss time(value - day);
  const int year = static_cast<int>(date.year());
  std::array<char, 64> text;
  const int size = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02u %02d:%02d:%02d.%06d+00%s", year > 0 ? year : 1 - year,
      unsigned(date.month()), unsigned(date.day()), int(time.hours().count()), int(time.minutes().count()),
      int(time.seconds().count()), int(time.subseconds().count()), year > 0 ? "" : " BC");
  return std::string(text.data(), static_cast<std::size_t>(size));
}

bool read_timestamp(std::string_view text, Timestamp& value) {
  if (text == "infinity") {
    value = Timestamp::max();
    return true;
  }
  if (text == "-infinity") {
    value = Timestamp::min();
    return true;
  }
  int y, m, d;
  if (!take_digits(text, 6, y) || !take(text, '-') || !take_digits(text, 2, m) || !take(text, '-') ||
      !take_digits(text, 2, d)) {
    return false;
  }
  microseconds time{0};
  seconds offset{0};
  if (take(text, ' ') && (!take_time_of_day(text, time) || !take_offset(text, offset))) return false;
  if (text == " BC") {
    y = 1 - y;
    text = {};
  }
  if (!text.empty() || y > 32'000 || y < -32'000) return false;
  const year_month_day date{year(y), month(unsigned(m)), day(unsigned(d))};
  if (!date.ok()) return false;
  value = Timestamp(sys_days(date)) + time - offset;
  return value >= kEarliest && value < kLatest;
}

std::string write_bytes(std::string_view value) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\\x";
  out.reserve(2 + 2 * value.size());
  for (const unsigned char byte : value) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

bool read_bytes(std::string_view text, std::string& value) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return false;
  value.clear();
  value.reserve(text.size() / 2);
  for (std::size_t i = 2; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    value += static_cast<char>(high << 4 | low);
  }
  return true;
}

std::string write_json(const boost::json::value& value) {
  return boost::json::serialize(value);
}

bool read_json(std::string_view text, boost::json::value& value) {
  boost::system::error_code error;
  boost::json::parse_options options;
  options.max_depth = 64;
  value = boost::json::parse({text.data(), text.size()}, error, {}, options);
  return !error;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

bool read_array(std::string_view text, std::vector<std::optional<std::string>>& elements) {
  elements.clear();
  if (text.starts_with('[')) {  // `[2:4]={…}`: a lower bound other than one
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return false;
    text.remove_prefix(equals + 1);
  }
  if (text.size() < 2 || !text.starts_with('{') || !text.ends_with('}')) return false;
  text = text.substr(1, text.size() - 2);
  if (text.empty()) return true;
  for (;;) {
    if (elements.size() >= kMaxArrayElements) return false;
    std::string element;
    if (take(text, '"')) {
      for (;;) {
        if (text.empty()) return false;
        char c = text[0];
        text.remove_prefix(1);
        if (c == '"') break;
        if (c == '\\') {
          if (text.empty()) return false;
          c = text[0];
          text.remove_prefix(1);
        }
        element += c;
      }
      elements.emplace_back(std::move(element));
    } else {
      const auto end = std::min(text.find(','), text.size());
      const auto bare = text.substr(0, end);
      // A brace would be a second dimension, which no member type can hold.
      if (bare.empty() || bare.find_first_of("{}\"\\") != std::string_view::npos) return false;
      text.remove_prefix(end);
      if (bare == "NULL") {
        elements.emplace_back(std::nullopt);
      } else {
        elements.emplace_back(std::string(bare));
      }
    }
    if (text.empty()) return true;
    if (!take(text, ',')) return false;
  }
}

Failure missing_column(std::string_view name) {
  return fail(errors::bad_row, "the column '" + std::string(name) + "' is missing");
}

Failure bad_value(std::string_view column, std::size_t row, bool null) {
  return fail(errors::bad_row, "the column '" + std::string(column) + "' of row " + std::to_string(row) +
                                   (null ? " is NULL" : " does not have the expected type"));
}

std::size_t find_column(const Rows& rows, std::string_view name) {
  for (std::size_t column = 0; column < rows.columns(); ++column) {
    if (rows.column_name(column) == name) return column;
  }
  return rows.columns();
}

}  // namespace intra365::postgres::detail
