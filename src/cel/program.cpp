#include "cel/program.hpp"

#include "cel/checker.hpp"
#include "cel/evaluation.hpp"

namespace intra365::cel {

bool JsonActivation::find(std::uint32_t, std::string_view name, Value& value) const {
  const auto* member = object_.if_contains(name);
  if (member == nullptr) return false;
  value = Value::of(*member);
  return true;
}

Value Program::evaluate(const Activation& activation, Arena& arena) const {
  arena.reset();
  Evaluation evaluation(*impl_, activation, arena);
  const auto value = evaluation.run();
  return evaluation.spent() && !value.is_error() ? evaluation.limit() : value;
}

const std::string& Program::source() const {
  return impl_->source;
}
const Type& Program::type() const {
  return impl_->type;
}
const std::vector<std::string>& Program::variables() const {
  return impl_->parsed.variables;
}
const std::vector<std::string>& Program::references() const {
  return impl_->parsed.references;
}

Result<Program> compile(std::string_view source, const Environment& environment) {
  auto made = std::make_shared<Program::Impl>();
  made->source = source;
  made->environment = environment;
  auto& variables = made->environment.variables;
  if (environment.checks) {
    for (const auto& one : environment.checks->variables) variables.push_back(one.first);
  }
  TRY(made->parsed, parse(made->source, made->environment, made->texts));
  if (environment.checks) {
    TRY(made->type, check(made->parsed, made->source, *environment.checks));
  }
  Program program;
  program.impl_ = std::move(made);
  return program;
}

}  // namespace intra365::cel
