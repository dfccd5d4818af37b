#include "app/modules.hpp"

#include <algorithm>

#include "services/audit/service.hpp"
#include "services/consent/service.hpp"
#include "services/events/service.hpp"
#include "services/gateway/service.hpp"
#include "services/policy/service.hpp"
#include "services/privacy/service.hpp"
#include "services/registry/service.hpp"
#include "services/sts/service.hpp"

namespace intra365::app {
namespace {

std::vector<platform::ServiceModule> all() {
  std::vector<platform::ServiceModule> list;
  list.push_back(services::sts::module());
  list.push_back(services::audit::module());
  list.push_back(services::registry::module());
  list.push_back(services::consent::module());
  list.push_back(services::policy::module());
  list.push_back(services::privacy::module());
  list.push_back(services::events::module());
  list.push_back(services::gateway::module());
  return list;
}

}  // namespace

Result<std::vector<platform::ServiceModule>> modules(const std::vector<std::string>& roles) {
  auto list = all();
  for (const auto& role : roles) {
    if (std::ranges::none_of(list, [&](const auto& module) { return module.name == role; }))
      return fail(platform::errors::bad_config, "there is no role '" + role + "'");
  }
  if (roles.empty()) return list;
  const auto rest = std::stable_partition(list.begin(), list.end(), [&](const auto& module) {
    return std::ranges::find(roles, module.name) != roles.end();
  });
  // The schema is one, whichever services run here: a program must know all of it.
  auto& migrations = list.front().migrations;
  for (auto left_out = rest; left_out != list.end(); ++left_out)
    migrations.insert(migrations.end(), left_out->migrations.begin(), left_out->migrations.end());
  list.erase(rest, list.end());
  return list;
}

}  // namespace intra365::app
