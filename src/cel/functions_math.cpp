// The math extension.
#include <cmath>

#include "cel/function_support.hpp"

namespace intra365::cel {
namespace {

/// The first of several numbers, or of one list of them, before which no other comes; `sign` is 1 for the
/// greatest.
template <int sign>
Value extreme(Evaluation& evaluation, const Node& node, Arguments a) {
  const bool one_list = a.size() == 1 && a[0].kind == Kind::list;
  const auto count = one_list ? a[0].length() : a.size();
  if (count == 0) return evaluation.fail(Cause::bad_argument, "math.greatest and math.least need a number");
  if (!evaluation.spend(count)) return evaluation.limit();
  Value best;
  for (std::size_t i = 0; i < count; ++i) {
    const auto one = one_list ? a[0].at(i) : a[i];
    if (!one.is_number()) return evaluation.no_overload(node, a);
    int order = 0;
    if (i == 0 || (compare(one, best, order) && order * sign > 0)) best = one;
  }
  return best;
}

template <double (*function)(double)>
Value of_double(Evaluation& evaluation, const Node& node, Arguments a) {
  return are(a, Kind::real) ? Value::of(function(a[0].real)) : evaluation.no_overload(node, a);
}

double sign_of(double value) {
  return std::isnan(value) ? value : value > 0 ? 1.0 : value < 0 ? -1.0 : 0.0;
}

Value absolute(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::real) return Value::of(std::fabs(a[0].real));
  if (a[0].kind == Kind::unsigned_integer) return a[0];
  if (a[0].kind != Kind::integer) return evaluation.no_overload(node, a);
  if (a[0].integer == INT64_MIN) return evaluation.fail(Cause::range, "integer overflow");
  return Value::of(a[0].integer < 0 ? -a[0].integer : a[0].integer);
}

Value sign(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::real) return Value::of(sign_of(a[0].real));
  if (a[0].kind == Kind::unsigned_integer) return Value::of(std::uint64_t{a[0].unsigned_integer != 0});
  if (a[0].kind != Kind::integer) return evaluation.no_overload(node, a);
  return Value::of(std::int64_t{(a[0].integer > 0) - (a[0].integer < 0)});
}

Value square_root(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!a[0].is_number()) return evaluation.no_overload(node, a);
  return Value::of(std::sqrt(a[0].kind == Kind::real      ? a[0].real
                             : a[0].kind == Kind::integer ? static_cast<double>(a[0].integer)
                                                          : static_cast<double>(a[0].unsigned_integer)));
}

template <bool (*test)(double)>
Value tested(Evaluation& evaluation, const Node& node, Arguments a) {
  return are(a, Kind::real) ? Value::of(test(a[0].real)) : evaluation.no_overload(node, a);
}
bool is_nan(double value) {
  return std::isnan(value);
}
bool is_infinite(double value) {
  return std::isinf(value);
}
bool is_finite(double value) {
  return std::isfinite(value);
}

Value of_bits(const Value& like, std::uint64_t bits) {
  return like.kind == Kind::integer ? Value::of(static_cast<std::int64_t>(bits)) : Value::of(bits);
}
bool are_whole(Arguments a) {
  return a[0].kind == a[1].kind && (a[0].kind == Kind::integer || a[0].kind == Kind::unsigned_integer);
}

template <char operation>
Value bits(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are_whole(a)) return evaluation.no_overload(node, a);
  const auto left = a[0].unsigned_integer, right = a[1].unsigned_integer;
  return of_bits(a[0], operation == '&' ? left & right : operation == '|' ? left | right : left ^ right);
}

Value bits_not(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind != Kind::integer && a[0].kind != Kind::unsigned_integer)
    return evaluation.no_overload(node, a);
  return of_bits(a[0], ~a[0].unsigned_integer);
}

/// To the right without the sign, as the extension has it.
template <bool left>
Value shifted(Evaluation& evaluation, const Node& node, Arguments a) {
  if ((a[0].kind != Kind::integer && a[0].kind != Kind::unsigned_integer) || a[1].kind != Kind::integer)
    return evaluation.no_overload(node, a);
  if (a[1].integer < 0) return evaluation.fail(Cause::bad_argument, "a shift cannot be negative");
  if (a[1].integer > 63) return of_bits(a[0], 0);
  return of_bits(a[0], left ? a[0].unsigned_integer << a[1].integer : a[0].unsigned_integer >> a[1].integer);
}

constexpr FunctionEntry kFunctions[] = {
    {"math.greatest", CalledAs::global,
     "int...:int uint...:uint double...:double list(int):int list(uint):uint list(double):double "
     "number...:dyn",
     extreme<1>},
    {"math.least", CalledAs::global,
     "int...:int uint...:uint double...:double list(int):int list(uint):uint list(double):double "
     "number...:dyn",
     extreme<-1>},
    {"math.ceil", CalledAs::global, "double:double", of_double<std::ceil>},
    {"math.floor", CalledAs::global, "double:double", of_double<std::floor>},
    {"math.round", CalledAs::global, "double:double", of_double<std::round>},
    {"math.trunc", CalledAs::global, "double:double", of_double<std::trunc>},
    {"math.abs", CalledAs::global, "int:int uint:uint double:double", absolute},
    {"math.sign", CalledAs::global, "int:int uint:uint double:double", sign},
    {"math.sqrt", CalledAs::global, "number:double", square_root},
    {"math.isNaN", CalledAs::global, "double:bool", tested<is_nan>},
    {"math.isInf", CalledAs::global, "double:bool", tested<is_infinite>},
    {"math.isFinite", CalledAs::global, "double:bool", tested<is_finite>},
    {"math.bitAnd", CalledAs::global, "int,int:int uint,uint:uint", bits<'&'>},
    {"math.bitOr", CalledAs::global, "int,int:int uint,uint:uint", bits<'|'>},
    {"math.bitXor", CalledAs::global, "int,int:int uint,uint:uint", bits<'^'>},
    {"math.bitNot", CalledAs::global, "int:int uint:uint", bits_not},
    {"math.bitShiftLeft", CalledAs::global, "int,int:int uint,int:uint", shifted<true>},
    {"math.bitShiftRight", CalledAs::global, "int,int:int uint,int:uint", shifted<false>},
};

}  // namespace

std::span<const FunctionEntry> math_functions() {
  return kFunctions;
}

}  // namespace intra365::cel
