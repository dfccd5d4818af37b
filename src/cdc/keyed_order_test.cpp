#include "cdc/keyed_order.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace intra365::cdc {
namespace {

TEST(KeyedOrder, changes_of_one_key_wait_for_each_other_and_for_nobody_else) {
  KeyedOrder order;
  order.add(1, "a");
  order.add(2, "a");
  order.add(3, "b");
  const auto first = order.next(), second = order.next();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->sequence, 1u);
  EXPECT_EQ(second->sequence, 3u) << "another key";
  EXPECT_FALSE(order.next()) << "2 waits for 1";
  order.done(*second);
  EXPECT_EQ(order.settled(), 0u) << "1 is not done with";
  order.done(*first);
  EXPECT_EQ(order.settled(), 1u);
  const auto third = order.next();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->sequence, 2u);
  order.done(*third);
  EXPECT_EQ(order.settled(), 3u);
  order.passed(9);
  EXPECT_EQ(order.settled(), 9u);
}

TEST(KeyedOrder, whatever_ends_when_the_order_of_each_key_is_kept_and_nothing_is_settled_too_early) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    KeyedOrder order;
    std::vector<KeyedOrder::Due> running;
    std::unordered_map<std::string, std::uint64_t> last;
    std::vector<bool> finished(301);
    std::uint64_t added = 0;
    std::size_t done = 0;
    while (done < 300) {
      const auto dice = random() % 3;
      if (dice == 0 && added < 300) {
        order.add(++added, std::string(1, static_cast<char>('a' + random() % 7)));
      } else if (dice == 1) {
        if (auto due = order.next()) running.push_back(*std::move(due));
      } else if (!running.empty()) {
        const auto at = running.begin() + static_cast<std::ptrdiff_t>(random() % running.size());
        EXPECT_LT(last[at->key], at->sequence);
        last[at->key] = at->sequence;
        finished[at->sequence] = true;
        order.done(*at);
        running.erase(at);
        ++done;
      }
      for (std::uint64_t one = 1; one <= order.settled(); ++one) ASSERT_TRUE(finished[one]);
      std::unordered_map<std::string, int> busy;
      for (const auto& one : running) EXPECT_EQ(++busy[one.key], 1);
    }
    EXPECT_EQ(order.settled(), 300u);
    EXPECT_EQ(order.in_hand(), 0u);
  }
}

}  // namespace
}  // namespace intra365::cdc
