#include "contract/roles.hpp"

#include <algorithm>

#include "contract/catalog.hpp"
#include "contract/operations/auth.hpp"
#include "contract/subjects.hpp"

namespace intra365 {
namespace {

bool has(const std::vector<std::string>& roles, std::string_view role) {
  return std::ranges::find(roles, role) != roles.end();
}

}  // namespace

std::string_view to_string(PrincipalKind kind) {
  constexpr std::string_view names[] = {"guest", "mate", "user", "service"};
  return names[static_cast<int>(kind)];
}

bool roles::is_assignable(std::string_view role) {
  return role == mate || role == user || role == operator_ || role == privacy_officer ||
         role == change_reader;
}

bool roles::is_reserved_name(std::string_view name) {
  return name == admin_id || name == gateway_id || name == "guest" || name == "platform" || name == "system";
}

bool allows(const std::vector<std::string>& held, Access access) {
  switch (access) {
    case Access::guest:
      return true;
    case Access::anyone:
      return !held.empty();
    case Access::mate:
      return has(held, roles::mate) || has(held, roles::operator_);
    case Access::operator_:
      return has(held, roles::operator_);
    case Access::change_reader:
      return has(held, roles::change_reader);
    case Access::platform_operator:
      return has(held, roles::platform_operator);
    case Access::service:
      return false;  // services reach each other inside the platform's account only
  }
  return false;
}

SubjectPermissions subject_permissions(PrincipalKind kind, std::string_view id,
                                       const std::vector<std::string>& held) {
  SubjectPermissions permissions;
  for (const auto& operation : catalog()) {
    if (allows(held, operation.spec->access)) permissions.publish.emplace_back(operation.spec->subject);
  }
  permissions.publish.emplace_back("intra365.mate.>");
  // ADR-32 statistics are of everybody: for those who run the tenant.
  if (has(held, roles::operator_)) permissions.publish.emplace_back("$SRV.>");
  permissions.subscribe.push_back("_INBOX_" + std::string(id) + ".>");
  if (kind == PrincipalKind::mate) {
    permissions.subscribe.push_back("intra365.mate." + std::string(id) + ".>");
    permissions.subscribe.push_back("intra365.guard.consent." + std::string(id));
    permissions.subscribe.emplace_back("$SRV.>");
    permissions.reply_max = 1;
    // Parts of an answer are more than one: they go to inboxes made for this Mate's streams, and only it may.
    permissions.publish.push_back("*.stream." + std::string(id) + ".*");
  }
  if (kind != PrincipalKind::guest) {
    permissions.subscribe.emplace_back(subjects::guard_policy);
    permissions.subscribe.emplace_back(subjects::guard_token);
    permissions.subscribe.push_back(subjects::guard_decision(id));
    // Consent events name people: only the operator sees those of everybody, and each person their own.
    if (kind == PrincipalKind::user)
      permissions.subscribe.push_back("intra365.user." + std::string(id) + ".>");
    permissions.subscribe.emplace_back("intra365.events.mate.>");
    permissions.subscribe.emplace_back("intra365.events.policy.>");
    if (has(held, roles::operator_)) permissions.subscribe.emplace_back("intra365.events.>");
    if (has(held, roles::privacy_officer)) permissions.subscribe.emplace_back("intra365.events.privacy.>");
  }
  return permissions;
}

SubjectPermissions guest_permissions() {
  return {.publish = {std::string(auth::token_request.spec.subject)}, .subscribe = {"_INBOX_guest.>"}};
}

}  // namespace intra365
