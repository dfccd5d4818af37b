// Values as JSON: for people, and without loss.
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>

#include "cel/base64.hpp"
#include "cel/evaluation.hpp"

namespace intra365::cel {
namespace {

namespace bj = boost::json;

constexpr int kMaxDepth = 64;

Value problem(Arena& arena, std::string_view why) {
  auto* made = arena.make<Problem>(1);
  made->cause = Cause::bad_argument;
  made->message = arena.copy(why);
  return Value::error(made);
}

template <class Number>
bool read_number(const bj::value& document, Number& number) {
  std::string text;
  if (document.is_string())
    text = document.get_string();
  else if (document.is_number())
    text = bj::serialize(document);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

bool read_double(const bj::value& document, double& number) {
  if (document.is_number()) return number = document.to_number<double>(), true;
  if (document == "NaN") return number = NAN, true;
  if (document == "Infinity" || document == "+Inf") return number = INFINITY, true;
  if (document == "-Infinity" || document == "-Inf") return number = -INFINITY, true;
  return document.is_string() && read_number(document, number);
}

class NoActivation final : public Activation {
  bool find(std::uint32_t, std::string_view, Value&) const override { return false; }
};

/// Times are read by the language itself.
Value read_by(std::string_view function, const bj::value& document, Arena& arena) {
  if (!document.is_string()) return problem(arena, "expected a text");
  const auto compiled = compile(std::string(function) + "(" + bj::serialize(document) + ")");
  if (!compiled) return problem(arena, compiled.error().detail);
  Arena own;
  const auto value = compiled->evaluate(NoActivation(), own);
  return value.is_error() ? problem(arena, value.problem->message) : value;
}

}  // namespace

bj::value to_json(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return nullptr;
    case Kind::boolean:
      return value.boolean;
    case Kind::integer:
      return value.integer;
    case Kind::unsigned_integer:
      return value.unsigned_integer;
    case Kind::real:
      return std::isfinite(value.real) ? bj::value(value.real) : bj::value(double_text(value.real));
    case Kind::bytes:
      return bj::value(base64_encode(value.view()));
    case Kind::list: {
      bj::array list;
      for (std::size_t i = 0; i < value.length(); ++i) list.push_back(to_json(value.at(i)));
      return list;
    }
    case Kind::map: {
      bj::object object;
      for (std::size_t i = 0; i < value.length(); ++i) {
        const auto entry = value.entry(i);
        object[to_text(entry.key)] = to_json(entry.value);
      }
      return object;
    }
    case Kind::optional:
      return value.items == nullptr ? bj::value() : to_json(*value.items);
    case Kind::error:
      return bj::object{{"error", value.problem->message}};
    default:
      return bj::value(to_text(value));
  }
}

bj::value to_typed_json(const Value& value) {
  bj::object made{{"type", type_name(value.kind)}};
  switch (value.kind) {
    case Kind::null:
      made["value"] = nullptr;
      break;
    case Kind::boolean:
      made["value"] = value.boolean;
      break;
    case Kind::list: {
      bj::array list;
      for (std::size_t i = 0; i < value.length(); ++i) list.push_back(to_typed_json(value.at(i)));
      made["value"] = std::move(list);
      break;
    }
    case Kind::map: {
      bj::array entries;
      for (std::size_t i = 0; i < value.length(); ++i) {
        const auto entry = value.entry(i);
        entries.push_back({{"key", to_typed_json(entry.key)}, {"value", to_typed_json(entry.value)}});
      }
      made["value"] = std::move(entries);
      break;
    }
    case Kind::optional:
      made["value"] = value.items == nullptr ? bj::value() : to_typed_json(*value.items);
      break;
    case Kind::bytes:
      made["value"] = base64_encode(value.view());
      break;
    case Kind::error:
      made["value"] = value.problem->message;
      break;
    default:
      made["value"] = to_text(value);
  }
  return made;
}

Value from_typed_json(const bj::value& document, Arena& arena, int depth) {
  const auto* object = document.if_object();
  const auto* type = object == nullptr ? nullptr : object->if_contains("type");
  const auto* held = object == nullptr ? nullptr : object->if_contains("value");
  if (type == nullptr || !type->is_string() || held == nullptr || depth > kMaxDepth)
    return problem(arena, "expected {\"type\": …, \"value\": …}");
  const std::string_view name(type->get_string());
  const auto wrong = [&] { return problem(arena, "not a value of type " + std::string(name)); };
  if (name == "null" || name == "null_type") return {};
  if (name == "bool") return held->is_bool() ? Value::of(held->get_bool()) : wrong();
  if (name == "int") {
    std::int64_t number = 0;
    return read_number(*held, number) ? Value::of(number) : wrong();
  }
  if (name == "uint") {
    std::uint64_t number = 0;
    return read_number(*held, number) ? Value::of(number) : wrong();
  }
  if (name == "double") {
    double number = 0;
    return read_double(*held, number) ? Value::of(number) : wrong();
  }
  if (name == "string" || name == "type") {
    if (!held->is_string()) return wrong();
    const auto text = arena.copy(std::string_view(held->get_string()));
    return name == "type" ? Value::type(text) : Value::string(text);
  }
  if (name == "bytes") {
    std::string bytes;
    if (!held->is_string() || !base64_decode(held->get_string(), bytes)) return wrong();
    return Value::bytes(arena.copy(bytes));
  }
  if (name == "timestamp" || name == type_name(Kind::timestamp)) return read_by("timestamp", *held, arena);
  if (name == "duration" || name == type_name(Kind::duration)) return read_by("duration", *held, arena);
  if (name == "list" && held->is_array()) {
    const auto& list = held->get_array();
    auto* const items = arena.make<Value>(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      items[i] = from_typed_json(list[i], arena, depth + 1);
      if (items[i].is_error()) return items[i];
    }
    return Value::list({items, list.size()});
  }
  if (name == "map" && held->is_array()) {
    const auto& list = held->get_array();
    auto* const entries = arena.make<Entry>(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto* entry = list[i].if_object();
      if (entry == nullptr || !entry->contains("key") || !entry->contains("value")) return wrong();
      entries[i] = {from_typed_json(entry->at("key"), arena, depth + 1),
                    from_typed_json(entry->at("value"), arena, depth + 1)};
      if (entries[i].key.is_error()) return entries[i].key;
      if (entries[i].value.is_error()) return entries[i].value;
    }
    return Value::map({entries, list.size()});
  }
  if (name == "optional" || name == "optional_type") {
    if (held->is_null()) return Value::optional(nullptr);
    auto* const inner = arena.make<Value>(1);
    *inner = from_typed_json(*held, arena, depth + 1);
    return inner->is_error() ? *inner : Value::optional(inner);
  }
  return wrong();
}

}  // namespace intra365::cel
