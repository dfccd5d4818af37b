#include "services/policy/defaults.hpp"

#include <algorithm>
#include <cassert>

#include "policy/suite.hpp"

namespace intra365::documents {
std::vector<std::pair<std::string, std::string>> policy();
}

namespace intra365::services::policy {

std::vector<intra365::policy::Policy> default_policies() {
  std::vector<intra365::policy::Policy> all;
  for (const auto& [name, text] : documents::policy()) {
    auto policies = intra365::policy::read_policies(
        text, [](const std::string&) { return fail(intra365::errors::bad_policy); });
    assert(policies && "the embedded policies are well-formed; defaults_test keeps it");
    std::ranges::move(*policies, std::back_inserter(all));
  }
  return all;
}

}  // namespace intra365::services::policy
