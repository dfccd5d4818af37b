#include "nats/requests.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime kStart{1000s};

/// Adds a request that remembers in `ended` that it was called.
std::optional<RequestTable::Token> add(RequestTable& table, std::string_view subject, SteadyTime deadline,
                                       std::multiset<int>& ended, int id) {
  RequestTable::Done done = [&ended, id](Result<MessageView>) { ended.insert(id); };
  return table.add(subject, deadline, done);
}

void call(RequestTable::Done done) {
  ASSERT_TRUE(done);
  done(fail(errors::timeout));
}

TEST(RequestTable, tokens_survive_their_text_form) {
  for (const RequestTable::Token token :
       {std::uint64_t{0}, std::uint64_t{1}, (std::uint64_t{1} << 60) - 1, std::uint64_t{123456789012345}}) {
    char text[RequestTable::kTokenChars];
    RequestTable::write_token(token, text);
    EXPECT_EQ(RequestTable::read_token({text, sizeof text}), token);
    EXPECT_TRUE(is_publish_subject({text, sizeof text}));
  }
  EXPECT_FALSE(RequestTable::read_token("short"));
  EXPECT_FALSE(RequestTable::read_token("!!!!!!!!!!"));
}

TEST(RequestTable, a_reply_finds_its_request_once) {
  RequestTable table(10, kStart);
  std::multiset<int> ended;
  const auto first = add(table, "a", kStart + 1s, ended, 1);
  const auto second = add(table, "a", kStart + 1s, ended, 2);
  call(table.take(*second));
  EXPECT_EQ(ended, (std::multiset<int>{2}));
  EXPECT_FALSE(table.take(*second));
  const auto third = add(table, "a", kStart + 1s, ended, 3);
  EXPECT_FALSE(table.take(*second)) << "a late reply must not reach the slot's next owner";
  EXPECT_NE(*third, *second);
  call(table.take(*first));
  EXPECT_EQ(table.size(), 1u);
}

TEST(RequestTable, is_full_at_its_limit_and_leaves_the_function_alone) {
  RequestTable table(1, kStart);
  std::multiset<int> ended;
  ASSERT_TRUE(add(table, "a", kStart + 1s, ended, 1));
  RequestTable::Done done = [&ended](Result<MessageView>) { ended.insert(2); };
  EXPECT_FALSE(table.add("a", kStart + 1s, done));
  EXPECT_TRUE(done);
}

TEST(RequestTable, a_refusal_ends_the_oldest_request_to_its_subject) {
  RequestTable table(10, kStart);
  std::multiset<int> ended;
  add(table, "b", kStart + 1s, ended, 1);
  add(table, "a", kStart + 1s, ended, 2);
  add(table, "a", kStart + 1s, ended, 3);
  call(table.take_by_subject("a"));
  EXPECT_EQ(ended, (std::multiset<int>{2}));
  EXPECT_FALSE(table.take_by_subject("c"));
}

TEST(RequestTable, deadlines_never_fire_early_and_at_most_a_millisecond_late) {
  RequestTable table(100000, kStart);
  std::minstd_rand random(7);
  struct Waiting {
    SteadyTime deadline;
    RequestTable::Token token;
  };
  std::multiset<int> ended;
  std::vector<SteadyTime> deadlines;
  for (int i = 0; i < 2000; ++i) {
    deadlines.push_back(kStart +
                        std::chrono::microseconds(1 + random() % 12'000'000));  // three rounds of the wheel
    add(table, "a", deadlines.back(), ended, i);
  }
  int wakes = 0;
  while (table.size() != 0) {
    const auto due = table.next_due();
    ASSERT_TRUE(due);
    ASSERT_LT(++wakes, 20000);
    const auto before = ended;
    for (auto& done : table.take_expired(*due)) call(std::move(done));
    for (int i = 0; i < 2000; ++i) {
      if (ended.contains(i)) {
        if (!before.contains(i)) ASSERT_LE(deadlines[i], *due) << "early";
      } else {
        ASSERT_GT(deadlines[i], *due - 1ms) << "late";
      }
    }
    if (wakes > 300) break;  // the check is quadratic; the rest is drained below
  }
  for (auto& done : table.take_expired(kStart + 13s)) call(std::move(done));
  EXPECT_EQ(ended.size(), 2000u);
  EXPECT_FALSE(table.next_due());
}

TEST(RequestTable, one_that_waits_for_ever_has_no_deadline) {
  RequestTable table(10, kStart);
  std::multiset<int> ended;
  add(table, "a", SteadyTime::max(), ended, 1);
  EXPECT_FALSE(table.next_due());
  EXPECT_TRUE(table.take_expired(kStart + 1000h).empty());
  EXPECT_EQ(table.take_all().size(), 1u);
}

}  // namespace
}  // namespace intra365::nats
