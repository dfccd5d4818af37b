// Who asks, on whose behalf, under which trace and until when: what every handler is given.
#pragma once
#include <algorithm>
#include <optional>

#include "async/task.hpp"
#include "base/ids.hpp"
#include "contract/roles.hpp"
#include "contract/trace.hpp"

namespace intra365::platform {

/// What a handler adds to the audit entry of its operation.
struct AuditNote {
  std::string resource;  ///< empty: the operation itself
  std::optional<UserId> user_id;
  std::optional<ConsentId> consent_id;
  std::optional<Purpose> purpose;
  std::vector<Scope> scopes;
  std::string refusal;  ///< code of a negative decision that is not an error (`consent.verify` said no)
};

struct Caller {
  TenantId tenant;
  std::string account;  ///< public key of the tenant's NATS account, or `platform`
  PrincipalKind kind = PrincipalKind::guest;
  std::string id;  ///< Mate, user or service id; empty for a guest
  std::vector<std::string> roles;
  std::vector<Scope> scopes;
  std::string token_id;  ///< jti of the access token
  TraceContext trace;    ///< our span
  SteadyTime deadline;
  std::optional<SteadyTime> changed_at;  ///< of the caller's own latest change: reads must have seen it
  AuditNote* note = nullptr;             ///< never null inside a handler

  bool is_operator() const { return allows(roles, Access::operator_); }
  bool is_privacy_officer() const {
    return std::ranges::find(roles, intra365::roles::privacy_officer) != roles.end();
  }
  bool is_service() const { return kind == PrincipalKind::service; }
  bool is_mate(const MateId& mate) const { return kind == PrincipalKind::mate && id == mate.str(); }
  bool is_user(const UserId& user) const { return kind == PrincipalKind::user && id == user.str(); }
  /// `mate:<id>`, `user:<id>`, `service:<name>` or `guest`.
  std::string subject() const {
    return kind == PrincipalKind::guest ? "guest" : std::string(to_string(kind)) + ":" + id;
  }
};

}  // namespace intra365::platform
