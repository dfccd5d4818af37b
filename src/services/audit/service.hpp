// The audit service as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::audit {

platform::ServiceModule module();

}  // namespace intra365::services::audit
