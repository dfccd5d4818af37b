#include "cel/program.hpp"

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
  return arena.exhausted() && !value.is_error() ? evaluation.limit() : value;
}

const std::string& Program::source() const {
  return impl_->source;
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
  TRY(made->parsed, parse(made->source, made->environment, made->texts));
  Program program;
  program.impl_ = std::move(made);
  return program;
}

}  // namespace intra365::cel
