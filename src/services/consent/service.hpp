// Consent management as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::consent {

platform::ServiceModule module();

}  // namespace intra365::services::consent
