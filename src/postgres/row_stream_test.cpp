// Large results come in pieces, and memory stays as it was.
#include <gmock/gmock.h>
#include <fstream>

#include "postgres/test_loop.hpp"

namespace intra365::postgres::testing {
namespace {

constexpr Query kNumbers{"numbers", "select n, repeat('x', 200) from generate_series(1, $1::int) n"};

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

class RowStreamTest : public DatabaseTest {
 protected:
  Result<RowStream> open(int rows, std::size_t piece, const Query& query = kNumbers) {
    return loop.run(pool->stream(Scope{"red"}, query, postgres::bind(rows), piece, in(30s)));
  }
};

TEST_F(RowStreamTest, every_row_comes_once_in_order_and_the_connection_goes_back) {
  for (const int rows : {0, 1, 9, 10, 11, 1000}) {
    auto stream = open(rows, 10);
    ASSERT_TRUE(stream) << stream.error().detail;
    int seen = 0;
    for (;;) {
      const auto piece = loop.run(stream->next());
      ASSERT_TRUE(piece) << piece.error().detail;
      EXPECT_LE(piece->size(), 10u);
      for (std::size_t i = 0; i < piece->size(); ++i) EXPECT_EQ(*piece->value(i, 0), std::to_string(++seen));
      if (piece->empty()) break;
    }
    EXPECT_EQ(seen, rows);
    EXPECT_EQ(value("select 1"), "1");
    EXPECT_EQ(pool->open_connections(), 1u) << "it was given back";
  }
}

TEST_F(RowStreamTest, memory_stays_flat_whatever_the_size) {
  const auto most_for = [&](int rows) {
    auto stream = open(rows, 500);
    EXPECT_TRUE(stream);
    double most = 0;
    std::size_t seen = 0;
    for (;;) {
      const auto piece = loop.run(stream->next());
      EXPECT_TRUE(piece);
      if (!piece || piece->empty()) break;
      seen += piece->size();
      most = std::max(most, resident_megabytes());
    }
    EXPECT_EQ(seen, static_cast<std::size_t>(rows));
    return most;
  };
  const auto small = most_for(2'000);
  EXPECT_LT(most_for(400'000), small + 8) << "100 MB went through";
}

TEST_F(RowStreamTest, one_that_is_left_gives_its_connection_back) {
  {
    auto stream = open(100'000, 10);
    ASSERT_TRUE(stream);
    ASSERT_TRUE(loop.run(stream->next()));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(value("select 1"), "1");
  EXPECT_LE(pool->open_connections(), 2u);
}

TEST_F(RowStreamTest, an_error_in_the_middle_is_said_and_ends_it) {
  constexpr Query kBad{"bad", "select 100 / (15 - n) from generate_series(1, $1::int) n"};
  auto stream = open(100, 10, kBad);
  ASSERT_TRUE(stream);
  EXPECT_TRUE(loop.run(stream->next()));
  const auto second = loop.run(stream->next());
  ASSERT_FALSE(second);
  EXPECT_EQ(loop.run(stream->next())->size(), 0u);
  EXPECT_EQ(value("select 1"), "1");
}

TEST_F(RowStreamTest, the_scope_holds_and_parameters_arrive) {
  constexpr Query kTenant{"tenant", "select current_setting('intra365.tenant'), $1::int"};
  auto stream = open(7, 10, kTenant);
  ASSERT_TRUE(stream);
  const auto piece = loop.run(stream->next());
  ASSERT_TRUE(piece);
  EXPECT_EQ(*piece->value(0, 0), "red");
  EXPECT_EQ(*piece->value(0, 1), "7");
}

}  // namespace
}  // namespace intra365::postgres::testing
