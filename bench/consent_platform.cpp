#include "bench/consent_platform.hpp"

namespace intra365::bench {

void consent_on_platform(double, Report&) {}

}  // namespace intra365::bench
