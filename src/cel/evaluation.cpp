#include "cel/evaluation.hpp"

#include <algorithm>

namespace intra365::cel {
namespace {

constexpr std::size_t kIndexed = 16;  // as in value.cpp: smaller maps are searched one by one

bool is_key(const Value& key) {
  return key.kind == Kind::boolean || key.kind == Kind::integer || key.kind == Kind::unsigned_integer ||
         key.kind == Kind::string;
}

/// A number that says which element of a list, also as a whole double.
bool to_index(const Value& key, std::int64_t& index) {
  if (key.kind == Kind::integer) return index = key.integer, true;
  if (key.kind == Kind::unsigned_integer && key.unsigned_integer <= INT64_MAX)
    return index = static_cast<std::int64_t>(key.unsigned_integer), true;
  if (key.kind != Kind::real || !(key.real > -9e15 && key.real < 9e15)) return false;
  index = static_cast<std::int64_t>(key.real);
  return static_cast<double>(index) == key.real;
}

}  // namespace

Value Evaluation::fail(Cause cause, std::string_view message) {
  auto* problem = arena_.make<Problem>(1);
  problem->cause = cause;
  problem->message = arena_.copy(message);
  return Value::error(problem);
}

Value Evaluation::no_overload(const Node& node, std::span<const Value> arguments) {
  std::string message = "no such overload";
  if (!node.text.empty()) message += ": " + node.text;
  message += " (";
  for (const auto& one : arguments)
    message += (message.ends_with('(') ? "" : ", ") + std::string(type_name(one.kind));
  return fail(Cause::no_such_overload, message + ")");
}

Value Evaluation::optional_of(const Value& held) {
  if (held.is_error()) return held;
  auto* kept = arena_.make<Value>(1);
  *kept = held;
  return Value::optional(kept);
}

Value Evaluation::map_of(std::span<const Entry> entries) {
  if (!spend(entries.size())) return limit();
  for (const auto& entry : entries) {
    if (!is_key(entry.key)) return fail(Cause::no_such_overload, "unsupported key type");
  }
  if (entries.size() <= kIndexed) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (equal(entries[i].key, entries[j].key))
          return fail(Cause::bad_argument, "Failed with repeated key");
      }
    }
    return Value::map(entries);
  }
  std::uint32_t slots = 64;
  while (slots < entries.size() * 2) slots *= 2;
  auto* const memory = arena_.take(entries.size_bytes() + slots * sizeof(std::uint32_t));
  auto* const copied = reinterpret_cast<Entry*>(memory);
  std::uninitialized_copy(entries.begin(), entries.end(), copied);
  auto* const index = reinterpret_cast<std::uint32_t*>(copied + entries.size());
  std::fill_n(index, slots, 0);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto slot = static_cast<std::uint32_t>(hash_key(copied[i].key)) & (slots - 1);
    for (; index[slot] != 0; slot = (slot + 1) & (slots - 1)) {
      if (equal(copied[index[slot] - 1].key, copied[i].key))
        return fail(Cause::bad_argument, "Failed with repeated key");
    }
    index[slot] = static_cast<std::uint32_t>(i + 1);
  }
  auto made = Value::map({copied, entries.size()});
  made.nanos = slots;
  return made;
}

