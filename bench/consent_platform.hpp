// The consent benchmark's part that needs a running platform.
#pragma once
#include "bench/report.hpp"

namespace intra365::bench {

/// Starts the platform in a directory of its own, measures, and stops it.
void consent_on_platform(double seconds, Report& report);

}  // namespace intra365::bench
