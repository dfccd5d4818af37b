#include "tests/sim/trust_world.hpp"

#include <gtest/gtest.h>

namespace intra365::sim {
namespace {

Options of(std::uint64_t seed, Break broken = Break::nothing) {
  Options options;
  options.seed = seed;
  options.broken = broken;
  return options;
}

/// The first seed that shows what is broken; 0 when none does.
std::uint64_t noticed(Break broken, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (!run(of(seed, broken)).violation.empty()) return seed;
  }
  return 0;
}

TEST(TrustSim, no_allow_after_the_bound) {
  std::uint64_t allowed = 0, changes = 0, delegated = 0, moves = 0, inherited = 0, conflicts = 0, lost = 0,
                rewinds = 0, parts = 0, ended = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto outcome = run(of(seed));
    ASSERT_EQ(outcome.violation, "") << "seed " << seed << "; ./dev sim --seed " << seed << " shows it again";
    allowed += outcome.allowed;
    changes += outcome.changes;
    delegated += outcome.delegated;
    moves += outcome.moves;
    inherited += outcome.inherited;
    conflicts += outcome.conflicts;
    lost += outcome.lost;
    rewinds += outcome.rewinds;
    parts += outcome.parts;
    ended += outcome.ended;
  }
  // A world in which nothing happens would prove nothing.
  EXPECT_GT(allowed, 300u * 500);
  EXPECT_GT(changes, 300u * 50);
  EXPECT_GT(delegated, 300u * 2);
  EXPECT_GT(moves, 300u * 5);
  EXPECT_GT(inherited, 300u * 20);
  EXPECT_GT(conflicts, 300u / 20);
  EXPECT_GT(lost, 300u * 10);
  EXPECT_GT(rewinds, 300u / 2);
  EXPECT_GT(parts, 300u * 100);
  EXPECT_GT(ended, 300u * 10);
}

TEST(TrustSim, a_seed_gives_the_same_run_again) {
  const auto one = run(of(7)), again = run(of(7)), other = run(of(8));
  EXPECT_EQ(one.events, again.events);
  EXPECT_EQ(one.allowed, again.allowed);
  EXPECT_NE(one.events, other.events);
}

TEST(TrustSim, a_broken_lease_is_noticed) {
  EXPECT_NE(noticed(Break::lease, 50), 0u);
}

TEST(TrustSim, a_service_that_trusts_its_copies_for_too_long_is_noticed) {
  EXPECT_NE(noticed(Break::copies, 50), 0u);
}

TEST(TrustSim, a_change_that_is_not_passed_down_is_noticed) {
  EXPECT_NE(noticed(Break::delegation, 50), 0u);
}

TEST(TrustSim, a_household_that_was_left_and_nobody_told_of_it_is_noticed) {
  EXPECT_NE(noticed(Break::household, 50), 0u);
}

TEST(TrustSim, a_truth_that_goes_back_and_counts_on_as_before_is_noticed) {
  EXPECT_NE(noticed(Break::line, 100), 0u);
}

TEST(TrustSim, an_expiry_by_a_clock_that_is_behind_is_noticed) {
  EXPECT_NE(noticed(Break::clock, 50), 0u);
}

TEST(TrustSim, a_use_that_is_ended_although_nothing_was_taken_back_is_noticed) {
  EXPECT_NE(noticed(Break::use, 50), 0u);
}

TEST(TrustSim, a_lease_that_counts_from_the_answer_is_noticed) {
  EXPECT_NE(noticed(Break::renewal, 5000), 0u);  // rare: it takes a slow answer, then a cut
}

}  // namespace
}  // namespace intra365::sim
