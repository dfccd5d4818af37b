#include "cli/cel_commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

#include "cel/program.hpp"
#include "cli/files.hpp"
#include "contract/errors.hpp"
#include "json/json.hpp"

namespace intra365::cli {
namespace {

namespace bj = boost::json;

struct Arguments {
  std::string expression, variables, typed_variables, container;
  std::vector<std::string> declared;
  bool typed = false, batch = false, references = false, check = false;
};

/// Plain JSON values, and values with their types beside them.
class Variables final : public cel::Activation {
 public:
  Result<void> add_plain(const bj::value& document) {
    if (!document.is_object()) return fail(errors::bad_value, "variables: expected a JSON object");
    plain_ = document.get_object();
    return {};
  }
  Result<void> add_typed(const bj::value& document) {
    if (!document.is_object()) return fail(errors::bad_value, "typed variables: expected a JSON object");
    for (const auto& item : document.get_object()) {
      const auto value = cel::from_typed_json(item.value(), arena_);
      if (value.is_error())
        return fail(errors::bad_value, std::string(item.key()) + ": " + std::string(value.problem->message));
      typed_[std::string(item.key())] = value;
    }
    return {};
  }
  bool find(std::uint32_t, std::string_view name, cel::Value& value) const override {
    if (const auto found = typed_.find(name); found != typed_.end()) return value = found->second, true;
    const auto* member = plain_.if_contains(name);
    if (member == nullptr) return false;
    return value = cel::Value::of(*member), true;
  }

 private:
  cel::Arena arena_;
  bj::object plain_;
  std::map<std::string, cel::Value, std::less<>> typed_;
};

/// `name=type`.
Result<cel::Checks> checks_of(const std::vector<std::string>& declared) {
  cel::Checks checks;
  for (const auto& one : declared) {
    const auto equals = one.find('=');
    if (equals == std::string::npos)
      return fail(errors::bad_value, "--declare " + one + ": expected name=type, such as 'n=list(int)'");
    TRY(checks.variables[one.substr(0, equals)], cel::read_type(std::string_view(one).substr(equals + 1)));
  }
  return checks;
}

Result<int> evaluate(const Arguments& arguments) {
  cel::Environment environment;
  environment.container = arguments.container;
  if (arguments.check || !arguments.declared.empty()) {
    TRY(environment.checks, checks_of(arguments.declared));
  }
  TRY(const auto program, cel::compile(arguments.expression, environment));
  if (arguments.check) {
    std::cout << cel::to_text(program.type()) << std::endl;
    return 0;
  }
  if (arguments.references) {
    bj::array list;
    for (const auto& one : program.references()) list.emplace_back(one);
    std::cout << bj::serialize(list) << std::endl;
    return 0;
  }
  Variables variables;
  for (const bool typed : {false, true}) {
    const auto& path = typed ? arguments.typed_variables : arguments.variables;
    if (path.empty()) continue;
    TRY(const auto text, read_input(path));
    TRY(const auto document, json::parse(text));
    CHECK(typed ? variables.add_typed(document) : variables.add_plain(document));
  }
  cel::Arena arena;
  const auto value = program.evaluate(variables, arena);
  if (value.is_error()) return fail(cel::errors::evaluation, std::string(value.problem->message));
  std::cout << bj::serialize(arguments.typed ? cel::to_typed_json(value) : cel::to_json(value)) << std::endl;
  return 0;
}

/// One request of a batch; what goes wrong is its answer.
bj::object answer(std::string_view line) {
  const auto refuse = [](const Error& error) {
    return bj::object{{"error", {{"code", error.code}, {"message", error.detail}}}};
  };
  const auto request = json::parse(line);
  if (!request) return refuse(request.error());
  const auto* object = request->if_object();
  const auto* expression = object == nullptr ? nullptr : object->if_contains("expr");
  if (expression == nullptr || !expression->is_string())
    return refuse(Error(errors::missing_field, "expected an object with 'expr'"));
  cel::Environment environment;
  if (const auto* container = object->if_contains("container");
      container != nullptr && container->is_string())
    environment.container = container->get_string();
  if (const auto* declared = object->if_contains("declare"); declared != nullptr && declared->is_object()) {
    environment.checks.emplace();
    for (const auto& one : declared->get_object()) {
      if (!one.value().is_string())
        return refuse(Error(errors::bad_value, "declare: expected names of types"));
      auto type = cel::read_type(one.value().get_string());
      if (!type) return refuse(type.error());
      environment.checks->variables.emplace(one.key(), *std::move(type));
    }
  }
  const auto program = cel::compile(expression->get_string(), environment);
  if (!program) return refuse(program.error());
  const auto checked = cel::to_text(program->type());
  if (const auto* only = object->if_contains("checkOnly"); only != nullptr && *only == bj::value(true))
    return {{"type", checked}};
  Variables variables;
  for (const bool typed : {false, true}) {
    const auto* given = object->if_contains(typed ? "typedVars" : "vars");
    if (given == nullptr) continue;
    const auto added = typed ? variables.add_typed(*given) : variables.add_plain(*given);
    if (!added) return refuse(added.error());
  }
  cel::Arena arena;
  const auto value = program->evaluate(variables, arena);
  if (value.is_error()) return refuse(Error(cel::errors::evaluation, std::string(value.problem->message)));
  bj::object given{{"value", cel::to_json(value)}, {"typed", cel::to_typed_json(value)}};
  if (environment.checks) given["type"] = checked;
  return given;
}

Result<int> run_batch() {
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) std::cout << bj::serialize(answer(line)) << "\n";
  }
  std::cout.flush();
  return 0;
}

}  // namespace

