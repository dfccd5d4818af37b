#include "tests/sim/trust_world.hpp"

#include "tests/sim/world.hpp"

namespace intra365::sim {

std::optional<Break> read_break(const std::string& name) {
  if (name == "lease") return Break::lease;
  if (name == "renewal") return Break::renewal;
  if (name == "copies") return Break::copies;
  if (name == "delegation") return Break::delegation;
  if (name == "household") return Break::household;
  if (name == "clock") return Break::clock;
  if (name == "use") return Break::use;
  if (name == "line") return Break::line;
  return std::nullopt;
}

Outcome run(const Options& options) {
  World world(options);
  return world.run();
}

}  // namespace intra365::sim
