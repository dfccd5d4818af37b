#include "cel/checker.hpp"

#include <algorithm>
#include <array>

#include "cel/functions.hpp"
#include "cel/unifier.hpp"

namespace intra365::cel {
namespace {

struct OperatorForms {
  Op op;
  std::string_view name;
  std::string_view text;
};
constexpr std::string_view kArithmetic = "int,int:int uint,uint:uint double,double:double";
constexpr std::string_view kSame = "A,A:bool";
constexpr std::string_view kOrdered =
    "number,number:bool string,string:bool bool,bool:bool bytes,bytes:bool "
    "timestamp,timestamp:bool duration,duration:bool";
constexpr OperatorForms kOperators[] = {
    {Op::conjunction, "&&", "bool...:bool"},
    {Op::disjunction, "||", "bool...:bool"},
    {Op::conditional, "?:", "bool,A,A:A"},
    {Op::negation, "!", "bool:bool"},
    {Op::minus, "-", "int:int double:double"},
    {Op::equal, "==", kSame},
    {Op::unequal, "!=", kSame},
    {Op::less, "<", kOrdered},
    {Op::less_equal, "<=", kOrdered},
    {Op::greater, ">", kOrdered},
    {Op::greater_equal, ">=", kOrdered},
    {Op::in, "in", "A,list(A):bool A,map(A,B):bool"},
    {Op::add, "+",
     "int,int:int uint,uint:uint double,double:double string,string:string bytes,bytes:bytes "
     "list(A),list(A):list(A) timestamp,duration:timestamp duration,timestamp:timestamp "
     "duration,duration:duration"},
    {Op::subtract, "-",
     "int,int:int uint,uint:uint double,double:double timestamp,timestamp:duration "
     "timestamp,duration:timestamp duration,duration:duration"},
    {Op::multiply, "*", kArithmetic},
    {Op::divide, "/", kArithmetic},
    {Op::modulo, "%", "int,int:int uint,uint:uint"},
    {Op::index, "[]",
     "list(A),int:A map(A,B),A:B optional_type(list(A)),int:optional_type(A) "
     "optional_type(map(A,B)),A:optional_type(B)"},
    {Op::optional_or, "or", "optional_type(A),optional_type(A):optional_type(A)"},
    {Op::optional_or_value, "orValue", "optional_type(A),A:A"},
};

struct Operator {
  std::string_view name;
  std::vector<Form> forms;
};

const Operator& operator_of(Op op) {
  static const auto table = [] {
    std::array<Operator, static_cast<std::size_t>(Op::optional_or_value) + 1> made;
    for (const auto& one : kOperators)
      made[static_cast<std::size_t>(one.op)] = {one.name, forms_of(one.text)};
    return made;
  }();
  return table[static_cast<std::size_t>(op)];
}

class Checker {
 public:
  Checker(const Parsed& parsed, std::string_view source, const Checks& checks)
      : parsed_(parsed), source_(source), checks_(checks), locals_(parsed.slots) {}

  Result<Type> run() {
    TRY(const auto found, of(parsed_.root));
    const auto type = unifier_.resolved(found, true);
    if (checks_.result && !unifier_.assign(*checks_.result, type))
      return refuse_at(node(parsed_.root), "the expression gives " + to_text(type) + " where " +
                                               to_text(*checks_.result) + " is wanted");
    return type;
  }

 private:
  using Kind = Type::Kind;

  const Node& node(std::uint32_t index) const { return parsed_.nodes[index]; }
  Failure refuse_at(const Node& node, std::string why, const ErrorCode& code = errors::type) const {
    return refuse(code, source_, node.position, std::move(why));
  }
  std::string show(const Type& type) const { return to_text(unifier_.resolved(type, true)); }

  Result<Type> of(std::uint32_t index) {
    const auto& at = node(index);
    switch (at.op) {
      case Op::constant:
        return of_constant(at.constant);
      case Op::name:
        return of_name(at);
      case Op::local:
        return locals_[at.slot];
      case Op::select:
      case Op::has:
        return of_field(at);
      case Op::list:
        return of_list(at);
      case Op::map:
        return of_map(at);
      case Op::message:
        return of_message(at);
      case Op::call:
        return of_call(at);
      case Op::bind: {
        TRY(locals_[at.slot], of(at.children[0]));
        return of(at.children[1]);
      }
      case Op::opt_map:
      case Op::opt_flat_map:
        return of_optional_macro(at);
      case Op::all:
      case Op::exists:
      case Op::exists_one:
      case Op::filter:
      case Op::transform_list:
      case Op::transform_map:
      case Op::transform_entry:
      case Op::sort_by:
        return of_macro(at);
      default: {
        const auto& known = operator_of(at.op);
        TRY(auto type, of_forms(at, known.name, known.forms));
        return at.op == Op::index && at.optional ? optional_once(std::move(type)) : std::move(type);
      }
    }
  }

