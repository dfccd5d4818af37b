#include "cel/value.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <functional>

namespace intra365::cel {
namespace {

namespace bj = boost::json;

Value make(Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}

template <class Number>
int order_of(Number a, Number b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/// A double against an integer, without rounding either.
bool compare_real(double real, bool negative, std::uint64_t magnitude, int& order) {
  if (std::isnan(real)) return false;
  if (real >= 18446744073709551616.0) return order = 1, true;
  if (real <= -18446744073709551616.0) return order = -1, true;
  const double floor = std::floor(real);
  const bool below = floor < 0;
  const auto whole = static_cast<std::uint64_t>(std::fabs(floor));
  if (below != negative) {
    order = below ? -1 : 1;
  } else {
    order = order_of(whole, magnitude);
    if (negative) order = -order;
  }
  if (order == 0 && real > floor) order = 1;
  return true;
}

bool compare_numbers(const Value& a, const Value& b, int& order) {
  const auto parts = [](const Value& value, bool& negative) {
    negative = value.kind == Kind::integer && value.integer < 0;
    return negative ? std::uint64_t{0} - static_cast<std::uint64_t>(value.integer) : value.unsigned_integer;
  };
  if (a.kind == Kind::real && b.kind == Kind::real) {
    order = order_of(a.real, b.real);
    return !std::isnan(a.real) && !std::isnan(b.real);
  }
  bool negative_a = false, negative_b = false;
  if (a.kind == Kind::real) {
    const auto magnitude = parts(b, negative_b);
    return compare_real(a.real, negative_b, magnitude, order);
  }
  if (b.kind == Kind::real) {
    const auto magnitude = parts(a, negative_a);
    if (!compare_real(b.real, negative_a, magnitude, order)) return false;
    order = -order;
    return true;
  }
  const auto left = parts(a, negative_a), right = parts(b, negative_b);
  order = negative_a != negative_b ? (negative_a ? -1 : 1)
          : negative_a             ? order_of(right, left)
                                   : order_of(left, right);
  return true;
}

bool equal_maps(const Value& a, const Value& b) {
  if (a.length() != b.length()) return false;
  for (std::size_t i = 0; i < a.length(); ++i) {
    const auto entry = a.entry(i);
    Value other;
    if (!b.find(entry.key, other) || !equal(entry.value, other)) return false;
  }
  return true;
}

/// Maps above this have an index behind their entries: see `Value::map`.
constexpr std::size_t kIndexed = 16;

}  // namespace

std::string_view type_name(Kind kind) {
  constexpr std::string_view names[] = {"null_type",
                                        "bool",
                                        "int",
                                        "uint",
                                        "double",
                                        "string",
                                        "bytes",
                                        "list",
                                        "map",
                                        "google.protobuf.Timestamp",
                                        "google.protobuf.Duration",
                                        "type",
                                        "optional_type",
                                        "error"};
  return names[static_cast<int>(kind)];
}

Value Value::of(bool value) {
  auto made = make(Kind::boolean);
  made.integer = 0;
  made.boolean = value;
  return made;
}
Value Value::of(std::int64_t value) {
  auto made = make(Kind::integer);
  made.integer = value;
  return made;
}
Value Value::of(std::uint64_t value) {
  auto made = make(Kind::unsigned_integer);
  made.unsigned_integer = value;
  return made;
}
Value Value::of(double value) {
  auto made = make(Kind::real);
  made.real = value;
  return made;
}
Value Value::string(std::string_view text) {
  auto made = make(Kind::string);
  made.text = text.data();
  made.size = text.size();
  return made;
}
Value Value::bytes(std::string_view text) {
  auto made = string(text);
  made.kind = Kind::bytes;
  return made;
}
Value Value::type(std::string_view name) {
  auto made = string(name);
  made.kind = Kind::type;
  return made;
}
Value Value::timestamp(std::int64_t seconds, std::uint32_t nanos) {
  auto made = make(Kind::timestamp);
  made.integer = seconds;
  made.nanos = nanos;
  return made;
}
Value Value::duration(std::int64_t nanoseconds) {
  auto made = make(Kind::duration);
  made.integer = nanoseconds;
  return made;
}
Value Value::list(std::span<const Value> items) {
  auto made = make(Kind::list);
  made.items = items.data();
  made.size = items.size();
  return made;
}
Value Value::map(std::span<const Entry> entries) {
  auto made = make(Kind::map);
  made.entries = entries.data();
  made.size = entries.size();
  return made;
}
Value Value::optional(const Value* held) {
  auto made = make(Kind::optional);
  made.items = held;
  return made;
}
Value Value::error(const Problem* problem) {
  auto made = make(Kind::error);
  made.problem = problem;
  return made;
}

Value Value::of(const bj::value& document) {
  switch (document.kind()) {
    case bj::kind::null:
      return {};
    case bj::kind::bool_:
      return of(document.get_bool());
    case bj::kind::int64:
      return of(std::int64_t{document.get_int64()});
    case bj::kind::uint64:
      return of(std::uint64_t{document.get_uint64()});
    case bj::kind::double_:
      return of(document.get_double());
    case bj::kind::string:
      return string(document.get_string());
    case bj::kind::array: {
      auto made = make(Kind::list);
      made.is_json = true;
      made.json_array = &document.get_array();
      return made;
    }
    case bj::kind::object: {
      auto made = make(Kind::map);
      made.is_json = true;
      made.json_object = &document.get_object();
      return made;
    }
  }
  return {};
}

std::size_t Value::length() const {
  if (!is_json) return size;
  return kind == Kind::list ? json_array->size() : json_object->size();
}

Value Value::at(std::size_t index) const {
  return is_json ? of((*json_array)[index]) : items[index];
}

Entry Value::entry(std::size_t index) const {
  if (!is_json) return entries[index];
  const auto& item = *(json_object->begin() + static_cast<std::ptrdiff_t>(index));
  return {string(item.key()), of(item.value())};
}

bool Value::find(const Value& key, Value& found) const {
  if (is_json) {
    const auto* member = key.kind == Kind::string ? json_object->if_contains(key.view()) : nullptr;
    if (member == nullptr) return false;
    found = of(*member);
    return true;
  }
  if (size > kIndexed && nanos != 0) {
    // An index stands behind the entries: places plus one, by hash.
    const auto* index = reinterpret_cast<const std::uint32_t*>(entries + size);
    const std::uint32_t mask = nanos - 1;
    for (auto slot = static_cast<std::uint32_t>(hash_key(key)) & mask; index[slot] != 0;
         slot = (slot + 1) & mask) {
      const auto& entry = entries[index[slot] - 1];
      if (equal(entry.key, key)) return found = entry.value, true;
    }
    return false;
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (equal(entries[i].key, key)) return found = entries[i].value, true;
  }
  return false;
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    int order = 1;
    return compare_numbers(a, b, order) && order == 0;
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::null:
      return true;
    case Kind::boolean:
      return a.boolean == b.boolean;
    case Kind::string:
    case Kind::bytes:
    case Kind::type:
      return a.view() == b.view();
    case Kind::timestamp:
      return a.integer == b.integer && a.nanos == b.nanos;
    case Kind::duration:
      return a.integer == b.integer;
    case Kind::list: {
      const auto length = a.length();
      if (length != b.length()) return false;
      for (std::size_t i = 0; i < length; ++i) {
        if (!equal(a.at(i), b.at(i))) return false;
      }
      return true;
    }
    case Kind::map:
      return equal_maps(a, b);
    case Kind::optional:
      return a.items == nullptr || b.items == nullptr ? a.items == b.items : equal(*a.items, *b.items);
    default:
      return false;
  }
}

bool compare(const Value& a, const Value& b, int& order) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b, order);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::boolean:
      order = int{a.boolean} - int{b.boolean};
      return true;
    case Kind::string:
    case Kind::bytes:
      order = a.view().compare(b.view());
      order = order < 0 ? -1 : order > 0 ? 1 : 0;
      return true;
    case Kind::timestamp:
      order = a.integer != b.integer ? order_of(a.integer, b.integer) : order_of(a.nanos, b.nanos);
      return true;
    case Kind::duration:
      order = order_of(a.integer, b.integer);
      return true;
    default:
      return false;
  }
}

