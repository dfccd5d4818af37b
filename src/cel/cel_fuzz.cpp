// Whatever is compiled and evaluated: no crash, no endless run, and one answer for one question. The input is
// an expression, a zero byte, and a JSON document of variables.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>

#include "cel/program.hpp"

using namespace intra365;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto end = std::min(input.find('\0'), input.size());
  boost::system::error_code failed;
  const auto document = boost::json::parse(end < size ? input.substr(end + 1) : "{}", failed);
  const boost::json::object none;
  const cel::JsonActivation variables(!failed && document.is_object() ? document.get_object() : none);

  cel::Environment environment;
  environment.limits.steps = 20'000;
  environment.limits.memory_bytes = 1u << 20;
  const auto answer_of = [&](const cel::Environment& in) {
    const auto program = cel::compile(input.substr(0, end), in);
    if (!program) return "!" + program.error().detail;
    cel::Arena arena(in.limits.memory_bytes);
    const auto value = program->evaluate(variables, arena);
    if (value.is_error()) return "!" + std::string(value.problem->message);
    const auto text = boost::json::serialize(cel::to_typed_json(value));
    // What is written is read back as the same, as deep as JSON is read.
    boost::system::error_code too_deep;
    const auto written = boost::json::parse(text, too_deep);
    cel::Arena again;
    if (!too_deep && boost::json::serialize(cel::to_typed_json(cel::from_typed_json(written, again))) != text)
      std::abort();
    (void)cel::to_json(value);
    return text;
  };
  const auto answer = answer_of(environment);
  if (answer_of(environment) != answer) std::abort();

  // The checker refuses, or changes nothing.
  auto& checks = environment.checks.emplace();
  for (const char* name : {"user", "names", "a", "x"}) checks.variables[name] = cel::Type::Kind::dyn;
  const auto checked = answer_of(environment);
  if (!checked.starts_with("!") && !answer.starts_with("!") && checked != answer) std::abort();
  return 0;
}