  static Result<Type> of_constant(const Value& value) {
    TRY(auto type, read_type(type_name(value.kind)));
    return type;
  }

  static Type optional_once(Type type) {
    return type.kind == Kind::optional ? std::move(type) : Type(Kind::optional, {std::move(type)});
  }

  Result<Type> of_name(const Node& at) {
    for (const auto& meaning : at.meanings) {
      const auto declared = checks_.variables.find(parsed_.variables[meaning.variable]);
      if (declared == checks_.variables.end()) continue;
      auto type = declared->second;
      for (auto part = std::size_t{meaning.used}; part < at.parts.size(); ++part) {
        TRY(type, field(type, at, at.parts[part]));
      }
      return type;
    }
    if (at.is_type) {
      TRY(auto named, read_type(at.constant.view() == "type" ? "dyn" : at.constant.view()));
      return Type(Kind::type, {std::move(named)});
    }
    return refuse_at(at, "there is nothing named '" + at.parts.front() + "'", errors::undeclared);
  }

  Result<Type> field(const Type& target, const Node& at, const std::string& name) {
    const auto type = unifier_.resolved(target);
    if (type.kind == Kind::dyn || type.kind == Kind::variable) return Type(Kind::dyn);
    if (type.kind == Kind::optional) {
      TRY(auto held, field(type.of[0], at, name));
      return optional_once(std::move(held));
    }
    if (type.kind == Kind::map && unifier_.assign(type.of[0], Kind::string)) return type.of[1];
    return refuse_at(at, "a value of type " + show(type) + " has no field '" + name + "'");
  }

  Result<Type> of_field(const Node& at) {
    TRY(const auto target, of(at.children[0]));
    TRY(auto type, field(target, at, at.text));
    if (at.op == Op::has) return Type(Kind::boolean);
    return at.optional ? optional_once(std::move(type)) : std::move(type);
  }

  /// The first form that fits decides; where a `dyn` makes several fit and they give different types, the
  /// type is `dyn`.
  Result<Type> of_forms(const Node& at, std::string_view name, const std::vector<Form>& forms) {
    std::vector<Type> given;
    for (const auto child : at.children) {
      TRY(auto type, of(child));
      given.push_back(std::move(type));
    }
    std::optional<Type> gives;
    const auto unknown = [&](const Type& type) {
      const auto kind = unifier_.resolved(type).kind;
      return kind == Kind::dyn || kind == Kind::variable;
    };
    const bool open = std::ranges::any_of(given, unknown);
    for (const auto& form : forms) {
      if (form.repeats ? given.size() < form.takes.size() : given.size() != form.takes.size()) continue;
      const auto mark = unifier_.mark();
      const auto own = unifier_.instance(form);
      bool fits = true;
      for (std::size_t i = 0; fits && i < given.size(); ++i)
        fits = unifier_.assign(own.takes[std::min(i, own.takes.size() - 1)], given[i]);
      if (!fits) {
        unifier_.back_to(mark);
        continue;
      }
      auto type = unifier_.resolved(own.gives);
      if (!open) return type;
      if (gives && *gives != type) return Type(Kind::dyn);
      gives = std::move(type);
    }
    if (gives) return *std::move(gives);
    std::string list;
    for (const auto& type : given) list += (list.empty() ? "" : ", ") + show(type);
    return refuse_at(at, "'" + std::string(name) + "' does not take (" + list + ")");
  }

  Result<Type> of_call(const Node& at) {
    const auto* function = find_function(at.text);
    static const std::vector<Form> kNone;
    return of_forms(at, at.text, function == nullptr ? kNone : function->forms);
  }

  /// One type for all: what covers them, or anything.
  Result<Type> joined(const Node& at, std::size_t first, std::size_t step) {
    auto whole = unifier_.fresh();
    for (auto i = first; i < at.children.size(); i += step) {
      TRY(auto type, of(at.children[i]));
      if (!at.optional_children.empty() && at.optional_children[i / step]) {
        const auto held = unifier_.fresh();
        if (!unifier_.assign(Type(Kind::optional, {held}), type))
          return refuse_at(node(at.children[i]), "expected an optional, not " + show(type));
        type = unifier_.resolved(held);
      }
      const auto mark = unifier_.mark();
      if (unifier_.assign(whole, type)) continue;
      unifier_.back_to(mark);
      whole = Kind::dyn;
    }
    return unifier_.resolved(whole);
  }

  Result<Type> of_list(const Node& at) {
    TRY(auto element, joined(at, 0, 1));
    return Type(Kind::list, {std::move(element)});
  }

  Result<Type> of_map(const Node& at) {
    Node keys = keys_of(at);
    TRY(auto key, joined(keys, 0, 1));
    TRY(auto value, joined(at, 1, 2));
    return Type(Kind::map, {std::move(key), std::move(value)});
  }

