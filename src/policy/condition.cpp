#include "policy/condition.hpp"

#include <algorithm>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>

namespace intra365::policy {
namespace {

namespace bj = boost::json;

bool same(const bj::value& a, const bj::value& b) {
  const auto left = Scalar::of(a);
  return left.kind != Scalar::Kind::none && left == Scalar::of(b);
}

/// Equal, or a list that contains it.
bool matches(const bj::value& actual, const bj::value& wanted) {
  if (const auto* list = actual.if_array())
    return std::ranges::any_of(*list, [&](const bj::value& one) { return same(one, wanted); });
  return same(actual, wanted);
}

Truth truth(bool yes) {
  return yes ? Truth::yes : Truth::no;
}

/// -1, 0 or 1. The 64 bits of a long double's mantissa hold every integer that JSON can carry here.
int compare_numbers(const bj::value& a, const bj::value& b) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  const auto number = [](const bj::value& value) -> long double {
    return value.is_int64()    ? static_cast<long double>(value.get_int64())
           : value.is_uint64() ? static_cast<long double>(value.get_uint64())
                               : static_cast<long double>(value.get_double());
  };
  const auto left = number(a), right = number(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

Truth ordered(Operator op, int order) {
  switch (op) {
    case Operator::lt:
      return truth(order < 0);
    case Operator::lte:
      return truth(order <= 0);
    case Operator::gt:
      return truth(order > 0);
    default:
      return truth(order >= 0);
  }
}

std::optional<Operator> operator_named(std::string_view name) {
  std::optional<Operator> found;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<Operator>>([&](auto one) {
    if (name == one.name) found = one.value;
  });
  return found;
}

Result<void> check_scalar(const bj::value& value, const Pointer& at) {
  if (Scalar::of(value).kind == Scalar::Kind::none)
    return at.refuse("a string, a number, true, false or null is expected");
  if (value.is_string() && value.get_string().size() > limits::kOperandLength)
    return at.refuse("a string has at most 4096 characters");
  return {};
}

Result<void> check_list(const bj::value& value, const Pointer& at) {
  const auto* list = value.if_array();
  if (list == nullptr) return at.refuse("a list is expected");
  if (list->empty() || list->size() > limits::kOperandItems) return at.refuse("a list has 1 to 1000 values");
  for (std::size_t i = 0; i < list->size(); ++i) CHECK(check_scalar((*list)[i], Pointer(at, i)));
  return {};
}

Result<void> compile_operator(Condition& condition, const Pointer& at) {
  const auto& operand = *condition.operand;
  switch (condition.op) {
    case Operator::equals:
    case Operator::notEquals:
      return check_scalar(operand, at);
    case Operator::in:
    case Operator::notIn:
      return check_list(operand, at);
    case Operator::prefix:
    case Operator::suffix:
      if (!operand.is_string()) return at.refuse("a string is expected");
      return check_scalar(operand, at);
    case Operator::contains:
      return check_scalar(operand, at);
    case Operator::exists:
      if (!operand.is_bool()) return at.refuse("true or false is expected");
      return {};
    case Operator::cidr: {
      const auto add = [&](const bj::value& one, const Pointer& where) -> Result<void> {
        if (!one.is_string()) return where.refuse("an address block such as 10.0.0.0/8 is expected");
        TRY(const auto block, AddressBlock::parse(one.get_string(), where));
        condition.blocks.push_back(block);
        return {};
      };
      const auto* list = operand.if_array();
      if (list == nullptr) return add(operand, at);
      CHECK(check_list(operand, at));
      for (std::size_t i = 0; i < list->size(); ++i) CHECK(add((*list)[i], Pointer(at, i)));
      return {};
    }
    default:
      if (operand.is_number()) return {};
      if (const auto* text = operand.if_string()) {
        const auto time = parse_rfc3339(*text);
        if (time) {
          condition.time = *time;
          return {};
        }
      }
      return at.refuse("a number or a time such as 2026-10-29T10:00:00Z is expected");
  }
}

}  // namespace

std::string_view to_string(Operator op) {
  std::string_view name;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<Operator>>([&](auto one) {
    if (op == one.value) name = one.name;
  });
  return name;
}

Truth Condition::check(const bj::value* actual) const {
  if (op == Operator::exists) return truth((actual != nullptr) == operand->get_bool());
  if (actual == nullptr) return Truth::missing;
  if (const auto* list = actual->if_array(); list != nullptr && list->size() > limits::kAttributeItems)
    return Truth::wrong_type;
  const auto* text = actual->if_string();
  const auto one_of = [&] {
    return std::ranges::any_of(operand->get_array(),
                               [&](const bj::value& wanted) { return matches(*actual, wanted); });
  };
  switch (op) {
    case Operator::equals:
      return truth(matches(*actual, *operand));
    case Operator::notEquals:
      return truth(!matches(*actual, *operand));
    case Operator::in:
      return truth(one_of());
    case Operator::notIn:
      return truth(!one_of());
    case Operator::prefix:
    case Operator::suffix: {
      if (text == nullptr) return Truth::wrong_type;
      const std::string_view view(*text), part(operand->get_string());
      return truth(op == Operator::prefix ? view.starts_with(part) : view.ends_with(part));
    }
    case Operator::contains:
      if (actual->is_array()) return truth(matches(*actual, *operand));
      if (text == nullptr || !operand->is_string()) return Truth::wrong_type;
      return truth(std::string_view(*text).find(operand->get_string()) != std::string_view::npos);
    case Operator::cidr: {
      const auto address = text == nullptr ? std::nullopt : parse_address(*text);
      if (!address) return Truth::wrong_type;
      return truth(
          std::ranges::any_of(blocks, [&](const AddressBlock& block) { return block.contains(*address); }));
    }
    default: {
      if (!time) {
        if (!actual->is_number()) return Truth::wrong_type;
        return ordered(op, compare_numbers(*actual, *operand));
      }
      const auto when = text == nullptr ? std::nullopt : std::optional(parse_rfc3339(*text));
      if (!when || !*when) return Truth::wrong_type;
      return ordered(op, **when < *time ? -1 : **when > *time ? 1 : 0);
    }
  }
}

Result<void> compile_conditions(std::string_view path, const bj::value& expected, const Pointer& at,
                                std::vector<Condition>& into) {
  TRY(const auto parsed, AttributePath::parse(path, at));
  const auto add = [&](Operator op, const bj::value& operand, const Pointer& where) -> Result<void> {
    Condition condition;
    condition.path = parsed;
    condition.op = op;
    condition.operand = &operand;
    CHECK(compile_operator(condition, where));
    into.push_back(std::move(condition));
    return {};
  };
  if (expected.is_array()) return add(Operator::in, expected, at);
  const auto* operators = expected.if_object();
  if (operators == nullptr) return add(Operator::equals, expected, at);
  if (operators->empty()) return at.refuse("an object of operators has at least one");
  for (const auto& item : *operators) {
    const Pointer where(at, item.key());
    const auto op = operator_named(item.key());
    if (!op)
      return where.refuse(
          "not an operator: equals, notEquals, in, notIn, prefix, suffix, contains, cidr, lt, lte, gt, gte "
          "or "
          "exists");
    CHECK(add(*op, item.value(), where));
  }
  return {};
}

}  // namespace intra365::policy
