// Roles, and what each may do: which operations, and from these which NATS subjects.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "contract/operation.hpp"

namespace intra365 {

/// Kinds of principals a token can stand for.
enum class PrincipalKind { guest, mate, user, service };
std::string_view to_string(PrincipalKind kind);

namespace roles {
inline constexpr std::string_view mate = "mate";           ///< a Mate: offers and uses capabilities
inline constexpr std::string_view user = "user";           ///< a person
inline constexpr std::string_view operator_ = "operator";  ///< runs a tenant
/// Answers for people's rights: sees evidence, exports and erases on a person's behalf. No operator, and no
/// operator is one.
inline constexpr std::string_view privacy_officer = "privacy-officer";
/// Reads the tenant's rows as they change, everybody's: a warehouse, a search index. No operator is one by
/// itself.
inline constexpr std::string_view change_reader = "change-reader";
inline constexpr std::string_view platform_operator =
    "platform-operator";                                ///< runs the platform; only in `default`
inline constexpr std::string_view gateway = "gateway";  ///< a platform service inside a tenant
/// True for the roles that a tenant's operator may give away.
bool is_assignable(std::string_view role);
/// Names that only the platform itself gives: nobody may create a Mate or person called so.
bool is_reserved_name(std::string_view name);
inline constexpr std::string_view admin_id = "admin";      ///< the operator's Mate
inline constexpr std::string_view gateway_id = "gateway";  ///< the gateway inside a tenant
}  // namespace roles

/// May a principal with these roles call an operation with this access?
bool allows(const std::vector<std::string>& roles, Access access);

/// The subjects a connection may use, as nats-server enforces them.
struct SubjectPermissions {
  std::vector<std::string> publish;
  std::vector<std::string> subscribe;
  int reply_max = 0;  ///< answers allowed per request received
};

/// Compiled from the roles and the operations' declarations. `id` is a valid subject token; the inbox is
/// `_INBOX_<id>.>`, so nobody reads another's replies.
SubjectPermissions subject_permissions(PrincipalKind kind, std::string_view id,
                                       const std::vector<std::string>& roles);
/// Without credentials: ask for a token, read the answer, nothing else. Each guest's inbox carries a suffix
/// that only its client knows: `_INBOX_guest.<unguessable>.>`.
SubjectPermissions guest_permissions();

}  // namespace intra365
