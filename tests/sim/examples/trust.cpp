// Runs the simulated world from many seeds: `./dev sim [--seeds N] [--from N] [--seed N] [--break
// lease|renewal|copies|delegation|household|line|clock|use]`. The exit status says whether everything held.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/trust_world.hpp"

int main(int count, char** arguments) {
  using namespace intra365;
  std::uint64_t first = 1, seeds = 10'000;
  sim::Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i], value = arguments[i + 1];
    if (name == "--seeds") seeds = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--from") first = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--seed") {
      first = std::strtoull(value.c_str(), nullptr, 10);
      seeds = 1;
    }
    if (name == "--break") {
      const auto broken = sim::read_break(value);
      if (!broken) {
        std::fprintf(stderr,
                     "sim: --break lease, renewal, copies, delegation, household, line, clock or use\n");
        return 2;
      }
      options.broken = *broken;
    }
  }
  sim::Outcome total;
  std::uint64_t failed = 0;
  for (auto seed = first; seed < first + seeds; ++seed) {
    options.seed = seed;
    const auto outcome = sim::run(options);
    total.events += outcome.events;
    total.decisions += outcome.decisions;
    total.allowed += outcome.allowed;
    total.changes += outcome.changes;
    total.delegated += outcome.delegated;
    total.moves += outcome.moves;
    total.inherited += outcome.inherited;
    total.uses += outcome.uses;
    total.parts += outcome.parts;
    total.ended += outcome.ended;
    total.conflicts += outcome.conflicts;
    total.lost += outcome.lost;
    total.rewinds += outcome.rewinds;
    if (outcome.violation.empty()) continue;
    if (++failed <= 10)
      std::printf("seed %lu: %s\n", static_cast<unsigned long>(seed), outcome.violation.c_str());
  }
  std::printf(
      "%lu seeds: %lu events, %lu changes (%lu handed on, %lu conflicts), %lu moves between households, the "
      "truth went back %lu times, %lu messages lost, %lu decisions (%lu allowed, %lu inherited), "
      "%lu uses (%lu parts, %lu ended), %lu failed\n",
      static_cast<unsigned long>(seeds), static_cast<unsigned long>(total.events),
      static_cast<unsigned long>(total.changes), static_cast<unsigned long>(total.delegated),
      static_cast<unsigned long>(total.conflicts), static_cast<unsigned long>(total.moves),
      static_cast<unsigned long>(total.rewinds), static_cast<unsigned long>(total.lost),
      static_cast<unsigned long>(total.decisions), static_cast<unsigned long>(total.allowed),
      static_cast<unsigned long>(total.inherited), static_cast<unsigned long>(total.uses),
      static_cast<unsigned long>(total.parts), static_cast<unsigned long>(total.ended),
      static_cast<unsigned long>(failed));
  return failed == 0 ? 0 : 1;
}
