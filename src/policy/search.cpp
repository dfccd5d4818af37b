#include "policy/search.hpp"

namespace intra365::policy {

std::set<std::string> candidates(const Snapshot& snapshot, bool subjects, std::string_view type,
                                 const std::vector<std::string>& known) {
  const auto prefix = std::string(type) + ":";
  std::set<std::string> found, below;
  for (const auto& policy : snapshot.all()) {
    for (const auto& rule : policy->rules()) {
      for (const auto& pattern : subjects ? rule.subjects : rule.resources) {
        if (pattern.exact && pattern.text.starts_with(prefix)) found.emplace(pattern.text);
        // `user:*/health-records`: what stands behind the id, where nothing else is open.
        const auto slash = pattern.text.find('/');
        const auto first = pattern.text.substr(0, slash);
        if (slash == std::string_view::npos || (first != "*" && first != prefix + "*")) continue;
        const auto rest = pattern.text.substr(slash);
        if (rest.find('*') == std::string_view::npos) below.emplace(rest);
      }
    }
  }
  for (const auto& id : known) {
    found.insert(prefix + id);
    for (const auto& rest : below) found.insert(prefix + id + rest);
  }
  return found;
}

std::set<std::string> actions_of(const Snapshot& snapshot) {
  std::set<std::string> names;
  for (const auto& policy : snapshot.all()) {
    for (const auto& rule : policy->source().rules) {
      for (const auto& action : rule.actions) {
        if (action != "*") names.insert(action);
      }
    }
  }
  return names;
}

}  // namespace intra365::policy
