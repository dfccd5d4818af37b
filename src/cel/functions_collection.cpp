// Extensions for lists, sets, optionals and encodings.
#include <algorithm>

#include "cel/base64.hpp"
#include "cel/function_support.hpp"
#include "cel/lexer.hpp"

namespace intra365::cel {
namespace {

Value list_of(Evaluation& evaluation, const std::vector<Value>& items) {
  if (!evaluation.arena().fits(items.size() * sizeof(Value)) || !evaluation.spend(items.size()))
    return evaluation.limit();
  auto* const kept = evaluation.arena().make<Value>(items.size());
  std::ranges::copy(items, kept);
  return Value::list({kept, items.size()});
}

std::vector<Value> items_of(const Value& list) {
  std::vector<Value> items(list.length());
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = list.at(i);
  return items;
}

bool contains(Evaluation& evaluation, const Value& list, const Value& item) {
  if (!evaluation.spend(list.length())) return false;  // the next step says that it was too much
  for (std::size_t i = 0; i < list.length(); ++i) {
    if (equal(list.at(i), item)) return true;
  }
  return false;
}

bool contains_all(Evaluation& evaluation, const Value& list, const Value& items) {
  for (std::size_t i = 0; i < items.length(); ++i) {
    if (!contains(evaluation, list, items.at(i))) return false;
  }
  return true;
}

Value range(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::integer)) return evaluation.no_overload(node, a);
  if (a[0].integer < 0) return Value::list({});
  const auto count = static_cast<std::uint64_t>(a[0].integer);
  if (count > 10'000'000 || !evaluation.spend(count) || !evaluation.arena().fits(count * sizeof(Value)))
    return evaluation.limit();
  auto* const items = evaluation.arena().make<Value>(count);
  for (std::uint64_t i = 0; i < count; ++i) items[i] = Value::of(static_cast<std::int64_t>(i));
  return Value::list({items, count});
}

Value slice(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list, Kind::integer, Kind::integer)) return evaluation.no_overload(node, a);
  const auto from = a[1].integer, to = a[2].integer, length = static_cast<std::int64_t>(a[0].length());
  if (from < 0 || to < 0) return evaluation.fail(Cause::range, "cannot slice with a negative index");
  if (from > to) return evaluation.fail(Cause::range, "cannot slice: the start is behind the end");
  if (to > length)
    return evaluation.fail(Cause::range, "cannot slice: index out of range: " + std::to_string(to));
  auto items = items_of(a[0]);
  return list_of(evaluation, {items.begin() + from, items.begin() + to});
}

bool flatten_into(Evaluation& evaluation, const Value& list, std::int64_t depth, std::vector<Value>& items) {
  for (std::size_t i = 0; i < list.length(); ++i) {
    if (!evaluation.spend(1)) return false;
    const auto item = list.at(i);
    if (item.kind != Kind::list || depth == 0)
      items.push_back(item);
    else if (!flatten_into(evaluation, item, depth - 1, items))
      return false;
  }
  return true;
}

Value flatten(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list) && !are(a, Kind::list, Kind::integer)) return evaluation.no_overload(node, a);
  const auto depth = a.size() == 2 ? a[1].integer : 1;
  if (depth < 0) return evaluation.fail(Cause::bad_argument, "level must be non-negative");
  std::vector<Value> items;
  if (!flatten_into(evaluation, a[0], std::min<std::int64_t>(depth, 200), items)) return evaluation.limit();
  return list_of(evaluation, items);
}

Value sort(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list)) return evaluation.no_overload(node, a);
  if (!evaluation.spend(a[0].length() * 16)) return evaluation.limit();
  auto items = items_of(a[0]);
  int order = 0;
  for (const auto& item : items) {
    if (item.kind != items.front().kind || !compare(items.front(), item, order))
      return evaluation.fail(Cause::no_such_overload, "list elements must have the same type and an order");
  }
  std::ranges::stable_sort(items, [](const Value& x, const Value& y) {
    int order = 0;
    return compare(x, y, order) && order < 0;
  });
  return list_of(evaluation, items);
}

Value distinct(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list)) return evaluation.no_overload(node, a);
  std::vector<Value> items;
  for (std::size_t i = 0; i < a[0].length(); ++i) {
    const auto item = a[0].at(i);
    if (!evaluation.spend(items.size() + 1)) return evaluation.limit();
    if (std::ranges::none_of(items, [&](const Value& one) { return equal(one, item); }))
      items.push_back(item);
  }
  return list_of(evaluation, items);
}

Value reverse(Evaluation& evaluation, const Node& node, Arguments a) {
  if (a[0].kind == Kind::list) {
    auto items = items_of(a[0]);
    std::ranges::reverse(items);
    return list_of(evaluation, items);
  }
  if (a[0].kind != Kind::string) return evaluation.no_overload(node, a);
  if (!evaluation.spend(a[0].size / 4)) return evaluation.limit();
  std::string made;
  for (auto end = a[0].size; end > 0;) {
    auto begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(a[0].text[begin]) >> 6) == 2) --begin;
    made.append(a[0].text + begin, end - begin);
    end = begin;
  }
  return evaluation.string(made);
}

