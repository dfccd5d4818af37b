// One run of a program: what functions and operators work with.
#pragma once
#include <array>

#include "cel/node.hpp"
#include "cel/parser.hpp"
#include "cel/program.hpp"

namespace intra365::cel {

struct Program::Impl {
  std::string source;
  Environment environment;
  Arena texts{64u << 20};  ///< of the constants
  Parsed parsed;
  Type type;
};

class Evaluation {
 public:
  Evaluation(const Program::Impl& program, const Activation& activation, Arena& arena)
      : program_(program),
        activation_(activation),
        arena_(arena),
        steps_left_(program.environment.limits.steps) {}

  Value run() { return evaluate(program_.parsed.root); }

  Arena& arena() { return arena_; }
  Value fail(Cause cause, std::string_view message);
  Value no_overload(const Node& node, std::span<const Value> arguments);
  /// Counts work that grows with the data; false when it is too much, and then `limit()` is the answer.
  bool spend(std::uint64_t steps) {
    if (steps_left_ < steps || arena_.exhausted()) return steps_left_ = 0, false;
    steps_left_ -= steps;
    return true;
  }
  /// Whether it was too much somewhere: then there is no value, whatever came of it.
  bool spent() const { return steps_left_ == 0 || arena_.exhausted(); }
  Value limit() { return fail(Cause::limit, "evaluation takes more steps or memory than allowed"); }
  /// A text of this evaluation.
  Value string(std::string_view text) { return Value::string(arena_.copy(text)); }
  Value optional_of(const Value& held);
  /// A map of entries that stand in the arena, with an index where that pays. Fails on equal keys.
  Value map_of(std::span<const Entry> entries);

 private:
  Value evaluate(std::uint32_t index);
  Value name(const Node& node);
  Value select(const Node& node);
  Value field(const Value& target, const Node& node, const Value& key);
  Value has(const Node& node);
  Value index(const Node& node);
  Value index_into(const Value& target, const Value& key, const Node& node);
  Value call(const Node& node);
  Value list(const Node& node);
  Value map(const Node& node);
  Value message(const Node& node);
  Value logic(const Node& node, bool decides);
  Value binary(const Node& node);
  Value macro(const Node& node);
  Value quantifier(const Node& node, const Value& range);
  Value transform(const Node& node, const Value& range);
  Value sort_by(const Node& node, const Value& range);
  Value optional_macro(const Node& node);
  /// Puts an element's value, or its index or key and its value, where the macro's variables are.
  void bind(const Node& node, const Value& range, std::size_t at);

  const Node& node_at(std::uint32_t index) const { return program_.parsed.nodes[index]; }

  const Program::Impl& program_;
  const Activation& activation_;
  Arena& arena_;
  std::uint64_t steps_left_;
  std::array<Value, 64> locals_;
};

/// Arithmetic and comparison of two values that are no errors.
Value apply(Evaluation& evaluation, const Node& node, const Value& a, const Value& b);

}  // namespace intra365::cel
