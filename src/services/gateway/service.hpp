// The gateway as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::gateway {

platform::ServiceModule module();

}  // namespace intra365::services::gateway
