// The bound on revocation, under every trouble that a thousand seeds think of. `./dev sim` runs more, and can
// break the lease on purpose.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/sim/trust_simulation.hpp"

namespace intra365::sim {
namespace {

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const auto* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Trust, nothing_is_allowed_after_the_bound_whatever_fails) {
  const auto first = number("INTRA365_SIM_FROM", 1), count = number("INTRA365_SIM_SEEDS", 150);
  const auto* const name = std::getenv("INTRA365_SIM_BREAK");
  const std::string_view fault = name == nullptr ? "" : name;
  ASSERT_TRUE(fault.empty() || break_of(fault)) << "no such fault: " << fault;
  const auto broken = break_of(fault).value_or(Break::nothing);
  Outcome all;
  for (auto seed = first; seed < first + count; ++seed) {
    const auto outcome = simulate(seed, broken);
    ASSERT_FALSE(outcome.violation) << "seed " << seed << ": " << *outcome.violation;
    all.events += outcome.events;
    all.allowed += outcome.allowed;
    all.denied += outcome.denied;
    all.revocations += outcome.revocations;
    all.lost += outcome.lost;
    all.crashes += outcome.crashes;
    all.last_allow_us = std::max(all.last_allow_us, outcome.last_allow_us);
    if (count >= 1000 && seed % 1000 == 0)
      std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));
  }
  std::printf(
      "%llu seeds: %llu events, %llu allowed, %llu denied, %llu revocations, %llu messages lost, %llu "
      "crashes; "
      "latest allow %llu us after a revocation was acknowledged\n",
      static_cast<unsigned long long>(count), static_cast<unsigned long long>(all.events),
      static_cast<unsigned long long>(all.allowed), static_cast<unsigned long long>(all.denied),
      static_cast<unsigned long long>(all.revocations), static_cast<unsigned long long>(all.lost),
      static_cast<unsigned long long>(all.crashes), static_cast<unsigned long long>(all.last_allow_us));
  // A simulation in which little happens proves little.
  EXPECT_GT(all.allowed, count * 100);
  EXPECT_GT(all.denied, count * 100);
  EXPECT_GT(all.revocations, count * 10);
  EXPECT_GT(all.lost, count);
  EXPECT_GT(all.crashes, count);
}

TEST(Trust, a_seed_gives_the_same_run_again) {
  const auto first = simulate(42), again = simulate(42);
  EXPECT_EQ(first.events, again.events);
  EXPECT_EQ(first.allowed, again.allowed);
  EXPECT_EQ(first.last_allow_us, again.last_allow_us);
  EXPECT_NE(first.events, simulate(43).events);
}

class BrokenTrust : public testing::TestWithParam<const char*> {};

TEST_P(BrokenTrust, is_found) {
  const auto broken = break_of(GetParam());
  ASSERT_TRUE(broken);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    if (simulate(seed, *broken).violation) return;
  }
  FAIL() << "three hundred seeds did not find it";
}

INSTANTIATE_TEST_SUITE_P(Every, BrokenTrust, testing::Values("lease", "answer", "gaps"));

}  // namespace
}  // namespace intra365::sim
