// The service events as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::events {

platform::ServiceModule module();

}  // namespace intra365::services::events
