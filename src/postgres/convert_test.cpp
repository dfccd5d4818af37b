// Text forms without a server; convert_server_test.cpp holds them to a real one.
#include "postgres/convert.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cmath>

#include "postgres/conninfo.hpp"
#include "postgres/rows_builder.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

using namespace std::chrono;
using detail::read;
using detail::write;

enum class Level { low, public_ };
BOOST_DESCRIBE_ENUM(Level, low, public_)

struct Person {
  std::string name;
  std::optional<int> age;
};
BOOST_DESCRIBE_STRUCT(Person, (), (name, age))

using Cells = std::vector<std::vector<const char*>>;  // nullptr is NULL

Rows make_rows(const std::vector<std::string>& columns, const Cells& cells) {
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<PGresAttDesc> attributes(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) attributes[i].name = const_cast<char*>(columns[i].c_str());
  PQsetResultAttrs(result, static_cast<int>(columns.size()), attributes.data());
  for (int row = 0; const auto& line : cells) {
    for (int column = 0; const char* cell : line) {
      PQsetvalue(result, row, column++, const_cast<char*>(cell),
                 cell ? static_cast<int>(std::string_view(cell).size()) : -1);
    }
    ++row;
  }
  return RowsBuilder::take(result);
}

template <class T>
std::optional<T> parsed(std::string_view text) {
  T value{};
  if (!read(std::optional<std::string_view>(text), value)) return std::nullopt;
  return value;
}

TEST(Write, every_type_has_its_text_form) {
  EXPECT_EQ(write(true), "true");
  EXPECT_EQ(write(std::int64_t{-9'007'199'254'740'993}), "-9007199254740993");
  EXPECT_EQ(write(0.1), "0.1");
  EXPECT_EQ(write(-INFINITY), "-Infinity");
  EXPECT_EQ(write("text"), "text");
  EXPECT_EQ(write(UserId::trusted("alice")), "alice");
  EXPECT_EQ(write(Level::public_), "public");
  EXPECT_EQ(write(Bytes{std::string("\0\xff", 2)}), "\\x00ff");
  EXPECT_EQ(write(boost::json::value{{"a", 1}}), R"({"a":1})");
  EXPECT_EQ(write(std::optional<int>()), std::nullopt);
  EXPECT_EQ(write(std::optional<std::optional<int>>(std::optional<int>(7))), "7");
  EXPECT_EQ(write(nullptr), std::nullopt);
  EXPECT_EQ(write(std::vector<std::string>{"a", "b\"c\\", "", "NULL"}), R"({"a","b\"c\\","","NULL"})");
}

TEST(Timestamp, reads_what_it_writes_from_the_distant_past_to_the_distant_future) {
  for (const auto year_number : {-4000, -1, 0, 1, 1969, 1970, 2026, 9999, 20'000}) {
    const Timestamp time = sys_days(year(year_number) / 2 / 28) + 23h + 59min + 58s + 7us;
    const auto text = write(time);
    ASSERT_TRUE(text);
    EXPECT_EQ(parsed<Timestamp>(*text), time) << *text;
  }
  EXPECT_EQ(parsed<Timestamp>(*write(Timestamp::max())), Timestamp::max());
  EXPECT_EQ(parsed<Timestamp>(*write(Timestamp::min())), Timestamp::min());
}

TEST(Timestamp, reads_offsets_and_fractions_as_the_server_prints_them) {
  const Timestamp noon = sys_days(2026y / 10 / 29) + 12h;
  EXPECT_EQ(parsed<Timestamp>("2026-10-29 12:00:00+00"), noon);
  EXPECT_EQ(parsed<Timestamp>("2026-10-29 12:00:00.5+00"), noon + 500ms);
  EXPECT_EQ(parsed<Timestamp>("2026-10-29 17:30:00+05:30"), noon);
  EXPECT_EQ(parsed<Timestamp>("2026-10-29 08:00:00-04"), noon);
  EXPECT_EQ(parsed<Timestamp>("2026-10-29"), noon - 12h);
}

TEST(Timestamp, refuses_what_is_not_a_time) {
  for (const auto* text :
       {"", "2026", "2026-13-01 00:00:00+00", "2026-02-30 00:00:00+00", "2026-10-29 12:00",
        "2026-10-29 12:00:00.+00", "2026-10-29 12:00:00+00x", "29.10.2026", "999999-01-01"}) {
    EXPECT_EQ(parsed<Timestamp>(text), std::nullopt) << text;
  }
}

TEST(Array, reads_quotes_nulls_and_lower_bounds) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(parsed<Texts>("{}"), Texts());
  EXPECT_EQ(parsed<Texts>(R"({a,"b,c","d\"e\\f",""})"), (Texts{"a", "b,c", "d\"e\\f", ""}));
  EXPECT_EQ(parsed<Texts>("[2:3]={x,y}"), (Texts{"x", "y"}));
  EXPECT_EQ(parsed<std::vector<int>>("{1,-2}"), (std::vector<int>{1, -2}));
  EXPECT_EQ(parsed<Texts>(R"({a,NULL})"), std::nullopt);
  EXPECT_EQ(parsed<Texts>(R"({"NULL"})"), Texts{"NULL"});
  EXPECT_EQ((parsed<std::vector<std::optional<int>>>("{1,NULL}")),
            (std::vector<std::optional<int>>{1, std::nullopt}));
}

