#include "services/consent/model.hpp"

#include "contract/errors.hpp"

namespace intra365::services::consent {

std::optional<UserId> person_of(const intra365::consent::SubjectId& subject) {
  if (intra365::consent::group_of(subject.str())) return std::nullopt;
  return UserId::trusted(subject.str());
}

void note_use(const platform::Caller& caller, const UserId& user, const std::vector<Scope>& scopes,
              const MateId& mate) {
  caller.note->user_id = user;
  caller.note->scopes = scopes;
  caller.note->resource = "mate:" + mate.str();
}

Result<void> check_person(const platform::Caller& caller, const UserId& user) {
  if (!caller.is_user(user)) return fail(errors::not_the_person);
  return {};
}

Result<UserId> person(const platform::Caller& caller) {
  if (caller.kind != PrincipalKind::user) return fail(errors::not_the_person);
  return UserId::parse(caller.id);
}

Result<UserId> check_revoke(const platform::Caller& caller, const intra365::consent::RevokeRequest& request) {
  // Nobody takes back for a person, but for the erasure that they asked for.
  if (caller.is_service() && request.user_id) return *request.user_id;
  if (!request.consent_id && !request.mate_id)
    return fail(intra365::errors::bad_value, "name a consentId, or a userId and a mateId");
  if (request.revision && !request.consent_id)
    return fail(intra365::errors::bad_value, "revision: only with a consentId");
  if (caller.kind != PrincipalKind::user && !request.consent_id) return fail(errors::not_the_person);
  if (request.user_id && request.user_id->str() != caller.id) return fail(errors::not_the_person);
  return UserId::parse(caller.id);
}

Result<void> check_verify(const platform::Caller& caller, const intra365::consent::VerifyRequest& request) {
  CHECK(intra365::consent::check_names(request.scopes, "scopes"));
  if (caller.kind == PrincipalKind::user && !caller.is_user(request.user_id) && !caller.is_operator())
    return fail(intra365::errors::not_yours);
  return {};
}

Result<void> check_as_of(const platform::Caller& caller, const intra365::consent::AsOfRequest& request) {
  CHECK(intra365::consent::check_names(request.scopes, "scopes"));
  if (caller.is_user(request.user_id) || caller.is_mate(request.mate_id) || caller.is_operator() ||
      caller.is_service())
    return {};
  return fail(intra365::errors::not_yours);
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

bool sees_evidence(const platform::Caller& caller, const intra365::consent::SubjectId& user) {
  return caller.is_privacy_officer() || (caller.kind == PrincipalKind::user && caller.id == user.str());
}

boost::json::value without_evidence(boost::json::value metadata) {
  auto* members = metadata.if_object();
  if (members == nullptr) return metadata;
  for (const auto* name : {"ipAddress", "userAgent"}) members->erase(name);
  return members->empty() ? boost::json::value() : metadata;
}

Result<void> check_inherits(const platform::Caller& caller, const intra365::consent::QueryRequest& request) {
  const bool is_other = request.user_id && !caller.is_user(*request.user_id);
  if (is_other || (caller.kind != PrincipalKind::user && !caller.is_operator()))
    return fail(intra365::errors::not_yours);
  return {};
}

}  // namespace intra365::services::consent
