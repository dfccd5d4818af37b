// The public face of the expression language: compile once, evaluate often.
//
//     TRY(const auto program, cel::compile("user.age >= 18 && context.device in ['phone', 'tablet']"));
//     cel::Arena arena;                              // one per thread, kept
//     const auto value = program.evaluate(cel::JsonActivation(document), arena);
//     if (value.is_error()) …
#pragma once
#include <map>
#include <memory>
#include <optional>

#include "cel/errors.hpp"
#include "cel/limits.hpp"
#include "cel/types.hpp"
#include "cel/value.hpp"

namespace intra365::cel {

/// What the checker knows and asks for.
struct Checks {
  std::map<std::string, Type> variables;  ///< all there are; `dyn` where nothing is known
  std::optional<Type> result;             ///< that the whole must give
};

/// What an expression is compiled in.
struct Environment {
  std::string container;  ///< `a.b`: names are looked for as a.b.name, a.name, name
  /// The variables there are; a name beside them is refused when the expression is compiled. Empty: any name
  /// may turn out to be a variable when it runs.
  std::vector<std::string> variables;
  std::optional<Checks> checks;  ///< none: types show when it runs. Its variables are declared by it.
  Limits limits;
};

/// Gives variables their values.
class Activation {
 public:
  virtual ~Activation() = default;
  /// `index` is the variable's place in Program::variables(). False: nobody has given it.
  virtual bool find(std::uint32_t index, std::string_view name, Value& value) const = 0;
};

/// The members of a JSON object are the variables. Views the object.
class JsonActivation final : public Activation {
 public:
  explicit JsonActivation(const boost::json::object& object) : object_(object) {}
  bool find(std::uint32_t, std::string_view name, Value& value) const override;

 private:
  const boost::json::object& object_;
};

struct Node;

/// Immutable; any thread may evaluate it. Cheap to copy.
class Program {
 public:
  /// Never throws. Fails as a value of kind `error`. What the value refers to lives as long as the program,
  /// the activation's values and the arena's memory; the arena is reset by this call.
  Value evaluate(const Activation& activation, Arena& arena) const;

  const std::string& source() const;
  /// What it gives, as far as the checker knows; `dyn` where nothing was checked.
  const Type& type() const;
  /// The names that may be asked for, each once.
  const std::vector<std::string>& variables() const;
  /// The attribute paths it reads, such as `user.age`; sorted, each once.
  const std::vector<std::string>& references() const;

 private:
  friend Result<Program> compile(std::string_view source, const Environment& environment);
  friend class Evaluation;
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// Fails with cel.syntax, cel.undeclared, cel.type or cel.too_large, saying line and column.
Result<Program> compile(std::string_view source, const Environment& environment = {});

}  // namespace intra365::cel
