// One condition of a rule: an attribute, an operator and what to compare with. Three-valued: a condition that
// cannot be evaluated is neither true nor false.
#pragma once
#include <array>
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "policy/attribute.hpp"

namespace intra365::policy {

/// What became of a condition. The last three are errors: a deny rule then denies, an allow rule does not
/// allow.
enum class Truth : std::uint8_t {
  no,
  yes,
  missing,     ///< the attribute is not in the request
  wrong_type,  ///< it is there, and not of a kind this operator compares
  failed,      ///< the `when` expression ended in an error
};
constexpr bool is_error(Truth truth) {
  return truth >= Truth::missing;
}

/// `equals` is what a bare value means, `in` what a bare list means. An attribute that is a list equals a
/// value that it contains. `contains` looks into a list, or into a string; `lt` … `gte` compare numbers, or
/// times in RFC 3339; `exists` alone is never an error.
enum class Operator : std::uint8_t {
  equals,
  notEquals,  // spelled as on the wire
  in,
  notIn,
  prefix,
  suffix,
  contains,
  cidr,
  lt,
  lte,
  gt,
  gte,
  exists,
};
BOOST_DESCRIBE_ENUM(Operator, equals, notEquals, in, notIn, prefix, suffix, contains, cidr, lt, lte, gt, gte,
                    exists)
std::string_view to_string(Operator op);

/// A block of IP addresses; IPv4 is kept as IPv4-mapped IPv6, so both forms of one address are the same.
struct AddressBlock {
  std::array<std::uint8_t, 16> address{};
  int prefix = 0;  ///< bits, 0 to 128
  static Result<AddressBlock> parse(std::string_view text, const Pointer& at);
  bool contains(const std::array<std::uint8_t, 16>& other) const;
};
/// Reads one address of either family; none when the text is not exactly one.
std::optional<std::array<std::uint8_t, 16>> parse_address(std::string_view text);

/// Views the policy it was compiled from; immutable.
struct Condition {
  AttributePath path;
  Operator op = Operator::equals;
  const boost::json::value* operand = nullptr;
  std::vector<AddressBlock> blocks;  ///< of `cidr`
  std::optional<Timestamp> time;     ///< of a comparison with a time

  /// Whether `actual` (none: the attribute is missing) satisfies it.
  Truth check(const boost::json::value* actual) const;
};

/// Compiles one entry of a conditions map: a value, a list, or an object of operators, all of which must
/// hold. Fails with `policy.invalid` and the place of what is ill-typed.
Result<void> compile_conditions(std::string_view path, const boost::json::value& expected, const Pointer& at,
                                std::vector<Condition>& into);

}  // namespace intra365::policy
