#include "backup/reach.hpp"

#include <gtest/gtest.h>

namespace intra365::backup {
namespace {

using postgres::Lsn;

Timestamp at(int seconds) {
  return from_unix_seconds(1'800'000'000 + seconds);
}
constexpr auto kSlack = Reach::kClockSlack;

TEST(Reach, knows_nothing_before_the_server_has_spoken) {
  Reach reach;
  reach.heard(Lsn{100}, Timestamp{});
  EXPECT_FALSE(reach.until(Lsn{1000}));
}

TEST(Reach, a_copy_that_has_all_is_complete_until_the_server_spoke_last) {
  Reach reach;
  reach.heard(Lsn{100}, at(10));
  EXPECT_EQ(reach.until(Lsn{100}), at(10) - kSlack);
  reach.heard(Lsn{100}, at(20));
  EXPECT_EQ(reach.until(Lsn{100}), at(20) - kSlack);
}

TEST(Reach, a_copy_that_never_has_all_is_complete_until_where_the_server_was_a_while_ago) {
  Reach reach;
  Lsn server{1000}, copy{0};
  for (int second = 0; second < 100; ++second, server.value += 100, copy.value += 100) {
    reach.heard(server, at(second));
    const auto until = reach.until(copy);
    // It is ten seconds behind, and knows it at most another ten seconds later.
    if (second < 10) EXPECT_FALSE(until) << second;
    if (second >= 20) {
      ASSERT_TRUE(until) << second;
      EXPECT_LE(*until, at(second - 10) - kSlack);
      EXPECT_GE(*until, at(second - 20) - kSlack);
    }
  }
}

TEST(Reach, what_was_reached_stays_reached) {
  Reach reach;
  reach.heard(Lsn{100}, at(10));
  EXPECT_EQ(reach.until(Lsn{100}), at(10) - kSlack);
  reach.heard(Lsn{500}, at(11));
  EXPECT_EQ(reach.until(Lsn{300}), at(10) - kSlack);
  EXPECT_EQ(reach.until(Lsn{500}), at(11) - kSlack);
}

}  // namespace
}  // namespace intra365::backup
