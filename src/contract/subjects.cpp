#include "contract/subjects.hpp"

namespace intra365::subjects {

std::string in_account(std::string_view account, std::string_view subject) {
  std::string text("acct.");
  return text.append(account).append(".").append(subject);
}

std::string in_any_account(std::string_view subject) {
  return in_account("*", subject);
}

std::optional<Scoped> split_account(std::string_view subject) {
  if (!subject.starts_with("acct.")) return std::nullopt;
  subject.remove_prefix(5);
  const auto dot = subject.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == subject.size()) return std::nullopt;
  return Scoped{subject.substr(0, dot), subject.substr(dot + 1)};
}

std::string mate(const MateId& mate, std::string_view rest) {
  std::string text("intra365.mate.");
  return text.append(mate.str()).append(".").append(rest);
}

std::string event(std::string_view domain, std::string_view type) {
  std::string text("intra365.events.");
  return text.append(domain).append(".").append(type);
}

std::string person_event(std::string_view person, std::string_view domain, std::string_view type) {
  std::string text("intra365.user.");
  return text.append(person).append(".").append(domain).append(".").append(type);
}

std::string person_events(std::string_view person, std::string_view domain) {
  return person_event(person, domain, ">");
}

std::string guard_decision(std::string_view id) {
  return "intra365.guard.decision." + std::string(id);
}

std::string guard_consent(const MateId& mate) {
  return "intra365.guard.consent." + mate.str();
}

}  // namespace intra365::subjects