void add_cel_commands(CLI::App& app, Target& target, int& exit_code) {
  auto* group =
      app.add_subcommand("cel", "Try expressions (Common Expression Language) of policies and filters");
  group->require_subcommand(1);
  const auto arguments = std::make_shared<Arguments>();
  auto* command = group->add_subcommand("eval", "Evaluate one expression, or many");
  command->add_option("expression", arguments->expression, "The expression, such as 'user.age >= 18'");
  command->add_option("--vars", arguments->variables,
                      "File with a JSON object of variables; - reads standard input");
  command->add_option("--typed-vars", arguments->typed_variables,
                      "The same with types: {\"n\": {\"type\": \"uint\", \"value\": \"1\"}}");
  command->add_option("--container", arguments->container, "Container in which names are looked for: a.b");
  command->add_flag("--typed", arguments->typed, "Print the value with its type, losing nothing");
  command
      ->add_option("--declare", arguments->declared,
                   "Check types first, knowing these variables: name=type, such as 'n=map(string, int)'")
      ->allow_extra_args(false);
  command->add_flag("--check", arguments->check,
                    "Print the type it gives, and do not evaluate; undeclared names are refused");
  command->add_flag("--references", arguments->references,
                    "Print the attributes it reads, and do not evaluate");
  command->add_flag("--json", target.json, "Accepted everywhere; values are always printed as JSON");
  command->add_flag(
      "--batch", arguments->batch,
      "Read requests from standard input, one JSON object a line: expr, vars, typedVars, container,\n"
      "declare ({name: type}), checkOnly");
  command->footer(
      "Types: null, bool, int, uint, double, string, bytes (base64), list, map, timestamp (RFC 3339),\n"
      "duration (1.5s), type, optional. Plain output writes bytes, times and durations as texts.\n"
      "Exit codes: 0 a value, 1 an error (on standard error), 2 bad usage.");
  command->callback([arguments, &exit_code] {
    if (arguments->batch == !arguments->expression.empty())
      throw CLI::ValidationError("cel eval", "give an expression, or --batch");
    const auto done = arguments->batch ? run_batch() : evaluate(*arguments);
    if (!done) std::cerr << done.error().code << ": " << done.error().detail << std::endl;
    exit_code = done ? *done : 1;
  });
}

}  // namespace intra365::cli
