// The explicit list of services: what a role name stands for. Adding a service is one line here.
#pragma once
#include <string>
#include <vector>

#include "platform/service.hpp"

namespace intra365::app {

/// All services, or those named in `roles`. Fails with `config.invalid` for a name that is none.
Result<std::vector<platform::ServiceModule>> modules(const std::vector<std::string>& roles);

}  // namespace intra365::app
