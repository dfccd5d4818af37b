// The STS as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::sts {

platform::ServiceModule module();

}  // namespace intra365::services::sts
