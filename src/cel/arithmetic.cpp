// Operators of two operands.
#include <cmath>

#include "cel/evaluation.hpp"

namespace intra365::cel {
namespace {

constexpr std::string_view kOverflow = "return error for overflow";
constexpr std::int64_t kFirstSecond = -62135596800, kLastSecond = 253402300799;  // years 1 to 9999

template <class Number>
Value whole(Evaluation& evaluation, Op op, Number a, Number b) {
  Number result{};
  bool overflow = false;
  switch (op) {
    case Op::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Op::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    default:
      if (b == 0)
        return evaluation.fail(Cause::divide_by_zero,
                               op == Op::divide ? "divide by zero" : "modulus by zero");
      if constexpr (std::is_signed_v<Number>) {
        if (a == std::numeric_limits<Number>::min() && b == -1) {
          overflow = true;
          break;
        }
      }
      result = op == Op::divide ? a / b : a % b;
  }
  return overflow ? evaluation.fail(Cause::range, kOverflow) : Value::of(result);
}

Value moved(Evaluation& evaluation, const Value& time, std::int64_t by, bool back) {
  // Seconds and nanoseconds apart, so that nothing overflows on the way.
  std::int64_t seconds = by / 1'000'000'000, nanos = by % 1'000'000'000;
  if (back) seconds = -seconds, nanos = -nanos;
  seconds += time.integer;
  nanos += time.nanos;
  if (nanos < 0) --seconds, nanos += 1'000'000'000;
  if (nanos >= 1'000'000'000) ++seconds, nanos -= 1'000'000'000;
  if (seconds < kFirstSecond || seconds > kLastSecond)
    return evaluation.fail(Cause::range, "timestamp out of range");
  return Value::timestamp(seconds, static_cast<std::uint32_t>(nanos));
}

Value between(Evaluation& evaluation, const Value& a, const Value& b) {
  std::int64_t nanoseconds = 0;
  const auto nanos = static_cast<std::int64_t>(a.nanos) - static_cast<std::int64_t>(b.nanos);
  if (__builtin_mul_overflow(a.integer - b.integer, std::int64_t{1'000'000'000}, &nanoseconds) ||
      __builtin_add_overflow(nanoseconds, nanos, &nanoseconds))
    return evaluation.fail(Cause::range, "duration out of range");
  return Value::duration(nanoseconds);
}

Value of_times(Evaluation& evaluation, const Node& node, const Value& a, const Value& b) {
  const bool plus = node.op == Op::add;
  if (a.kind == Kind::timestamp && b.kind == Kind::duration) return moved(evaluation, a, b.integer, !plus);
  if (a.kind == Kind::duration && b.kind == Kind::timestamp && plus)
    return moved(evaluation, b, a.integer, false);
  if (a.kind == Kind::timestamp && b.kind == Kind::timestamp && !plus) return between(evaluation, a, b);
  if (a.kind == Kind::duration && b.kind == Kind::duration) {
    std::int64_t sum = 0;
    const bool overflow = plus ? __builtin_add_overflow(a.integer, b.integer, &sum)
                               : __builtin_sub_overflow(a.integer, b.integer, &sum);
    return overflow ? evaluation.fail(Cause::range, "duration out of range") : Value::duration(sum);
  }
  const Value both[] = {a, b};
  return evaluation.no_overload(node, both);
}

Value joined(Evaluation& evaluation, const Node& node, const Value& a, const Value& b) {
  const Value both[] = {a, b};
  if (a.kind != b.kind) return evaluation.no_overload(node, both);
  auto& arena = evaluation.arena();
  if (a.kind == Kind::string || a.kind == Kind::bytes) {
    const auto size = a.size + b.size;
    if (!arena.fits(size) || !evaluation.spend(size / 16)) return evaluation.limit();
    char* const text = arena.take(size);
    if (a.size != 0) std::memcpy(text, a.text, a.size);
    if (b.size != 0) std::memcpy(text + a.size, b.text, b.size);
    return a.kind == Kind::string ? Value::string({text, size}) : Value::bytes({text, size});
  }
  if (a.kind != Kind::list) return evaluation.no_overload(node, both);
  const auto left = a.length(), right = b.length();
  if (!arena.fits((left + right) * sizeof(Value)) || !evaluation.spend(left + right))
    return evaluation.limit();
  auto* const items = arena.make<Value>(left + right);
  for (std::size_t i = 0; i < left; ++i) items[i] = a.at(i);
  for (std::size_t i = 0; i < right; ++i) items[left + i] = b.at(i);
  return Value::list({items, left + right});
}

Value arithmetic(Evaluation& evaluation, const Node& node, const Value& a, const Value& b) {
  if (a.kind == b.kind) {
    if (a.kind == Kind::integer) return whole(evaluation, node.op, a.integer, b.integer);
    if (a.kind == Kind::unsigned_integer)
      return whole(evaluation, node.op, a.unsigned_integer, b.unsigned_integer);
    if (a.kind == Kind::real && node.op != Op::modulo) {
      return Value::of(node.op == Op::add        ? a.real + b.real
                       : node.op == Op::subtract ? a.real - b.real
                       : node.op == Op::multiply ? a.real * b.real
                                                 : a.real / b.real);
    }
  }
  const bool times = a.kind == Kind::timestamp || a.kind == Kind::duration;
  if (times && (node.op == Op::add || node.op == Op::subtract)) return of_times(evaluation, node, a, b);
  if (node.op == Op::add) return joined(evaluation, node, a, b);
  const Value both[] = {a, b};
  return evaluation.no_overload(node, both);
}

Value contained(Evaluation& evaluation, const Node& node, const Value& a, const Value& b) {
  if (b.kind == Kind::list) {
    const auto length = b.length();
    if (!evaluation.spend(length / 4)) return evaluation.limit();
    for (std::size_t i = 0; i < length; ++i) {
      if (equal(a, b.at(i))) return Value::of(true);
    }
    return Value::of(false);
  }
  if (b.kind == Kind::map) {
    Value found;
    return Value::of(b.find(a, found));
  }
  const Value both[] = {a, b};
  return evaluation.no_overload(node, both);
}

}  // namespace

Value apply(Evaluation& evaluation, const Node& node, const Value& a, const Value& b) {
  switch (node.op) {
    case Op::equal:
      return Value::of(equal(a, b));
    case Op::unequal:
      return Value::of(!equal(a, b));
    case Op::in:
      return contained(evaluation, node, a, b);
    case Op::less:
    case Op::less_equal:
    case Op::greater:
    case Op::greater_equal: {
      int order = 0;
      if (!compare(a, b, order)) {
        // NaN is neither less nor greater; other types cannot be asked.
        if (a.is_number() && b.is_number()) return Value::of(false);
        const Value both[] = {a, b};
        return evaluation.no_overload(node, both);
      }
      return Value::of(node.op == Op::less         ? order < 0
                       : node.op == Op::less_equal ? order <= 0
                       : node.op == Op::greater    ? order > 0
                                                   : order >= 0);
    }
    default:
      return arithmetic(evaluation, node, a, b);
  }
}

}  // namespace intra365::cel
