// The service privacy as the platform hosts it.
#pragma once
#include "platform/service.hpp"

namespace intra365::services::privacy {

platform::ServiceModule module();

}  // namespace intra365::services::privacy