std::uint64_t hash_key(const Value& key) {
  const auto mix = [](std::uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdull;
    return value ^ (value >> 33);
  };
  if (key.kind == Kind::real) {
    if (key.real == std::floor(key.real) && std::fabs(key.real) < 9.2e18)
      return mix(static_cast<std::uint64_t>(static_cast<std::int64_t>(key.real)));
    return key.real >= 0 && key.real < 1.8446744073709552e19 && key.real == std::floor(key.real)
               ? mix(static_cast<std::uint64_t>(key.real))
               : 0;
  }
  if (key.kind == Kind::string) return std::hash<std::string_view>{}(key.view());
  return mix(key.unsigned_integer);
}

std::string double_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // The shortest digits that read back the same; plain notation for exponents from -4 to 20.
  char buffer[40] = {};
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer - 1, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(scientific.ptr - buffer));
  const int exponent = std::atoi(buffer + text.find('e') + 1);  // ends with the buffer's zeros
  if (exponent < -4 || exponent >= 21) return std::string(text);
  char plain[400];
  const auto end = std::to_chars(plain, plain + sizeof plain, value, std::chars_format::fixed).ptr;
  return {plain, static_cast<std::size_t>(end - plain)};
}

std::string duration_text(std::int64_t nanoseconds) {
  const bool negative = nanoseconds < 0;
  const auto magnitude = negative ? std::uint64_t{0} - static_cast<std::uint64_t>(nanoseconds)
                                  : static_cast<std::uint64_t>(nanoseconds);
  std::string text = (negative ? "-" : "") + std::to_string(magnitude / 1'000'000'000);
  if (auto fraction = magnitude % 1'000'000'000; fraction != 0) {
    auto digits = std::to_string(1'000'000'000 + fraction).substr(1);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text + "s";
}

std::string timestamp_text(std::int64_t seconds, std::uint32_t nanos) {
  using namespace std::chrono;
  const sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  char buffer[40];
  const int length = std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02d:%02d:%02d", int(date.year()),
                                   unsigned(date.month()), unsigned(date.day()), int(clock.hours().count()),
                                   int(clock.minutes().count()), int(clock.seconds().count()));
  std::string text(buffer, static_cast<std::size_t>(length));
  if (nanos != 0) {
    auto digits = std::to_string(1'000'000'000u + nanos).substr(1);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text + "Z";
}

std::string to_text(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::unsigned_integer:
      return std::to_string(value.unsigned_integer);
    case Kind::real:
      return double_text(value.real);
    case Kind::string:
    case Kind::bytes:
    case Kind::type:
      return std::string(value.view());
    case Kind::timestamp:
      return timestamp_text(value.integer, value.nanos);
    case Kind::duration:
      return duration_text(value.integer);
    case Kind::error:
      return std::string(value.problem->message);
    default:
      return bj::serialize(to_json(value));
  }
}

}  // namespace intra365::cel
