// Messages that the language turns into values of its own: wrappers, times, JSON-like values.
#include <cmath>

#include "cel/evaluation.hpp"

namespace intra365::cel {
namespace {

/// What a wrapper holds when nothing is given.
bool wrapped_default(std::string_view type, Value& value) {
  if (type == "BoolValue") return value = Value::of(false), true;
  if (type == "Int32Value" || type == "Int64Value") return value = Value::of(std::int64_t{0}), true;
  if (type == "UInt32Value" || type == "UInt64Value") return value = Value::of(std::uint64_t{0}), true;
  if (type == "FloatValue" || type == "DoubleValue") return value = Value::of(0.0), true;
  if (type == "StringValue") return value = Value::string(""), true;
  if (type == "BytesValue") return value = Value::bytes(""), true;
  return false;
}

}  // namespace

Value Evaluation::message(const Node& node) {
  constexpr std::string_view kPackage = "google.protobuf.";
  std::string whole = node.text;
  if (!whole.starts_with(kPackage) && !program_.environment.container.empty())
    whole = program_.environment.container + "." + whole;
  if (!whole.starts_with(kPackage)) return fail(Cause::no_such_attribute, "unknown type: " + node.text);
  const auto type = std::string_view(whole).substr(kPackage.size());

  std::vector<std::pair<std::string_view, Value>> fields;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    auto value = evaluate(node.children[i]);
    if (value.is_error()) return value;
    if (node.optional_children[i]) {
      if (value.kind != Kind::optional) return no_overload(node, {&value, 1});
      if (value.items == nullptr) continue;
      value = *value.items;
    }
    fields.emplace_back(node.parts[i], value);
  }
  const auto unknown = [&](std::string_view field) {
    return fail(Cause::no_such_key, "no such field: " + std::string(field) + " of " + whole);
  };
  const auto wrong = [&](const Value& value) { return no_overload(node, {&value, 1}); };

  Value made;
  if (wrapped_default(type, made)) {
    for (const auto& [field, value] : fields) {
      if (field != "value") return unknown(field);
      if (value.kind != made.kind) return wrong(value);
      if ((type == "Int32Value" && value.integer != static_cast<std::int32_t>(value.integer)) ||
          (type == "UInt32Value" && value.unsigned_integer > UINT32_MAX))
        return fail(Cause::range, "range error: the value does not fit " + whole);
      made = value;
      if (type == "FloatValue") made.real = static_cast<double>(static_cast<float>(value.real));
    }
    return made;
  }
  if (type == "Timestamp" || type == "Duration") {
    std::int64_t seconds = 0, nanos = 0;
    for (const auto& [field, value] : fields) {
      if (field != "seconds" && field != "nanos") return unknown(field);
      if (value.kind != Kind::integer) return wrong(value);
      (field == "seconds" ? seconds : nanos) = value.integer;
    }
    if (nanos <= -1'000'000'000 || nanos >= 1'000'000'000 || (type == "Timestamp" && nanos < 0))
      return fail(Cause::range, "nanos out of range");
    if (type == "Duration") {
      std::int64_t total = 0;
      if (__builtin_mul_overflow(seconds, std::int64_t{1'000'000'000}, &total) ||
          __builtin_add_overflow(total, nanos, &total))
        return fail(Cause::range, "duration out of range");
      return Value::duration(total);
    }
    if (seconds < -62135596800 || seconds > 253402300799) return fail(Cause::range, "timestamp out of range");
    return Value::timestamp(seconds, static_cast<std::uint32_t>(nanos));
  }
  if (type == "Value") {
    for (const auto& [field, value] : fields) {
      const auto wanted = field == "null_value"     ? Kind::null
                          : field == "bool_value"   ? Kind::boolean
                          : field == "number_value" ? Kind::real
                          : field == "string_value" ? Kind::string
                          : field == "list_value"   ? Kind::list
                          : field == "struct_value" ? Kind::map
                                                    : Kind::error;
      if (wanted == Kind::error) return unknown(field);
      if (value.kind != wanted) return wrong(value);
      made = value;
    }
    return made;
  }
  if (type == "Struct" || type == "ListValue") {
    const bool is_list = type == "ListValue";
    made = is_list ? Value::list({}) : Value::map({});
    for (const auto& [field, value] : fields) {
      if (field != (is_list ? "values" : "fields")) return unknown(field);
      if (value.kind != made.kind) return wrong(value);
      made = value;
    }
    return made;
  }
  return fail(Cause::no_such_attribute, "unknown type: " + whole);
}

}  // namespace intra365::cel