TEST(Array, refuses_what_is_malformed_or_has_two_dimensions) {
  for (const auto* text :
       {"", "{", "}", "a,b", "{a", "{a,}", "{,a}", "{{1},{2}}", R"({"a)", R"({"a"b})", R"({"a\)", "[2:3]"}) {
    EXPECT_EQ(parsed<std::vector<std::string>>(text), std::nullopt) << text;
  }
}

TEST(Read, refuses_values_of_another_type_or_range) {
  EXPECT_EQ(parsed<std::int16_t>("40000"), std::nullopt);
  EXPECT_EQ(parsed<std::uint32_t>("-1"), std::nullopt);
  EXPECT_EQ(parsed<int>("1x"), std::nullopt);
  EXPECT_EQ(parsed<bool>("true"), std::nullopt);  // the server prints t and f
  EXPECT_EQ(parsed<double>("one"), std::nullopt);
  EXPECT_EQ(parsed<Level>("medium"), std::nullopt);
  EXPECT_EQ(parsed<Level>("public"), Level::public_);
  EXPECT_FALSE(parsed<Bytes>("00ff"));
  EXPECT_FALSE(parsed<Bytes>("\\x0"));
  EXPECT_FALSE(parsed<Bytes>("\\x0g"));
  EXPECT_FALSE(parsed<boost::json::value>("{"));
}

TEST(Rows, matches_columns_by_name_in_any_order_and_ignores_others) {
  const auto rows = make_rows({"extra", "age", "name"}, {{"x", "41", "Ada"}, {"x", nullptr, "Ben"}});
  const auto people = rows.as<Person>();
  ASSERT_TRUE(people);
  ASSERT_EQ(people->size(), 2u);
  EXPECT_EQ((*people)[0].name, "Ada");
  EXPECT_EQ((*people)[0].age, 41);
  EXPECT_EQ((*people)[1].age, std::nullopt);
}

TEST(Rows, bad_rows_name_the_column_and_never_the_value) {
  const auto missing = make_rows({"age"}, {{"1"}}).as<Person>();
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().is(errors::bad_row));
  EXPECT_EQ(missing.error().detail, "the column 'name' is missing");
  const auto null = make_rows({"name", "age"}, {{nullptr, "1"}}).as<Person>();
  EXPECT_EQ(null.error().detail, "the column 'name' of row 0 is NULL");
  const auto type = make_rows({"name", "age"}, {{"a", "1"}, {"secret", "old"}}).as<Person>();
  EXPECT_EQ(type.error().detail, "the column 'age' of row 1 does not have the expected type");
}

TEST(Rows, as_optional_takes_none_or_one) {
  EXPECT_EQ(make_rows({"name", "age"}, {}).as_optional<Person>()->has_value(), false);
  EXPECT_EQ((*make_rows({"name", "age"}, {{"Ada", "1"}}).as_optional<Person>())->name, "Ada");
  EXPECT_TRUE(make_rows({"name", "age"}, {{"Ada", "1"}, {"Ben", "2"}})
                  .as_optional<Person>()
                  .error()
                  .is(errors::bad_row));
}

TEST(Rows, default_rows_are_empty_and_out_of_range_is_null) {
  const Rows none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.affected(), 0u);
  EXPECT_EQ(none.value(0, 0), std::nullopt);
  EXPECT_EQ(none.column_name(3), "");
  EXPECT_TRUE(none.as<Person>()->empty());
}

TEST(Sqlstate, each_class_has_its_code_and_no_detail_carries_values) {
  EXPECT_EQ(error_code("23505").code, "postgres.unique_violation");
  EXPECT_EQ(error_code("23503").code, "postgres.foreign_key_violation");
  EXPECT_EQ(error_code("23514").code, "postgres.check_violation");
  EXPECT_EQ(error_code("40001").code, "postgres.serialization");
  EXPECT_EQ(error_code("40P01").code, "postgres.serialization");
  for (const auto* state : {"57P01", "57P03", "08006", "53300"})
    EXPECT_EQ(error_code(state).code, "postgres.unavailable");
  EXPECT_EQ(error_code("57014").code, "postgres.timeout");
  EXPECT_EQ(error_code("22P02").code, "postgres.invalid_value");
  EXPECT_EQ(error_code("42601").code, "postgres.query_failed");
  EXPECT_EQ(server_error("user_add", {"23505", "duplicate key a@b.c", "users_email_key"}).detail,
            "query user_add: SQLSTATE 23505, constraint users_email_key");
  EXPECT_EQ(server_error("q", {"42P01", "relation \"x\" does not exist", ""}).detail,
            "query q: SQLSTATE 42P01, relation \"x\" does not exist");
}

TEST(Dsn, error_never_repeats_the_string) {
  const auto target = parse_dsn("password hunter2 host");
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().detail.find("hunter2"), std::string::npos);
}

TEST(Dsn, sets_limits_unless_the_string_does) {
  const auto target = parse_dsn("postgres://u:p@db.example:5433/x?tcp_user_timeout=5");
  ASSERT_TRUE(target);
  EXPECT_EQ(*target->find("tcp_user_timeout"), "5");
  EXPECT_EQ(*target->find("client_encoding"), "UTF8");
  EXPECT_EQ(*target->find("port"), "5433");
}

}  // namespace
}  // namespace intra365::postgres
