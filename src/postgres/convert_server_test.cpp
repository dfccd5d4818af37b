// Every type there and back through a real server.
#include <cmath>

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

using namespace std::chrono;

enum class Effect { reads, delete_ };
BOOST_DESCRIBE_ENUM(Effect, reads, delete_)

struct Everything {
  bool flag;
  std::int16_t small;
  std::int64_t big;
  double real;
  std::string text;
  UserId user;
  Timestamp at;
  Bytes raw;
  boost::json::value document;
  Effect effect;
  std::vector<std::string> texts;
  std::vector<intra365::Scope> scopes;
  std::vector<std::int32_t> numbers;
  std::optional<std::string> nothing;
  std::optional<Timestamp> maybe;
};
BOOST_DESCRIBE_STRUCT(Everything, (),
                      (flag, small, big, real, text, user, at, raw, document, effect, texts, scopes, numbers,
                       nothing, maybe))

constexpr std::string_view kEcho =
    R"(select $1::bool as flag, $2::int2 as small, $3::int8 as big, $4::float8 as real,
  $5::text as text, $6::text as user, $7::timestamptz as at, $8::bytea as raw, $9::jsonb as document, $10::text as effect,
  $11::text[] as texts, $12::text[] as scopes, $13::int4[] as numbers, $14::text as nothing, $15::timestamptz as maybe)";

using ConvertServer = DatabaseTest;

TEST_F(ConvertServer, every_type_comes_back_as_it_went) {
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  const std::vector<std::string> texts{"",        "NULL", "a,b",        "{}", "\"quoted\"", "back\\slash",
                                       " space ", "ünï",  "line\nbreak"};
  const Timestamp at = sys_days(2026y / 10 / 29) + 10h + 123456us;
  const boost::json::value document{{"name", "Zoë \"x\""}, {"list", {1, 2.5, nullptr, true}}};
  const std::vector<intra365::Scope> scopes{intra365::Scope::trusted("mail.read"),
                                            intra365::Scope::trusted("files:write")};
  const auto rows = query(
      kEcho, postgres::bind(true, std::int16_t{-32768}, std::int64_t{9'223'372'036'854'775'807}, 0.1,
                            "it's \"text\" \\ ünï", UserId::trusted("u_1"), at, Bytes{all_bytes}, document,
                            Effect::delete_, texts, scopes, std::vector<std::int32_t>{-1, 0, 2}, nullptr,
                            std::optional<Timestamp>(at - 1us)));
  ASSERT_TRUE(rows) << rows.error().detail;
  const auto read = rows->as_optional<Everything>();
  ASSERT_TRUE(read) << read.error().detail;
  const auto& row = **read;
  EXPECT_TRUE(row.flag);
  EXPECT_EQ(row.small, -32768);
  EXPECT_EQ(row.big, 9'223'372'036'854'775'807);
  EXPECT_EQ(row.real, 0.1);
  EXPECT_EQ(row.text, "it's \"text\" \\ ünï");
  EXPECT_EQ(row.user.str(), "u_1");
  EXPECT_EQ(row.at, at);
  EXPECT_EQ(row.raw.value, all_bytes);
  EXPECT_EQ(row.document, document);
  EXPECT_EQ(row.effect, Effect::delete_);
  EXPECT_EQ(row.texts, texts);
  EXPECT_EQ(row.scopes, scopes);
  EXPECT_EQ(row.numbers, (std::vector<std::int32_t>{-1, 0, 2}));
  EXPECT_EQ(row.nothing, std::nullopt);
  EXPECT_EQ(row.maybe, at - 1us);
}

TEST_F(ConvertServer, times_agree_with_the_server_from_bc_to_infinity_whatever_its_time_zone) {
  PostgresServer::shared().execute(database,
                                   "alter database " + database + " set timezone to 'Asia/Kathmandu'");
  PostgresServer::shared().execute(database, "alter database " + database + " set datestyle to 'German'");
  pool = loop.pool(dsn);
  for (const Timestamp time : {Timestamp(sys_days(-43y / 3 / 15) + 1h), Timestamp(sys_days(1y / 1 / 1)),
                               Timestamp{}, Timestamp(sys_days(2026y / 7 / 1) + 5min + 1us),
                               Timestamp(sys_days(12'026y / 1 / 1)), Timestamp::max(), Timestamp::min()}) {
    const auto rows = query("select $1::timestamptz as at", postgres::bind(time));
    ASSERT_TRUE(rows) << rows.error().detail;
    Timestamp back;
    ASSERT_TRUE(detail::read(rows->value(0, 0), back)) << *rows->value(0, 0);
    EXPECT_EQ(back, time);
  }
  EXPECT_EQ(value("select extract(epoch from $1::timestamptz)::int8::text",
                  postgres::bind(Timestamp(seconds(1'793'268'000)))),
            "1793268000");
}

TEST_F(ConvertServer, doubles_keep_every_bit) {
  for (const double number : {0.1, 1e308, 5e-324, -0.0, 1.0 / 3, double(INFINITY)}) {
    const auto rows = query("select $1::float8", postgres::bind(number));
    double back = 0;
    ASSERT_TRUE(detail::read(rows->value(0, 0), back));
    EXPECT_EQ(std::signbit(back), std::signbit(number));
    EXPECT_EQ(back, number);
  }
}

TEST_F(ConvertServer, text_with_a_nul_byte_is_refused_not_cut) {
  EXPECT_EQ(value("select $1::text", postgres::bind(std::string("a\0b", 3))), "postgres.invalid_value");
  EXPECT_EQ(value("select $1::text", postgres::bind("\xff")), "postgres.invalid_value");
  EXPECT_EQ(value("select $1::int4", postgres::bind("many")), "postgres.invalid_value");
}

TEST_F(ConvertServer, affected_counts_changed_rows) {
  execute("create table t (id int)");
  EXPECT_EQ(query("insert into t select generate_series(1, 7)")->affected(), 7u);
  EXPECT_EQ(query("update t set id = -id where id > 5")->affected(), 2u);
  EXPECT_EQ(query("delete from t where id > 100")->affected(), 0u);
}

}  // namespace
}  // namespace intra365::postgres::testing
