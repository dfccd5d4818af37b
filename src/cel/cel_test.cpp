// The language, as tables of expressions: cases/*.txt, one case a line.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "cel/program.hpp"

namespace intra365::cel {
namespace {

const char* const kDocument = R"({
  "user": {"age": 42, "name": "Ada", "na-me": "quoted"},
  "context": {"devices": ["phone", "tablet"]},
  "names": ["Ada", "Grace"],
  "ages": {"x": 1},
  "b": "["
})";

struct Case {
  std::string file;
  int line = 0;
  std::string expression, relation, expected;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const auto& entry : std::filesystem::directory_iterator(INTRA365_SOURCE_DIR "/src/cel/cases")) {
    std::ifstream file(entry.path());
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      if (line.empty() || line.starts_with("#")) continue;
      const auto at = line.rfind(" =>");
      const auto end = line.find(' ', at + 3);
      if (at == std::string::npos || end == std::string::npos)
        throw std::runtime_error(entry.path().string() + ":" + std::to_string(number) + ": no case");
      list.push_back({entry.path().filename(), number, line.substr(0, at), line.substr(at + 1, end - at - 1),
                      line.substr(end + 1)});
    }
  }
  return list;
}

/// A value with its type, or `!` and the error.
std::string outcome(const std::string& expression, const Environment& environment = {}) {
  const auto program = compile(expression, environment);
  if (!program) return "!" + std::string(program.error().code) + ": " + program.error().detail;
  const auto document = boost::json::parse(kDocument);
  Arena arena;
  const auto value = program->evaluate(JsonActivation(document.get_object()), arena);
  if (value.is_error()) return "!" + std::string(value.problem->message);
  return boost::json::serialize(to_typed_json(value));
}

Environment checked() {
  Environment environment;
  auto& variables = environment.checks.emplace().variables;
  variables["user"] = *read_type("dyn");
  variables["names"] = *read_type("list(string)");
  variables["ages"] = *read_type("map(string, int)");
  return environment;
}

TEST(Cel, tables_hold) {
  const auto all = cases();
  ASSERT_GT(all.size(), 300U);
  for (const auto& one : all) {
    SCOPED_TRACE(one.file + ":" + std::to_string(one.line) + ": " + one.expression);
    if (one.relation == "=>:") {
      const auto program = compile(one.expression, checked());
      ASSERT_TRUE(program) << program.error().detail;
      EXPECT_EQ(to_text(program->type()), one.expected);
    } else if (one.relation == "=>!") {
      const auto found = outcome(one.expression, one.file == "types.txt" ? checked() : Environment());
      EXPECT_TRUE(found.starts_with("!") && found.find(one.expected) != std::string::npos) << found;
    } else {
      const auto expected = outcome(one.expected);
      EXPECT_FALSE(expected.starts_with("!")) << expected;
      EXPECT_EQ(outcome(one.expression), expected);
    }
  }
}

TEST(Cel, what_was_checked_gives_the_same_value) {
  for (const std::string expression :
       {"names.map(n, n.size())", "ages.x + 1", "user.age > 40 && names.exists(n, n.startsWith('G'))"}) {
    EXPECT_EQ(outcome(expression, checked()), outcome(expression)) << expression;
  }
}

TEST(Cel, a_refusal_shows_the_place) {
  const auto program = compile("user.age >= 18 &&\n  user.name === 'x'");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, errors::syntax.code);
  EXPECT_NE(program.error().detail.find("2:"), std::string::npos) << program.error().detail;
  EXPECT_NE(program.error().detail.find("\n"), std::string::npos);
}

TEST(Cel, names_are_looked_for_in_the_container_and_outwards) {
  const auto document = boost::json::parse(R"({"a.b.x": 1, "a.x": 2, "x": 3, "y": 4})");
  Environment environment;
  environment.container = "a.b";
  Arena arena;
  for (const auto& [source, expected] :
       {std::pair{"x", 1}, std::pair{".x", 3}, std::pair{"y", 4}, std::pair{"[9].map(x, x)[0]", 9}}) {
    const auto program = compile(source, environment);
    ASSERT_TRUE(program);
    EXPECT_EQ(program->evaluate(JsonActivation(document.get_object()), arena).integer, expected) << source;
  }
}

TEST(Cel, references_name_every_attribute_once) {
  const auto program = compile(
      "user.age > 3 && has(user.name) && names.all(n, n == user.name) && context.?zone.orValue('') == ''");
  ASSERT_TRUE(program);
  EXPECT_EQ(program->references(),
            (std::vector<std::string>{"context", "context.zone", "names", "user", "user.age", "user.name"}));
}

/// A depth, a length or a count that somebody chose to hurt.
TEST(Cel, what_is_too_much_is_refused_or_ends) {
  const auto many = [](std::string_view text, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  for (const auto& source :
       {many("(", 5000) + "1" + many(")", 5000), many("[", 5000) + many("]", 5000), "1" + many("+1", 15000),
        many("!", 30000) + "true", many("-", 30000) + "1", many("true?1:", 4000) + "1",
        "a" + many(".b()", 8000), "a" + many("[0]", 9000), many("{1:", 5000), "'" + many("x", 40000) + "'",
        many("a.all(x,", 3000), many("f(", 9000), "true" + many("&&true", 5000),
        "b'" + many("\\xff", 5000) + "'"}) {
    Limits limits;
    const auto program = compile(source);
    if (!program) continue;
    Arena arena(limits.memory_bytes);
    (void)program->evaluate(JsonActivation({}), arena);
  }
  for (const std::string source :
       {"lists.range(100000).map(x, lists.range(100000))", "'a'.replace('', 'aaaaaaaaaaaaaaaaaaaaaaaaa')",
        "lists.range(1000).map(x, string(x) + string(x)).join(',').replace('1', '1111111111111').split('')",
        "cel.bind(a, lists.range(1000), cel.bind(b, a + a, cel.bind(c, b + b, cel.bind(d, c + c, "
        "sets.equivalent(d.map(x, [x]), d.map(x, [x]))))))"}) {
    const auto program = compile(source);
    ASSERT_TRUE(program) << program.error().detail;
    Arena arena;
    (void)program->evaluate(JsonActivation({}), arena);
  }
}

TEST(Cel, a_limit_reached_anywhere_leaves_no_value) {
  Environment environment;
  environment.limits.steps = 200;
  const auto found = outcome("!sets.contains(lists.range(100), lists.range(90))", environment);
  EXPECT_TRUE(found.starts_with("!")) << found;
}

TEST(Cel, typed_json_goes_there_and_back) {
  for (const std::string source :
       {"1", "1u", "1.5", "double('NaN')", "'x'", "b'\\xff'", "null", "true", "[1, 'a', [2u]]",
        "{'a': 1, 2: b'x'}", "timestamp('2024-01-01T00:00:00.000000001Z')", "duration('1.5s')", "int",
        "optional.of(1)", "optional.none()"}) {
    const auto text = outcome(source);
    Arena arena;
    const auto value = from_typed_json(boost::json::parse(text), arena);
    EXPECT_EQ(boost::json::serialize(to_typed_json(value)), text);
  }
}

}  // namespace
}  // namespace intra365::cel