Value Evaluation::evaluate(std::uint32_t at) {
  const auto& node = node_at(at);
  if (!spend(1)) return limit();
  switch (node.op) {
    case Op::constant:
      return node.constant;
    case Op::local:
      return locals_[node.slot];
    case Op::name:
      return name(node);
    case Op::select:
      return select(node);
    case Op::has:
      return has(node);
    case Op::index:
      return index(node);
    case Op::call:
      return call(node);
    case Op::list:
      return list(node);
    case Op::map:
      return map(node);
    case Op::message:
      return message(node);
    case Op::conjunction:
      return logic(node, false);
    case Op::disjunction:
      return logic(node, true);
    case Op::conditional: {
      const auto condition = evaluate(node.children[0]);
      if (condition.is_error()) return condition;
      if (condition.kind != Kind::boolean) return no_overload(node, {&condition, 1});
      return evaluate(node.children[condition.boolean ? 1 : 2]);
    }
    case Op::negation: {
      const auto operand = evaluate(node.children[0]);
      if (operand.is_error()) return operand;
      return operand.kind == Kind::boolean ? Value::of(!operand.boolean) : no_overload(node, {&operand, 1});
    }
    case Op::minus: {
      const auto operand = evaluate(node.children[0]);
      if (operand.is_error()) return operand;
      if (operand.kind == Kind::real) return Value::of(-operand.real);
      if (operand.kind != Kind::integer) return no_overload(node, {&operand, 1});
      if (operand.integer == INT64_MIN) return fail(Cause::range, "return error for overflow");
      return Value::of(-operand.integer);
    }
    case Op::all:
    case Op::exists:
    case Op::exists_one:
    case Op::filter:
    case Op::transform_list:
    case Op::transform_map:
    case Op::transform_entry:
    case Op::sort_by:
      return macro(node);
    case Op::bind:
      locals_[node.slot] = evaluate(node.children[0]);
      return evaluate(node.children[1]);
    case Op::opt_map:
    case Op::opt_flat_map:
      return optional_macro(node);
    case Op::optional_or:
    case Op::optional_or_value: {
      const auto first = evaluate(node.children[0]);
      if (first.is_error()) return first;
      if (first.kind != Kind::optional) return no_overload(node, {&first, 1});
      const bool whole = node.op == Op::optional_or;
      if (first.items != nullptr) return whole ? first : *first.items;
      const auto second = evaluate(node.children[1]);
      if (whole && second.kind != Kind::optional && !second.is_error())
        return no_overload(node, {&second, 1});
      return second;
    }
    default:
      return binary(node);
  }
}

Value Evaluation::name(const Node& node) {
  Value found;
  for (const auto& meaning : node.meanings) {
    if (!activation_.find(meaning.variable, program_.parsed.variables[meaning.variable], found)) continue;
    for (auto part = std::size_t{meaning.used}; part < node.parts.size(); ++part) {
      if (found.is_error()) return found;
      found = field(found, node, Value::string(node.parts[part]));
    }
    return found;
  }
  if (node.is_type) return node.constant;
  return fail(Cause::no_such_attribute, "no such attribute: " + node.text);
}

/// `target.key`; through an optional it gives an optional.
Value Evaluation::field(const Value& target, const Node& node, const Value& key) {
  Value found;
  if (target.kind == Kind::map) {
    if (target.find(key, found)) return found;
    return fail(Cause::no_such_key, "no such key: " + std::string(key.view()));
  }
  if (target.kind == Kind::optional) {
    if (target.items == nullptr) return target;
    if (target.items->kind == Kind::map)
      return target.items->find(key, found) ? optional_of(found) : Value::optional(nullptr);
    return field(*target.items, node, key);
  }
  return fail(Cause::no_such_overload,
              "no such key: " + std::string(key.view()) + " of a " + std::string(type_name(target.kind)));
}

Value Evaluation::select(const Node& node) {
  const auto target = evaluate(node.children[0]);
  if (target.is_error()) return target;
  if (!node.optional) return field(target, node, node.constant);
  const auto& held = target.kind == Kind::optional && target.items != nullptr ? *target.items : target;
  if (held.kind == Kind::optional) return held;
  Value found;
  if (held.kind != Kind::map) return field(held, node, node.constant);
  return held.find(node.constant, found) ? optional_of(found) : Value::optional(nullptr);
}

Value Evaluation::has(const Node& node) {
  auto target = evaluate(node.children[0]);
  if (target.is_error()) return target;
  if (target.kind == Kind::optional) {
    if (target.items == nullptr) return Value::of(false);
    target = *target.items;
  }
  Value found;
  if (target.kind != Kind::map) return no_overload(node, {&target, 1});
  return Value::of(target.find(node.constant, found));
}

Value Evaluation::index(const Node& node) {
  const auto target = evaluate(node.children[0]);
  if (target.is_error()) return target;
  const auto key = evaluate(node.children[1]);
  if (key.is_error()) return key;
  const bool through = target.kind == Kind::optional;
  if (through && target.items == nullptr) return target;
  const auto found = index_into(through ? *target.items : target, key, node);
  if (!node.optional && !through) return found;
  // What is not there is nothing; what cannot be asked for is still an error.
  if (found.is_error() &&
      (found.problem->cause == Cause::no_such_key || found.problem->cause == Cause::range))
    return Value::optional(nullptr);
  return optional_of(found);
}

