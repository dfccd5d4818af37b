#include "services/policy/defaults.hpp"

namespace intra365::services::policy {

std::vector<intra365::policy::Policy> default_policies() {
  intra365::policy::Rule consented;
  consented.effect = intra365::policy::RuleEffect::allow;
  consented.subjects = {"mate:*", "user:*"};
  consented.resources = {"mate:*/*"};
  consented.actions = {"call"};
  consented.conditions = {{"consent.granted", true}};

  intra365::policy::Policy calls;
  calls.policy_id = PolicyId::trusted("calls-with-consent");
  calls.name = "Calls with consent";
  calls.type = "mate-access";
  calls.rules = {std::move(consented)};
  calls.priority = 100;
  calls.active = true;
  return {std::move(calls)};
}

}  // namespace intra365::services::policy
