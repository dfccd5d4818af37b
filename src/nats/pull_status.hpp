// What a status message of a pull consumer means. Internal to this folder.
#pragma once
#include <string_view>

#include "nats/errors.hpp"

namespace intra365::nats {

/// Go on, end well, or end with an error.
enum class PullNext : std::uint8_t { go_on, end, fail };

struct PullVerdict {
  PullNext next = PullNext::go_on;
  Error error;
};

PullVerdict judge_pull(int status, std::string_view description);

}  // namespace intra365::nats