Value Evaluation::index_into(const Value& target, const Value& key, const Node& node) {
  if (target.kind == Kind::list) {
    std::int64_t at = 0;
    if (!key.is_number() || !to_index(key, at))
      return key.is_number() ? fail(Cause::bad_argument, "invalid_argument: not an index")
                             : no_overload(node, {&key, 1});
    if (at < 0 || static_cast<std::uint64_t>(at) >= target.length())
      return fail(Cause::range, "index out of range: " + std::to_string(at));
    return target.at(static_cast<std::size_t>(at));
  }
  if (target.kind == Kind::map) {
    Value found;
    if (!is_key(key) && key.kind != Kind::real) return no_overload(node, {&key, 1});
    if (target.find(key, found)) return found;
    return fail(Cause::no_such_key, "no such key: " + to_text(key));
  }
  const Value both[] = {target, key};
  return no_overload(node, both);
}

Value Evaluation::call(const Node& node) {
  std::array<Value, 8> few;
  std::span<Value> arguments(few);
  if (node.children.size() > few.size()) {
    arguments = {arena_.make<Value>(node.children.size()), node.children.size()};
  } else {
    arguments = arguments.first(node.children.size());
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    arguments[i] = evaluate(node.children[i]);
    if (arguments[i].is_error()) return arguments[i];
  }
  if (node.function == nullptr) return no_overload(node, arguments);
  return node.function(*this, node, arguments);
}

Value Evaluation::list(const Node& node) {
  if (!arena_.fits(node.children.size() * sizeof(Value))) return limit();
  auto* const items = arena_.make<Value>(node.children.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const auto item = evaluate(node.children[i]);
    if (item.is_error()) return item;
    if (node.optional_children.empty() || !node.optional_children[i]) {
      items[count++] = item;
    } else if (item.kind != Kind::optional) {
      return no_overload(node, {&item, 1});
    } else if (item.items != nullptr) {
      items[count++] = *item.items;
    }
  }
  return Value::list({items, count});
}

Value Evaluation::map(const Node& node) {
  const auto size = node.children.size() / 2;
  if (!arena_.fits(size * sizeof(Entry))) return limit();
  auto* const entries = arena_.make<Entry>(size);
  std::size_t count = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const auto key = evaluate(node.children[2 * i]);
    if (key.is_error()) return key;
    auto value = evaluate(node.children[2 * i + 1]);
    if (value.is_error()) return value;
    if (!node.optional_children.empty() && node.optional_children[i]) {
      if (value.kind != Kind::optional) return no_overload(node, {&value, 1});
      if (value.items == nullptr) continue;
      value = *value.items;
    }
    entries[count++] = {key, value};
  }
  return map_of({entries, count});
}

/// `&&` and `||` answer whatever the order: one operand that decides outweighs errors of the others.
Value Evaluation::logic(const Node& node, bool decides) {
  Value problem;
  for (const auto child : node.children) {
    const auto operand = evaluate(child);
    if (operand.kind == Kind::boolean) {
      if (operand.boolean == decides) return operand;
    } else if (!problem.is_error()) {
      problem = operand.is_error() ? operand : no_overload(node, {&operand, 1});
    }
  }
  return problem.is_error() ? problem : Value::of(!decides);
}

Value Evaluation::binary(const Node& node) {
  const auto left = evaluate(node.children[0]);
  if (left.is_error()) return left;
  const auto right = evaluate(node.children[1]);
  if (right.is_error()) return right;
  return apply(*this, node, left, right);
}

Value Evaluation::optional_macro(const Node& node) {
  const auto target = evaluate(node.children[0]);
  if (target.is_error()) return target;
  if (target.kind != Kind::optional) return no_overload(node, {&target, 1});
  if (target.items == nullptr) return target;
  locals_[node.slot] = *target.items;
  const auto result = evaluate(node.children[1]);
  if (result.is_error()) return result;
  if (node.op == Op::opt_map) return optional_of(result);
  return result.kind == Kind::optional ? result : no_overload(node, {&result, 1});
}

Value Evaluation::macro(const Node& node) {
  const auto range = evaluate(node.children[0]);
  if (range.is_error()) return range;
  if (range.kind != Kind::list && range.kind != Kind::map) return no_overload(node, {&range, 1});
  switch (node.op) {
    case Op::all:
    case Op::exists:
    case Op::exists_one:
      return quantifier(node, range);
    case Op::sort_by:
      return sort_by(node, range);
    default:
      return transform(node, range);
  }
}

