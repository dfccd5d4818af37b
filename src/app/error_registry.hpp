// Every stable error code, gathered for docs/generated/errors.md. A test compares this list with the sources.
#pragma once
#include <vector>

#include "base/error.hpp"

namespace intra365::app {

std::vector<ErrorCode> all_error_codes();

}  // namespace intra365::app