template <bool from_front>
Value end_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list)) return evaluation.no_overload(node, a);
  if (a[0].length() == 0) return Value::optional(nullptr);
  return evaluation.optional_of(a[0].at(from_front ? 0 : a[0].length() - 1));
}

Value set_contains(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list, Kind::list)) return evaluation.no_overload(node, a);
  return Value::of(contains_all(evaluation, a[0], a[1]));
}
Value set_equivalent(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list, Kind::list)) return evaluation.no_overload(node, a);
  return Value::of(contains_all(evaluation, a[0], a[1]) && contains_all(evaluation, a[1], a[0]));
}
Value set_intersects(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list, Kind::list)) return evaluation.no_overload(node, a);
  for (std::size_t i = 0; i < a[1].length(); ++i) {
    if (contains(evaluation, a[0], a[1].at(i))) return Value::of(true);
  }
  return Value::of(false);
}

bool is_zero(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return true;
    case Kind::boolean:
      return !value.boolean;
    case Kind::integer:
    case Kind::unsigned_integer:
    case Kind::duration:
      return value.integer == 0;
    case Kind::real:
      return value.real == 0;
    case Kind::string:
    case Kind::bytes:
      return value.size == 0;
    case Kind::list:
    case Kind::map:
      return value.length() == 0;
    case Kind::timestamp:
      return value.integer == 0 && value.nanos == 0;
    case Kind::optional:
      return value.items == nullptr;
    default:
      return false;
  }
}

Value optional_of(Evaluation& evaluation, const Node&, Arguments a) {
  return evaluation.optional_of(a[0]);
}
Value optional_non_zero(Evaluation& evaluation, const Node&, Arguments a) {
  return is_zero(a[0]) ? Value::optional(nullptr) : evaluation.optional_of(a[0]);
}
Value optional_none(Evaluation&, const Node&, Arguments) {
  return Value::optional(nullptr);
}
Value has_value(Evaluation& evaluation, const Node& node, Arguments a) {
  return are(a, Kind::optional) ? Value::of(a[0].items != nullptr) : evaluation.no_overload(node, a);
}
Value value_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::optional)) return evaluation.no_overload(node, a);
  return a[0].items != nullptr ? *a[0].items
                               : evaluation.fail(Cause::no_such_key, "optional.none() dereference");
}
Value unwrap(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list)) return evaluation.no_overload(node, a);
  std::vector<Value> items;
  for (std::size_t i = 0; i < a[0].length(); ++i) {
    const auto item = a[0].at(i);
    if (item.kind != Kind::optional) return evaluation.no_overload(node, {&item, 1});
    if (item.items != nullptr) items.push_back(*item.items);
  }
  return list_of(evaluation, items);
}

Value encode(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::bytes)) return evaluation.no_overload(node, a);
  if (!evaluation.spend(a[0].size / 4) || !evaluation.arena().fits(a[0].size * 2)) return evaluation.limit();
  return evaluation.string(base64_encode(a[0].view()));
}
Value decode(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string)) return evaluation.no_overload(node, a);
  std::string bytes;
  if (!evaluation.spend(a[0].size / 4)) return evaluation.limit();
  if (!base64_decode(a[0].view(), bytes)) return evaluation.fail(Cause::bad_argument, "not base64");
  return Value::bytes(evaluation.arena().copy(bytes));
}

constexpr FunctionEntry kFunctions[] = {
    {"lists.range", CalledAs::global, "int:list(int)", range},
    {"slice", CalledAs::receiver, "list(A),int,int:list(A)", slice},
    {"flatten", CalledAs::receiver, "list(list(A)):list(A) list(dyn):list(dyn) list(dyn),int:list(dyn)",
     flatten},
    {"sort", CalledAs::receiver, "list(A):list(A)", sort},
    {"distinct", CalledAs::receiver, "list(A):list(A)", distinct},
    {"reverse", CalledAs::receiver, "string:string list(A):list(A)", reverse},
    {"first", CalledAs::receiver, "list(A):optional_type(A)", end_of<true>},
    {"last", CalledAs::receiver, "list(A):optional_type(A)", end_of<false>},
    {"sets.contains", CalledAs::global, "list(A),list(A):bool", set_contains},
    {"sets.equivalent", CalledAs::global, "list(A),list(A):bool", set_equivalent},
    {"sets.intersects", CalledAs::global, "list(A),list(A):bool", set_intersects},
    {"optional.of", CalledAs::global, "A:optional_type(A)", optional_of},
    {"optional.ofNonZeroValue", CalledAs::global, "A:optional_type(A)", optional_non_zero},
    {"optional.none", CalledAs::global, ":optional_type(A)", optional_none},
    {"optional.unwrap", CalledAs::global, "list(optional_type(A)):list(A)", unwrap},
    {"unwrapOpt", CalledAs::receiver, "list(optional_type(A)):list(A)", unwrap},
    {"hasValue", CalledAs::receiver, "optional_type(A):bool", has_value},
    {"value", CalledAs::receiver, "optional_type(A):A", value_of},
    {"base64.encode", CalledAs::global, "bytes:string", encode},
    {"base64.decode", CalledAs::global, "string:bytes", decode},
};

}  // namespace

std::span<const FunctionEntry> collection_functions() {
  return kFunctions;
}

}  // namespace intra365::cel
