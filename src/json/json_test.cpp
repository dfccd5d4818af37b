#include "json/json.hpp"

#include <gtest/gtest.h>

#include <array>
#include <charconv>

namespace intra365::json {
namespace {

enum class Colour { red, operator_ };
BOOST_DESCRIBE_ENUM(Colour, red, operator_)

struct Inner {
  std::string some_name;
  std::int64_t big_number = 0;
};
BOOST_DESCRIBE_STRUCT(Inner, (), (some_name, big_number))

struct Outer {
  MateId mate_id;
  bool is_on = false;
  double ratio = 0;
  Colour colour = Colour::red;
  Timestamp at;
  std::optional<std::string> note;
  std::vector<Inner> inners;
  std::map<std::string, int> counts;
  bj::value free_form;
  std::uint64_t retries = 3;
  static constexpr std::array<std::string_view, 1> optional_fields{"retries"};
};
BOOST_DESCRIBE_STRUCT(Outer, (),
                      (mate_id, is_on, ratio, colour, at, note, inners, counts, free_form, retries))

constexpr std::string_view kWhole =
    R"({"mateId":"m1","isOn":true,"ratio":0.5,"colour":"operator","at":"2026-01-02T03:04:05Z","note":"a\"b\n\u0001","inners":[{"someName":"x","bigNumber":9007199254740993}],"counts":{"a":1},"freeForm":{"any":[1,null]},"retries":7})";

TEST(Numbers, are_read_as_the_nearest_double) {
  for (const double number :
       {333333333.33333329, 1e30, 4.35, 5e-324, 1.7976931348623157e308, 18446744073736854775808.0, 0.1}) {
    std::array<char, 40> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    const auto parsed =
        json::parse(std::string_view(text.data(), static_cast<std::size_t>(end - text.data())));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->to_number<double>(), number);
  }
  EXPECT_FALSE(json::parse("1e375808"));
  EXPECT_EQ(json::parse("1e-375808")->to_number<double>(), 0);
}

TEST(Json, a_struct_survives_the_way_out_and_in) {
  const auto outer = decode<Outer>(kWhole);
  ASSERT_TRUE(outer) << outer.error().detail;
  EXPECT_EQ(outer->inners[0].big_number, 9007199254740993);
  EXPECT_EQ(outer->note, "a\"b\n\x01");
  EXPECT_EQ(outer->colour, Colour::operator_);
  EXPECT_EQ(encode(*outer), kWhole);
}

TEST(Json, what_may_be_absent_keeps_its_default_and_empty_optionals_are_left_out) {
  const auto outer = decode<Outer>(R"({"mateId":"m","ratio":1,"colour":"red","at":"2026-01-02T03:04:05Z"})");
  ASSERT_TRUE(outer);
  EXPECT_EQ(outer->retries, 3u);
  EXPECT_EQ(encode(*outer).find("note"), std::string::npos);
}

struct Refused {
  const char* text;
  const char* code;
  const char* names;
};

TEST(Json, each_fault_has_its_code_and_names_its_field) {
  for (const auto& [text, code, names] : {
           Refused{"{", "request.malformed", ""},
           Refused{"{}x", "request.malformed", ""},
           Refused{"\"\xff\"", "request.malformed", ""},
           Refused{"[]", "request.wrong_type", "object"},
           Refused{R"({"someName":"x"})", "request.missing_field", "bigNumber"},
           Refused{R"({"someName":"x","bigNumber":1,"colour":2})", "request.unknown_field", "colour"},
           Refused{R"({"someName":1,"bigNumber":1})", "request.wrong_type", "someName"},
           Refused{R"({"someName":"x","bigNumber":1.5})", "request.wrong_type", "bigNumber"},
           Refused{R"({"someName":"x","bigNumber":9223372036854775808})", "request.wrong_type", "bigNumber"},
           Refused{R"({"someName":"x","someName":"y","bigNumber":1})", "request.duplicate_field", "someName"},
       }) {
    const auto inner = decode<Inner>(text);
    ASSERT_FALSE(inner) << text;
    EXPECT_EQ(inner.error().code, code) << text;
    EXPECT_NE(inner.error().detail.find(names), std::string::npos) << inner.error().detail;
  }
  const auto nested = decode<Outer>(
      R"({"mateId":"m","ratio":1,"colour":"red","at":"2026-01-02T03:04:05Z","inners":[{"someName":"x","bigNumber":1},{"someName":2,"bigNumber":1}]})");
  EXPECT_NE(nested.error().detail.find("inners[1].someName"), std::string::npos) << nested.error().detail;
  EXPECT_EQ(
      decode<Outer>(R"({"mateId":"a.b","ratio":1,"colour":"red","at":"2026-01-02T03:04:05Z"})").error().code,
      "subject.bad_token");
}

TEST(Json, nesting_is_bounded) {
  EXPECT_TRUE(parse(std::string(32, '[') + std::string(32, ']')));
  EXPECT_EQ(parse(std::string(33, '[') + std::string(33, ']')).error().code, "request.too_deep");
  EXPECT_FALSE(parse(std::string(100'000, '[')));
}

TEST(Json, duplicates_are_noticed_at_every_level) {
  EXPECT_EQ(parse(R"({"a":{"b":1,"b":2}})").error().code, "request.duplicate_field");
  EXPECT_TRUE(parse(R"([{"b":1},{"b":2}])"));
}

TEST(Json, a_schema_says_what_decode_demands) {
  const auto described = schema<Outer>();
  const auto& required = described.at("required").get_array();
  EXPECT_EQ(required.size(), 4u);  // mateId, ratio, colour, at
  EXPECT_EQ(described.at("properties").at("at").at("format"), "date-time");
  EXPECT_EQ(described.at("properties").at("colour").at("enum").get_array()[1], "operator");
  EXPECT_EQ(described.at("additionalProperties"), false);
}

}  // namespace
}  // namespace intra365::json