  static Node keys_of(const Node& at) {
    Node keys;
    for (std::size_t i = 0; i < at.children.size(); i += 2) keys.children.push_back(at.children[i]);
    return keys;
  }

  Result<Type> of_message(const Node& at) {
    for (const auto child : at.children) {
      TRY([[maybe_unused]] const auto type, of(child));
    }
    const auto short_name = std::string_view(at.text).substr(at.text.rfind('.') + 1);
    static constexpr std::pair<std::string_view, Kind> kWrapped[] = {
        {"BoolValue", Kind::boolean},  {"Int32Value", Kind::integer},
        {"Int64Value", Kind::integer}, {"UInt32Value", Kind::unsigned_integer},
        {"FloatValue", Kind::real},    {"UInt64Value", Kind::unsigned_integer},
        {"DoubleValue", Kind::real},   {"StringValue", Kind::string},
        {"BytesValue", Kind::bytes},
    };
    for (const auto& [name, kind] : kWrapped) {
      if (short_name == name) return Type(Kind::wrapper, {kind});
    }
    if (short_name == "Timestamp") return Type(Kind::timestamp);
    if (short_name == "Duration") return Type(Kind::duration);
    if (short_name == "Struct") return Type(Kind::map, {Kind::string, Kind::dyn});
    if (short_name == "ListValue") return Type(Kind::list, {Kind::dyn});
    return Type(Kind::dyn);
  }

  Result<Type> of_optional_macro(const Node& at) {
    TRY(const auto target, of(at.children[0]));
    const auto held = unifier_.fresh();
    if (!unifier_.assign(Type(Kind::optional, {held}), target))
      return refuse_at(at, at.text + "() is of an optional, not of " + show(target));
    locals_[at.slot] = unifier_.resolved(held);
    TRY(auto result, of(at.children[1]));
    if (at.op == Op::opt_map) return Type(Kind::optional, {std::move(result)});
    const auto inner = unifier_.fresh();
    if (!unifier_.assign(Type(Kind::optional, {inner}), result))
      return refuse_at(at, at.text + "() needs an optional, not " + show(result));
    return Type(Kind::optional, {unifier_.resolved(inner)});
  }

  Result<void> must_be(const Type& wanted, std::uint32_t child, std::string_view what) {
    TRY(const auto type, of(child));
    if (unifier_.assign(wanted, type)) return {};
    return refuse_at(node(child), std::string(what) + " must be " + show(wanted) + ", not " + show(type));
  }

  Result<Type> of_macro(const Node& at) {
    TRY(auto range, of(at.children[0]));
    range = unifier_.resolved(range);
    if (range.kind == Kind::variable) range = Kind::dyn;
    if (range.kind != Kind::list && range.kind != Kind::map && range.kind != Kind::dyn)
      return refuse_at(at, at.text + "() is of a list or a map, not of " + show(range));
    const bool is_map = range.kind == Kind::map, is_list = range.kind == Kind::list;
    const auto element = range.of.empty() ? Type(Kind::dyn) : range.of[0];
    locals_[at.slot] = at.two_variables && is_list ? Type(Kind::integer) : element;
    if (at.two_variables) locals_[at.slot2] = is_map ? range.of[1] : element;
    switch (at.op) {
      case Op::all:
      case Op::exists:
      case Op::exists_one:
        CHECK(must_be(Kind::boolean, at.children[1], "what is asked of each element"));
        return Type(Kind::boolean);
      case Op::filter:
        CHECK(must_be(Kind::boolean, at.children[1], "what is asked of each element"));
        return Type(Kind::list, {element});
      case Op::sort_by: {
        TRY([[maybe_unused]] const auto key, of(at.children[1]));
        return Type(Kind::list, {element});
      }
      default:
        break;
    }
    if (at.children.size() == 3) CHECK(must_be(Kind::boolean, at.children[1], "what chooses the elements"));
    TRY(auto made, of(at.children.back()));
    if (at.op == Op::transform_list) return Type(Kind::list, {std::move(made)});
    if (at.op == Op::transform_map)
      return Type(Kind::map, {is_list ? Type(Kind::integer) : element, std::move(made)});
    const Type entry(Kind::map, {unifier_.fresh(), unifier_.fresh()});
    if (!unifier_.assign(entry, made))
      return refuse_at(node(at.children.back()), at.text + "() needs a map, not " + show(made));
    return unifier_.resolved(entry);
  }

  const Parsed& parsed_;
  std::string_view source_;
  const Checks& checks_;
  std::vector<Type> locals_;
  Unifier unifier_;
};

}  // namespace

Result<Type> check(const Parsed& parsed, std::string_view source, const Checks& checks) {
  return Checker(parsed, source, checks).run();
}

}  // namespace intra365::cel
