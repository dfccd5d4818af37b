#include "policy/expression.hpp"

#include "cel/program.hpp"

namespace intra365::policy {
namespace {

/// More than any condition needs; a request cannot make a decision slow.
cel::Limits limits_of_conditions() {
  cel::Limits limits;
  limits.source_bytes = limits::kWhenLength;
  limits.depth = 64;
  limits.nodes = 5'000;
  limits.steps = 50'000;
  limits.memory_bytes = 1u << 20;
  return limits;
}

class When final : public Expression {
 public:
  explicit When(cel::Program program) : program_(std::move(program)) {}

  Truth evaluate(const boost::json::object& attributes) const override {
    // One a thread, kept: decisions do not allocate.
    thread_local cel::Arena arena(limits_of_conditions().memory_bytes);
    const auto value = program_.evaluate(cel::JsonActivation(attributes), arena);
    if (value.kind == cel::Kind::boolean) return value.boolean ? Truth::yes : Truth::no;
    if (!value.is_error()) return Truth::wrong_type;
    const auto cause = value.problem->cause;
    return cause == cel::Cause::no_such_attribute || cause == cel::Cause::no_such_key ? Truth::missing
                                                                                      : Truth::failed;
  }
  std::vector<std::string> references() const override { return program_.references(); }

 private:
  cel::Program program_;
};

}  // namespace

Result<std::shared_ptr<const Expression>> compile_expression(std::string_view source, const Pointer& at) {
  cel::Environment environment;
  // Attributes come as they come: what is known is only that a condition holds or does not.
  auto& checks = environment.checks.emplace();
  for (const auto root : kRoots) checks.variables.emplace(root, cel::Type::Kind::dyn);
  checks.result = cel::Type::Kind::boolean;
  environment.limits = limits_of_conditions();
  auto program = cel::compile(source, environment);
  if (!program) return at.refuse(program.error().detail);
  return std::make_shared<const When>(*std::move(program));
}

}  // namespace intra365::policy
