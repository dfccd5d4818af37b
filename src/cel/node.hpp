// An expression as it is evaluated: nodes that name their children by index. Macros are nodes of their own.
#pragma once
#include <re2/re2.h>

#include <memory>

#include "cel/value.hpp"

namespace intra365::cel {

enum class Op : std::uint8_t {
  constant,
  name,    ///< a variable, or a part of one: `parts`
  local,   ///< the variable of a macro: `slot`
  select,  ///< `.field`, `.?field`
  has,     ///< the macro `has(e.field)`
  index,   ///< `[key]`, `[?key]`
  call,    ///< `function(children…)`; a receiver comes first
  list,
  map,      ///< children: key, value, key, value …
  message,  ///< `google.protobuf.Int64Value{value: 1}`: `fields` and children
  conjunction,
  disjunction,
  conditional,
  negation,  ///< `!`
  minus,     ///< unary
  // Two operands.
  equal,
  unequal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  add,
  subtract,
  multiply,
  divide,
  modulo,
  // Macros: children are the range and what is evaluated for each element; `slot`, `slot2` hold the
  // variables.
  all,
  exists,
  exists_one,
  filter,
  transform_list,   ///< range, [filter,] transform
  transform_map,    ///< the same, giving values
  transform_entry,  ///< the same, giving maps of entries
  sort_by,
  bind,     ///< `cel.bind(x, init, result)`
  opt_map,  ///< `optional.optMap(x, …)`
  opt_flat_map,
  // The second operand is looked at only where the first optional is empty.
  optional_or,
  optional_or_value,
};

class Evaluation;
struct Node;
using Function = Value (*)(Evaluation& evaluation, const Node& node, std::span<const Value> arguments);

struct Node {
  Op op = Op::constant;
  bool optional = false;       ///< of select and index
  bool absolute = false;       ///< of a name: with a dot before it
  bool two_variables = false;  ///< of a macro
  std::uint32_t position = 0;
  std::uint32_t slot = 0, slot2 = 0;
  std::vector<std::uint32_t> children;
  std::vector<bool> optional_children;  ///< `[?e]`, `{?k: e}`, `T{?f: e}`; empty: none is
  std::vector<std::string> parts;       ///< of a name; fields of a message
  std::string text;                     ///< field, function, or type of a message
  Value constant;
  Function function = nullptr;
  /// Of a name: what it may mean, the likeliest first.
  struct Meaning {
    std::uint32_t variable = 0;  ///< in Program's list of variables
    std::uint32_t used = 0;      ///< how many parts; the rest are fields
  };
  std::vector<Meaning> meanings;
  bool is_type = false;          ///< of a name that nobody may have given: `constant` is a type
  std::unique_ptr<RE2> pattern;  ///< of `matches` with a constant pattern
};

}  // namespace intra365::cel
