// Conversions, sizes, and what every implementation of the language has.
#include <charconv>
#include <cmath>

#include "cel/function_support.hpp"
#include "cel/lexer.hpp"

namespace intra365::cel {

/// Reads RFC 3339 into a timestamp, or says why not; in functions_time.cpp.
Value read_timestamp(Evaluation& evaluation, std::string_view text);
Value read_duration(Evaluation& evaluation, std::string_view text);

namespace {

constexpr std::string_view kRange = "range error: the value does not fit";

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const bool plus = text.starts_with('+');
  const auto* const begin = text.data() + (plus ? 1 : 0);
  const auto* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(begin, end, value);
  return error == std::errc{} && at == end && begin != end && !(plus && text.substr(1).starts_with('-'));
}

Value size(Evaluation& evaluation, const Node& node, Arguments a) {
  switch (a[0].kind) {
    case Kind::string:
      return Value::of(static_cast<std::int64_t>(code_points(a[0].view())));
    case Kind::bytes:
      return Value::of(static_cast<std::int64_t>(a[0].size));
    case Kind::list:
    case Kind::map:
      return Value::of(static_cast<std::int64_t>(a[0].length()));
    default:
      return evaluation.no_overload(node, a);
  }
}

Value type(Evaluation&, const Node&, Arguments a) {
  return Value::type(type_name(a[0].kind));
}

Value dyn(Evaluation&, const Node&, Arguments a) {
  return a[0];
}

Value to_int(Evaluation& evaluation, const Node& node, Arguments a) {
  const auto& from = a[0];
  switch (from.kind) {
    case Kind::integer:
      return from;
    case Kind::unsigned_integer:
      if (from.unsigned_integer > INT64_MAX) return evaluation.fail(Cause::range, kRange);
      return Value::of(static_cast<std::int64_t>(from.unsigned_integer));
    case Kind::real:
      // The bounds themselves are no doubles: what rounds to them may be outside.
      if (!(from.real > -9223372036854775808.0 && from.real < 9223372036854775808.0))
        return evaluation.fail(Cause::range, kRange);
      return Value::of(static_cast<std::int64_t>(from.real));
    case Kind::timestamp:
      return Value::of(from.integer);
    case Kind::string: {
      std::int64_t number = 0;
      if (!read_number(from.view(), number)) return evaluation.fail(Cause::bad_argument, "not an int");
      return Value::of(number);
    }
    default:
      return evaluation.no_overload(node, a);
  }
}

Value to_uint(Evaluation& evaluation, const Node& node, Arguments a) {
  const auto& from = a[0];
  switch (from.kind) {
    case Kind::unsigned_integer:
      return from;
    case Kind::integer:
      if (from.integer < 0) return evaluation.fail(Cause::range, kRange);
      return Value::of(static_cast<std::uint64_t>(from.integer));
    case Kind::real:
      if (!(from.real > -1.0 && from.real < 18446744073709551616.0))
        return evaluation.fail(Cause::range, kRange);
      return Value::of(from.real < 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(from.real));
    case Kind::string: {
      std::uint64_t number = 0;
      if (from.view().starts_with('-') || !read_number(from.view(), number))
        return evaluation.fail(Cause::bad_argument, "not a uint");
      return Value::of(number);
    }
    default:
      return evaluation.no_overload(node, a);
  }
}

Value to_double(Evaluation& evaluation, const Node& node, Arguments a) {
  const auto& from = a[0];
  switch (from.kind) {
    case Kind::real:
      return from;
    case Kind::integer:
      return Value::of(static_cast<double>(from.integer));
    case Kind::unsigned_integer:
      return Value::of(static_cast<double>(from.unsigned_integer));
    case Kind::string: {
      const auto text = from.view();
      for (const auto& [name, value] : {std::pair<std::string_view, double>{"NaN", NAN},
                                        {"Infinity", INFINITY},
                                        {"+Infinity", INFINITY},
                                        {"-Infinity", -INFINITY},
                                        {"Inf", INFINITY},
                                        {"+Inf", INFINITY},
                                        {"-Inf", -INFINITY}}) {
        if (text == name) return Value::of(value);
      }
      double number = 0;
      const bool digits = text.find_first_of("0123456789") != std::string_view::npos;
      if (!digits || !read_number(text, number)) return evaluation.fail(Cause::bad_argument, "not a double");
      return Value::of(number);
    }
    default:
      return evaluation.no_overload(node, a);
  }
}

Value to_bool(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::boolean) return a[0];
  if (a[0].kind != Kind::string) return evaluation.no_overload(node, a);
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (a[0].view() == yes) return Value::of(true);
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (a[0].view() == no) return Value::of(false);
  }
  return evaluation.fail(Cause::bad_argument, "not a bool");
}

