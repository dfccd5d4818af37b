#include "crypto/canonical_json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "crypto/json_writer.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;

/// Order of UTF-16 units. It differs from the order of UTF-8 bytes only where one text has a surrogate pair
/// (from U+10000, first byte F0 and above) and the other a unit above the surrogates (U+E000 to U+FFFF, first
/// byte EE or EF).
bool before_in_utf16(std::string_view a, std::string_view b) {
  const auto [left, right] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (left == a.end() || right == b.end()) return left == a.end() && right != b.end();
  const auto unit = [](char byte) {
    const auto value = static_cast<unsigned char>(byte);
    return value >= 0xEE && value < 0xF0 ? value + 0x100 : static_cast<int>(value);
  };
  return unit(*left) < unit(*right);
}

/// ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20) from the shortest digits that read back the same.
std::string number_text(double number) {
  if (number == 0) return "0";  // -0 as well
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(number),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const auto e = text.find('e');
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  auto exponent_text = text.substr(e + 1);
  if (exponent_text.front() == '+') exponent_text.remove_prefix(1);
  int exponent = 0;
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  const int point = exponent + 1;  // how many digits stand before the decimal point
  const int count = static_cast<int>(digits.size());
  std::string result;
  if (point > 21 || point <= -6) {
    result = digits.substr(0, 1);
    if (count > 1) result += "." + digits.substr(1);
    result += std::string("e") + (exponent < 0 ? "-" : "+") + std::to_string(std::abs(exponent));
  } else if (point <= 0) {
    result = "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else if (count <= point) {
    result = digits + std::string(static_cast<std::size_t>(point - count), '0');
  } else {
    result = digits.substr(0, static_cast<std::size_t>(point)) + "." +
             digits.substr(static_cast<std::size_t>(point));
  }
  return number < 0 ? "-" + result : result;
}

void write(JsonWriter& out, const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::null:
      out.raw("null");
      break;
    case bj::kind::bool_:
      out.boolean(value.get_bool());
      break;
    case bj::kind::int64:
      out.value(value.get_int64());
      break;
    case bj::kind::uint64:
      out.raw(std::to_string(value.get_uint64()));
      break;
    case bj::kind::double_:
      out.raw(number_text(value.get_double()));
      break;
    case bj::kind::string:
      out.value(std::string_view(value.get_string()));
      break;
    case bj::kind::array:
      out.begin_array();
      for (const auto& item : value.get_array()) write(out, item);
      out.end_array();
      break;
    case bj::kind::object: {
      std::vector<const bj::key_value_pair*> members;
      for (const auto& member : value.get_object()) members.push_back(&member);
      std::ranges::sort(members,
                        [](const auto* a, const auto* b) { return before_in_utf16(a->key(), b->key()); });
      out.begin_object();
      for (const auto* member : members) {
        out.key(member->key());
        write(out, member->value());
      }
      out.end_object();
      break;
    }
  }
}

}  // namespace

std::string canonical_json(const boost::json::value& value) {
  JsonWriter out;
  write(out, value);
  return out.text();
}

}  // namespace intra365::crypto
