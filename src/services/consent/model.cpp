#include "services/consent/model.hpp"

#include "contract/errors.hpp"

namespace intra365::services::consent {
namespace {

constexpr std::size_t kMaxNames = 50;
constexpr auto kMaxLifetime = std::chrono::years(10);

template <class Names>
Result<void> check_names(const Names& names, std::string_view field) {
  if (names.empty() || names.size() > kMaxNames)
    return fail(intra365::errors::bad_value, std::string(field) + ": 1 to 50 are needed");
  return {};
}

}  // namespace

Result<void> check_grant(const platform::Caller& caller, const intra365::consent::GrantRequest& request,
                         Timestamp now) {
  if (!caller.is_user(request.user_id)) return fail(errors::not_the_person);
  CHECK(check_names(request.purposes, "purposes"));
  CHECK(check_names(request.scopes, "scopes"));
  if (request.expires_at && *request.expires_at <= now) return fail(errors::expiry_in_the_past);
  if (request.expires_at && *request.expires_at > now + kMaxLifetime) return fail(errors::lifetime_too_long);
  if (!request.metadata.is_null() && !request.metadata.is_object())
    return fail(intra365::errors::bad_value, "metadata: expected an object");
  return {};
}

Result<UserId> check_revoke(const platform::Caller& caller, const intra365::consent::RevokeRequest& request) {
  if (!request.consent_id && !request.mate_id)
    return fail(intra365::errors::bad_value, "name a consentId, or a userId and a mateId");
  if (caller.kind != PrincipalKind::user) return fail(errors::not_the_person);
  if (request.user_id && request.user_id->str() != caller.id) return fail(errors::not_the_person);
  return UserId::parse(caller.id);
}

Result<void> check_verify(const platform::Caller& caller, const intra365::consent::VerifyRequest& request) {
  CHECK(check_names(request.scopes, "scopes"));
  if (caller.kind == PrincipalKind::user && !caller.is_user(request.user_id) && !caller.is_operator())
    return fail(intra365::errors::not_yours);
  return {};
}

Result<View> view_of(const platform::Caller& caller, const std::optional<UserId>& user,
                     const std::optional<MateId>& mate) {
  View view;
  if (user) view.user_id = user->str();
  if (mate) view.mate_id = mate->str();
  if (caller.is_operator() || caller.is_service()) return view;
  auto& own = caller.kind == PrincipalKind::user ? view.user_id : view.mate_id;
  if (own && *own != caller.id) return fail(intra365::errors::not_yours);
  own = caller.id;
  return view;
}

}  // namespace intra365::services::consent
