// What both sides of a streamed answer hold to.
#pragma once
#include <chrono>

namespace intra365::streaming {

inline constexpr int kMaxWindow = 64;

/// Each side says every `heartbeat` that it is there, and gives the other up after `silence`.
struct Pace {
  std::chrono::milliseconds heartbeat{5000}, silence{15000};
};

}  // namespace intra365::streaming