void Evaluation::bind(const Node& node, const Value& range, std::size_t at) {
  if (range.kind == Kind::map) {
    const auto entry = range.entry(at);
    locals_[node.slot] = entry.key;
    if (node.two_variables) locals_[node.slot2] = entry.value;
  } else if (node.two_variables) {
    locals_[node.slot] = Value::of(static_cast<std::int64_t>(at));
    locals_[node.slot2] = range.at(at);
  } else {
    locals_[node.slot] = range.at(at);
  }
}

Value Evaluation::quantifier(const Node& node, const Value& range) {
  Value problem;
  std::size_t held = 0;
  for (std::size_t i = 0; i < range.length(); ++i) {
    bind(node, range, i);
    auto holds = evaluate(node.children[1]);
    if (holds.kind != Kind::boolean && !holds.is_error()) holds = no_overload(node, {&holds, 1});
    if (holds.is_error()) {
      if (node.op == Op::exists_one || holds.problem->cause == Cause::limit) return holds;
      if (!problem.is_error()) problem = holds;
      continue;
    }
    if (node.op == Op::all && !holds.boolean) return holds;
    if (node.op == Op::exists && holds.boolean) return holds;
    held += holds.boolean ? 1 : 0;
  }
  if (problem.is_error()) return problem;
  return Value::of(node.op == Op::exists_one ? held == 1 : node.op == Op::all);
}

Value Evaluation::transform(const Node& node, const Value& range) {
  const auto length = range.length();
  const bool to_map = node.op == Op::transform_map || node.op == Op::transform_entry;
  const bool has_filter = node.op == Op::filter || node.children.size() == 3;
  if (!arena_.fits(length * (to_map ? sizeof(Entry) : sizeof(Value)))) return limit();
  auto* const items = to_map ? nullptr : arena_.make<Value>(length);
  std::vector<Entry> entries;
  std::size_t count = 0;
  for (std::size_t i = 0; i < length; ++i) {
    bind(node, range, i);
    if (has_filter) {
      const auto wanted = evaluate(node.children[1]);
      if (wanted.is_error()) return wanted;
      if (wanted.kind != Kind::boolean) return no_overload(node, {&wanted, 1});
      if (!wanted.boolean) continue;
    }
    if (node.op == Op::filter) {
      bind(node, range, i);
      items[count++] = locals_[node.slot];
      continue;
    }
    const auto made = evaluate(node.children.back());
    if (made.is_error()) return made;
    if (!to_map) {
      items[count++] = made;
    } else if (node.op == Op::transform_map) {
      entries.push_back(
          {range.kind == Kind::map ? range.entry(i).key : Value::of(static_cast<std::int64_t>(i)), made});
    } else {
      if (made.kind != Kind::map) return no_overload(node, {&made, 1});
      if (!spend(made.length())) return limit();
      for (std::size_t j = 0; j < made.length(); ++j) entries.push_back(made.entry(j));
    }
  }
  if (!to_map) return Value::list({items, count});
  if (!arena_.fits(entries.size() * sizeof(Entry))) return limit();
  auto* const kept = arena_.make<Entry>(entries.size());
  std::ranges::copy(entries, kept);
  return map_of({kept, entries.size()});
}

Value Evaluation::sort_by(const Node& node, const Value& range) {
  if (range.kind != Kind::list) return no_overload(node, {&range, 1});
  const auto length = range.length();
  if (!arena_.fits(length * sizeof(Entry)) || !spend(length * 16)) return limit();
  auto* const keyed = arena_.make<Entry>(length);
  int order = 0;
  for (std::size_t i = 0; i < length; ++i) {
    bind(node, range, i);
    const auto key = evaluate(node.children[1]);
    if (key.is_error()) return key;
    keyed[i] = {key, range.at(i)};
    if (!compare(keyed[0].key, key, order)) return no_overload(node, {&key, 1});
  }
  std::stable_sort(keyed, keyed + length, [](const Entry& a, const Entry& b) {
    int order = 0;
    return compare(a.key, b.key, order) && order < 0;
  });
  auto* const items = arena_.make<Value>(length);
  for (std::size_t i = 0; i < length; ++i) items[i] = keyed[i].value;
  return Value::list({items, length});
}

}  // namespace intra365::cel