Value to_string(Evaluation& evaluation, const Node& node, Arguments a) {
  switch (a[0].kind) {
    case Kind::string:
      return a[0];
    case Kind::bytes:
      if (!is_utf8(a[0].view())) return evaluation.fail(Cause::bad_argument, "invalid UTF-8");
      return Value::string(a[0].view());
    case Kind::boolean:
    case Kind::integer:
    case Kind::unsigned_integer:
    case Kind::real:
    case Kind::timestamp:
    case Kind::duration:
      return evaluation.string(to_text(a[0]));
    default:
      return evaluation.no_overload(node, a);
  }
}

Value to_bytes(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::bytes) return a[0];
  return a[0].kind == Kind::string ? Value::bytes(a[0].view()) : evaluation.no_overload(node, a);
}

Value to_timestamp(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::timestamp) return a[0];
  if (a[0].kind == Kind::string) return read_timestamp(evaluation, a[0].view());
  if (a[0].kind != Kind::integer) return evaluation.no_overload(node, a);
  if (a[0].integer < -62135596800 || a[0].integer > 253402300799)
    return evaluation.fail(Cause::range, "timestamp out of range");
  return Value::timestamp(a[0].integer, 0);
}

Value to_duration(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::duration) return a[0];
  return a[0].kind == Kind::string ? read_duration(evaluation, a[0].view()) : evaluation.no_overload(node, a);
}

Value contains(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string)) return evaluation.no_overload(node, a);
  if (!evaluation.spend(a[0].size / 16)) return evaluation.limit();
  return Value::of(a[0].view().find(a[1].view()) != std::string_view::npos);
}
Value starts_with(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string)) return evaluation.no_overload(node, a);
  return Value::of(a[0].view().starts_with(a[1].view()));
}
Value ends_with(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string)) return evaluation.no_overload(node, a);
  return Value::of(a[0].view().ends_with(a[1].view()));
}

Value matches(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string)) return evaluation.no_overload(node, a);
  if (!evaluation.spend(a[0].size / 8)) return evaluation.limit();
  const re2::StringPiece text(a[0].text, a[0].size);
  if (node.pattern) return Value::of(RE2::PartialMatch(text, *node.pattern));
  // A pattern that is only known now is compiled for this once, and paid for.
  if (!evaluation.spend(2'000 + a[1].size * 100)) return evaluation.limit();
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  const RE2 pattern(re2::StringPiece(a[1].text, a[1].size), options);
  if (!pattern.ok())
    return evaluation.fail(Cause::bad_argument, "not a regular expression: " + pattern.error());
  return Value::of(RE2::PartialMatch(text, pattern));
}

constexpr FunctionEntry kFunctions[] = {
    {"size", CalledAs::both, "string:int bytes:int list(A):int map(A,B):int", size},
    {"type", CalledAs::global, "A:type(A)", type},
    {"dyn", CalledAs::global, "A:dyn", dyn},
    {"int", CalledAs::global, "int:int uint:int double:int string:int timestamp:int", to_int},
    {"uint", CalledAs::global, "uint:uint int:uint double:uint string:uint", to_uint},
    {"double", CalledAs::global, "double:double int:double uint:double string:double", to_double},
    {"bool", CalledAs::global, "bool:bool string:bool", to_bool},
    {"string", CalledAs::global,
     "string:string bytes:string bool:string int:string uint:string double:string timestamp:string "
     "duration:string",
     to_string},
    {"bytes", CalledAs::global, "bytes:bytes string:bytes", to_bytes},
    {"timestamp", CalledAs::global, "timestamp:timestamp string:timestamp int:timestamp", to_timestamp},
    {"duration", CalledAs::global, "duration:duration string:duration", to_duration},
    {"contains", CalledAs::receiver, "string,string:bool", contains},
    {"startsWith", CalledAs::receiver, "string,string:bool", starts_with},
    {"endsWith", CalledAs::receiver, "string,string:bool", ends_with},
    {"matches", CalledAs::both, "string,string:bool", matches},
};

}  // namespace

std::span<const FunctionEntry> core_functions() {
  return kFunctions;
}

}  // namespace intra365::cel
