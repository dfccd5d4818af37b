#include "cel/parser.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "cel/functions.hpp"

namespace intra365::cel {
namespace {

constexpr std::string_view kReserved[] = {"as",        "break",  "const",  "continue", "else", "for",
                                          "function",  "if",     "import", "let",      "loop", "package",
                                          "namespace", "return", "var",    "void",     "while"};
constexpr std::string_view kKeywords[] = {"true", "false", "null", "in"};
constexpr std::uint32_t kMaxSlots = 64;

bool is_one_of(std::span<const std::string_view> list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

struct Macro {
  std::string_view name;
  Op op;
  std::uint8_t variables;    ///< fewest; a second one where `two`
  bool two;                  ///< may have two variables
  std::uint8_t least, most;  ///< expressions behind the variables
};
constexpr Macro kMacros[] = {
    {"all", Op::all, 1, true, 1, 1},
    {"exists", Op::exists, 1, true, 1, 1},
    {"exists_one", Op::exists_one, 1, true, 1, 1},
    {"existsOne", Op::exists_one, 1, true, 1, 1},
    {"filter", Op::filter, 1, false, 1, 1},
    {"map", Op::transform_list, 1, false, 1, 2},
    {"transformList", Op::transform_list, 2, true, 1, 2},
    {"transformMap", Op::transform_map, 2, true, 1, 2},
    {"transformMapEntry", Op::transform_entry, 2, true, 1, 2},
    {"sortBy", Op::sort_by, 1, false, 1, 1},
    {"optMap", Op::opt_map, 1, false, 1, 1},
    {"optFlatMap", Op::opt_flat_map, 1, false, 1, 1},
};

struct Level {
  std::string_view symbol;
  Op op;
};

class Parser {
 public:
  Parser(std::string_view source, const Environment& environment, Arena& texts, std::vector<Token> tokens)
      : source_(source), environment_(environment), texts_(texts), tokens_(std::move(tokens)) {}

  Result<Parsed> run() {
    TRY(parsed_.root, expression());
    if (peek().kind != TokenKind::end) return refuse_at(peek(), "expected an operator or the end");
    CHECK(give_meaning(parsed_, source_, environment_, texts_));
    return std::move(parsed_);
  }

 private:
  using Index = std::uint32_t;

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take() {
    auto token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip(std::string_view symbol) {
    if (!peek().is(symbol)) return false;
    take();
    return true;
  }
  Failure refuse_at(const Token& token, std::string why, const ErrorCode& code = errors::syntax) const {
    return refuse(code, source_, token.position, std::move(why));
  }
  Result<void> expect(std::string_view symbol) {
    if (skip(symbol)) return {};
    return refuse_at(peek(), "expected '" + std::string(symbol) + "'");
  }

  Node& node(Index index) { return parsed_.nodes[index]; }
  Result<Index> add(Node made) {
    if (parsed_.nodes.size() >= environment_.limits.nodes)
      return fail(errors::too_large,
                  "The expression has more than " + std::to_string(environment_.limits.nodes) + " parts.");
    parsed_.nodes.push_back(std::move(made));
    return static_cast<Index>(parsed_.nodes.size() - 1);
  }
  Result<Index> add(Op op, std::uint32_t position, std::vector<Index> children) {
    Node made;
    made.op = op;
    made.position = position;
    made.children = std::move(children);
    return add(std::move(made));
  }

  struct Deeper {
    explicit Deeper(std::size_t& depth) : depth(depth) { ++depth; }
    ~Deeper() { --depth; }
    std::size_t& depth;
  };

  Result<Index> expression() {
    const Deeper deeper(depth_);
    if (depth_ > environment_.limits.depth)
      return refuse_at(peek(), "nested deeper than " + std::to_string(environment_.limits.depth) + " levels",
                       errors::too_large);
    TRY(const auto condition, disjunction());
    if (!peek().is("?")) return condition;
    const auto position = take().position;
    TRY(const auto yes, disjunction());
    CHECK(expect(":"));
    TRY(const auto no, expression());
    return add(Op::conditional, position, {condition, yes, no});
  }

  Result<Index> disjunction() {
    return chain("||", Op::disjunction,
                 [this] { return chain("&&", Op::conjunction, [this] { return relation(); }); });
  }

  /// `a && b && c` as one node with three children.
  template <class Part>
  Result<Index> chain(std::string_view symbol, Op op, Part part) {
    TRY(const auto first, part());
    if (!peek().is(symbol)) return first;
    const auto position = peek().position;
    std::vector<Index> children{first};
    while (skip(symbol)) {
      TRY(const auto next, part());
      children.push_back(next);
    }
    return add(op, position, std::move(children));
  }

  template <class Part>
  Result<Index> operators(std::span<const Level> levels, Part part) {
    TRY(auto left, part());
    for (std::size_t links = 0;; ++links) {
      const auto& token = peek();
      const auto found = std::ranges::find_if(levels, [&](const Level& level) {
        return token.is(level.symbol) ||
               (level.op == Op::in && token.kind == TokenKind::identifier && token.text == "in");
      });
      if (found == levels.end()) return left;
      if (links > environment_.limits.depth * 4)
        return refuse_at(
            token, "a chain of more than " + std::to_string(environment_.limits.depth * 4) + " operators",
            errors::too_large);
      const auto position = take().position;
      TRY(const auto right, part());
      TRY(left, add(found->op, position, {left, right}));
    }
  }

  Result<Index> relation() {
    static constexpr Level kRelations[] = {
        {"==", Op::equal}, {"!=", Op::unequal}, {"<=", Op::less_equal}, {">=", Op::greater_equal},
        {"<", Op::less},   {">", Op::greater},  {"in", Op::in}};
    static constexpr Level kSums[] = {{"+", Op::add}, {"-", Op::subtract}};
    static constexpr Level kProducts[] = {{"*", Op::multiply}, {"/", Op::divide}, {"%", Op::modulo}};
    return operators(kRelations, [this] {
      return operators(kSums, [this] { return operators(kProducts, [this] { return unary(); }); });
    });
  }

  Result<Index> unary() {
    const auto token = peek();
    for (const auto& [symbol, op] : {Level{"!", Op::negation}, Level{"-", Op::minus}}) {
      if (!token.is(symbol)) continue;
      std::size_t count = 0;
      while (skip(symbol)) ++count;
      const bool literal = op == Op::minus && count == 1 &&
                           (peek().kind == TokenKind::integer || peek().kind == TokenKind::real);
      negative_ = literal;
      TRY(auto operand, member());
      if (literal) return operand;
      if (count % 2 == 0 && op == Op::minus) {
        // An even number of signs changes nothing but what may be signed.
        TRY(operand, add(op, token.position, {operand}));
        return add(op, token.position, {operand});
      }
      if (count % 2 == 0) {
        TRY(operand, add(op, token.position, {operand}));
      }
      return add(op, token.position, {operand});
    }
    return member();
  }

  Result<Index> member() {
    TRY(auto target, primary());
    std::size_t links = 0;
    for (;;) {
      if (++links > environment_.limits.depth)
        return refuse_at(peek(),
                         "a chain of more than " + std::to_string(environment_.limits.depth) + " links",
                         errors::too_large);
      const auto token = peek();
      if (skip(".")) {
        const bool optional = skip("?");
        const auto field = take();
        const bool named = field.kind == TokenKind::quoted ||
                           (field.kind == TokenKind::identifier && !is_one_of(kKeywords, field.text));
        if (!named) return refuse_at(field, "expected a name behind the dot");
        if (!optional && field.kind == TokenKind::identifier && peek().is("(")) {
          TRY(target, receiver_call(target, field));
          continue;
        }
        auto& before = node(target);
        if (before.op == Op::name && !optional && field.kind == TokenKind::identifier &&
            !closed_.contains(target)) {
          before.parts.push_back(field.text);
          continue;
        }
        Node select;
        select.op = Op::select;
        select.position = field.position;
        select.optional = optional;
        select.text = field.text;
        select.constant = Value::string(texts_.copy(field.text));
        select.children = {target};
        TRY(target, add(std::move(select)));
      } else if (skip("[")) {
        const bool optional = skip("?");
        TRY(const auto key, expression());
        CHECK(expect("]"));
        TRY(target, add(Op::index, token.position, {target, key}));
        node(target).optional = optional;
      } else if (token.is("{") && node(target).op == Op::name && !closed_.contains(target)) {
        TRY(target, message(target));
      } else {
        return target;
      }
    }
  }

  Result<Index> primary() {
    const bool negative = std::exchange(negative_, false);
    const auto token = peek();
    switch (token.kind) {
      case TokenKind::integer:
      case TokenKind::unsigned_integer:
      case TokenKind::real:
        return number(take(), negative);
      case TokenKind::string:
      case TokenKind::bytes: {
        Node literal;
        literal.position = take().position;
        const auto text = texts_.copy(token.text);
        literal.constant = token.kind == TokenKind::string ? Value::string(text) : Value::bytes(text);
        return add(std::move(literal));
      }
      case TokenKind::identifier:
        return identifier();
      case TokenKind::symbol:
        break;
      default:
        return refuse_at(token,
                         token.kind == TokenKind::end ? "the expression ends too early" : "expected a value");
    }
    if (skip("(")) {
      TRY(const auto inner, expression());
      CHECK(expect(")"));
      closed_.insert(inner);  // `(a).b` is a field of a, never the name a.b
      return inner;
    }
    if (token.is("[")) return list();
    if (token.is("{")) return map();
    if (token.is(".") && peek(1).kind == TokenKind::identifier) {
      take();
      return identifier(true);
    }
    return refuse_at(token, "expected a value");
  }

  Result<Index> number(const Token& token, bool negative) {
    Node literal;
    literal.position = token.position;
    const auto text = (negative ? "-" : "") + token.text;
    const bool hex = token.text.starts_with("0x");
    const std::string digits = hex ? (negative ? "-" : "") + token.text.substr(2) : text;
    const auto* const begin = digits.data();
    const auto* const end = begin + digits.size();
    const auto read = [&](auto& into) {
      const auto result = std::from_chars(begin, end, into, hex ? 16 : 10);
      return result.ec == std::errc{} && result.ptr == end;
    };
    bool ok = false;
    if (token.kind == TokenKind::integer) {
      std::int64_t value = 0;
      ok = read(value);
      literal.constant = Value::of(value);
    } else if (token.kind == TokenKind::unsigned_integer) {
      std::uint64_t value = 0;
      ok = read(value);
      literal.constant = Value::of(value);
    } else {
      double value = 0;
      const auto result = std::from_chars(begin, end, value);
      // Too large is infinite and too small is zero, as everywhere in arithmetic.
      if (result.ec == std::errc::result_out_of_range) value = std::strtod(digits.c_str(), nullptr);
      ok = result.ptr == end;
      literal.constant = Value::of(value);
    }
    if (!ok) return refuse_at(token, "the number does not fit");
    return add(std::move(literal));
  }

  Result<Index> identifier(bool absolute = false) {
    const auto token = take();
    if (!absolute) {
      Node literal;
      literal.position = token.position;
      if (token.text == "null") return add(std::move(literal));
      if (token.text == "true" || token.text == "false") {
        literal.constant = Value::of(token.text == "true");
        return add(std::move(literal));
      }
    }
    if (is_one_of(kReserved, token.text) || is_one_of(kKeywords, token.text))
      return refuse_at(token, "'" + token.text + "' is a reserved word");
    if (peek().is("(")) return global_call(token, token.text);
    if (!absolute) {
      for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
        if (scope->first != token.text) continue;
        Node local;
        local.op = Op::local;
        local.position = token.position;
        local.slot = scope->second;
        local.text = token.text;
        return add(std::move(local));
      }
    }
    Node name;
    name.op = Op::name;
    name.position = token.position;
    name.absolute = absolute;
    name.parts = {token.text};
    return add(std::move(name));
  }

  Result<std::vector<Index>> arguments() {
    std::vector<Index> list;
    if (skip(")")) return list;
    do {
      TRY(const auto argument, expression());
      list.push_back(argument);
    } while (skip(","));
    CHECK(expect(")"));
    return list;
  }

  Result<Index> global_call(const Token& at, const std::string& name) {
    take();  // (
    if (name == "has") return has(at);
    TRY(auto list, arguments());
    return call(at, name, std::move(list), false);
  }

  Result<Index> has(const Token& at) {
    TRY(const auto list, arguments());
    if (list.size() != 1) return refuse_at(at, "has() takes one field, such as has(a.b)");
    auto& operand = node(list.front());
    if (operand.op == Op::name && operand.parts.size() > 1 && !closed_.contains(list.front())) {
      Node test;
      test.op = Op::has;
      test.position = at.position;
      test.text = operand.parts.back();
      test.constant = Value::string(texts_.copy(test.text));
      operand.parts.pop_back();
      test.children = {list.front()};
      return add(std::move(test));
    }
    if (operand.op != Op::select || operand.optional)
      return refuse_at(at, "has() takes a field, such as has(a.b)");
    operand.op = Op::has;
    return list.front();
  }

  Result<Index> call(const Token& at, const std::string& name, std::vector<Index> list, bool receiver) {
    const auto* function = find_function(name);
    if (function == nullptr || !(receiver ? function->receiver : function->global))
      return refuse_at(at, "there is no function " + name + (receiver ? "() of a value" : "()"),
                       errors::undeclared);
    if (list.size() < function->least || list.size() > function->most) {
      // Another number of arguments is another overload that does not exist: an error when it is called.
      Node missing;
      missing.op = Op::call;
      missing.position = at.position;
      missing.text = name;
      missing.children = std::move(list);
      return add(std::move(missing));
    }
    Node made;
    made.op = Op::call;
    made.position = at.position;
    made.text = name;
    made.function = function->call;
    if (name == "matches" && list.size() == 2 && node(list[1]).op == Op::constant &&
        node(list[1]).constant.kind == Kind::string) {
      made.pattern = std::make_unique<RE2>(std::string(node(list[1]).constant.view()), pattern_options());
      if (!made.pattern->ok()) return refuse_at(at, "not a regular expression: " + made.pattern->error());
    }
    made.children = std::move(list);
    return add(std::move(made));
  }

  static RE2::Options pattern_options() {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);
    return options;
  }

  /// The names before a call, where they are nothing but names: `math` of `math.greatest(…)`.
  std::string qualified(Index target, const std::string& name) {
    const auto& before = node(target);
    if (before.op != Op::name || closed_.contains(target)) return {};
    std::string whole;
    for (const auto& part : before.parts) whole += part + ".";
    return whole + name;
  }

  Result<Index> receiver_call(Index target, const Token& field) {
    take();  // (
    const auto whole = qualified(target, field.text);
    const auto* const global = whole.empty() ? nullptr : find_function(whole);
    const bool is_bind = whole == "cel.bind";
    // What stood before the dot was a part of the function's name.
    if (is_bind || (global != nullptr && global->global)) node(target) = Node();
    if (is_bind) return bind(field);
    if (global != nullptr && global->global) {
      TRY(auto list, arguments());
      return call(field, whole, std::move(list), false);
    }
    for (const auto& macro : kMacros) {
      if (macro.name != field.text) continue;
      if (peek().kind == TokenKind::identifier && peek(1).is(",")) return expand(macro, target, field);
      break;
    }
    TRY(auto list, arguments());
    list.insert(list.begin(), target);
    if (list.size() == 2 && (field.text == "or" || field.text == "orValue"))
      return add(field.text == "or" ? Op::optional_or : Op::optional_or_value, field.position,
                 std::move(list));
    return call(field, field.text, std::move(list), true);
  }

  Result<std::string> macro_variable() {
    const auto token = take();
    if (token.kind != TokenKind::identifier || is_one_of(kKeywords, token.text) ||
        is_one_of(kReserved, token.text))
      return refuse_at(token, "expected the name of a variable");
    return token.text;
  }

  Result<std::uint32_t> open_scope(const std::string& name) {
    const auto slot = static_cast<std::uint32_t>(scopes_.size());
    if (slot >= kMaxSlots) return refuse_at(peek(), "macros are nested too deeply", errors::too_large);
    scopes_.emplace_back(name, slot);
    parsed_.slots = std::max(parsed_.slots, slot + 1);
    return slot;
  }

  Result<Index> expand(const Macro& macro, Index target, const Token& field) {
    Node made;
    made.op = macro.op;
    made.position = field.position;
    made.text = field.text;
    made.children = {target};
    const auto scopes = scopes_.size();
    TRY(const auto first, macro_variable());
    CHECK(expect(","));
    // Two variables where two names stand before what is evaluated.
    made.two_variables =
        macro.variables == 2 || (macro.two && peek().kind == TokenKind::identifier && peek(1).is(","));
    std::string second;
    if (made.two_variables) {
      TRY(second, macro_variable());
      CHECK(expect(","));
      if (second == first) return refuse_at(field, "the two variables must have two names");
    }
    TRY(made.slot, open_scope(first));
    if (made.two_variables) {
      TRY(made.slot2, open_scope(second));
    }
    TRY(const auto list, arguments());
    scopes_.resize(scopes);
    if (list.size() < macro.least || list.size() > macro.most)
      return refuse_at(field, std::string(macro.name) + "() has too many or too few arguments");
    made.children.insert(made.children.end(), list.begin(), list.end());
    return add(std::move(made));
  }

  Result<Index> bind(const Token& field) {
    Node made;
    made.op = Op::bind;
    made.position = field.position;
    TRY(const auto name, macro_variable());
    CHECK(expect(","));
    TRY(const auto value, expression());
    CHECK(expect(","));
    const auto scopes = scopes_.size();
    TRY(made.slot, open_scope(name));
    TRY(const auto result, expression());
    scopes_.resize(scopes);
    CHECK(expect(")"));
    made.children = {value, result};
    return add(std::move(made));
  }

  Result<Index> list() {
    Node made;
    made.op = Op::list;
    made.position = take().position;
    bool any_optional = false;
    while (!peek().is("]")) {
      const bool optional = skip("?");
      any_optional = any_optional || optional;
      made.optional_children.push_back(optional);
      TRY(const auto item, expression());
      made.children.push_back(item);
      if (!skip(",")) break;
    }
    CHECK(expect("]"));
    if (!any_optional) made.optional_children.clear();
    return add(std::move(made));
  }

  Result<Index> map() {
    Node made;
    made.op = Op::map;
    made.position = take().position;
    bool any_optional = false;
    while (!peek().is("}")) {
      const bool optional = skip("?");
      any_optional = any_optional || optional;
      made.optional_children.push_back(optional);
      TRY(const auto key, expression());
      CHECK(expect(":"));
      TRY(const auto value, expression());
      made.children.push_back(key);
      made.children.push_back(value);
      if (!skip(",")) break;
    }
    CHECK(expect("}"));
    if (!any_optional) made.optional_children.clear();
    return add(std::move(made));
  }

  Result<Index> message(Index target) {
    Node made;
    made.op = Op::message;
    made.position = take().position;
    for (const auto& part : node(target).parts) made.text += (made.text.empty() ? "" : ".") + part;
    node(target) = Node();
    while (!peek().is("}")) {
      made.optional_children.push_back(skip("?"));
      const auto field = take();
      if (field.kind != TokenKind::identifier && field.kind != TokenKind::quoted)
        return refuse_at(field, "expected the name of a field");
      CHECK(expect(":"));
      TRY(const auto value, expression());
      made.parts.push_back(field.text);
      made.children.push_back(value);
      if (!skip(",")) break;
    }
    CHECK(expect("}"));
    return add(std::move(made));
  }

  std::string_view source_;
  const Environment& environment_;
  Arena& texts_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0, depth_ = 0;
  bool negative_ = false;
  Parsed parsed_;
  std::set<Index> closed_;  ///< names in parentheses: complete
  std::vector<std::pair<std::string, std::uint32_t>> scopes_;
};

}  // namespace

Result<Parsed> parse(std::string_view source, const Environment& environment, Arena& texts) {
  TRY(auto tokens, tokens_of(source, environment.limits));
  return Parser(source, environment, texts, std::move(tokens)).run();
}

}  // namespace intra365::cel
