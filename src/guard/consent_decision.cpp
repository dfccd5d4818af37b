#include "guard/consent_decision.hpp"

#include <algorithm>

#include "consent/groups.hpp"
#include "consent/lifecycle.hpp"
#include "guard/precedence.hpp"

namespace intra365::guard {
namespace {

using consent::DecisionCode;

DecisionCode decide_one(const consent::Consent& record, std::span<const Scope> scopes, const Purpose& purpose,
                        Timestamp now) {
  if (record.status == consent::Status::suspended) return DecisionCode::suspended;
  if (record.status == consent::Status::refused) return DecisionCode::refused;
  if (record.status != consent::Status::active || !record.granted || record.revoked_at)
    return DecisionCode::revoked;
  if (record.expires_at && *record.expires_at <= now) return DecisionCode::expired;
  if (std::ranges::none_of(record.purposes, [&](const Purpose& granted) {
        return consent::covers(granted.str(), purpose.str());
      }))
    return DecisionCode::purpose_mismatch;
  const bool covered = std::ranges::all_of(scopes, [&](const Scope& needed) {
    return std::ranges::any_of(
        record.scopes, [&](const Scope& granted) { return consent::covers(granted.str(), needed.str()); });
  });
  return covered ? DecisionCode::granted : DecisionCode::scope_missing;
}

/// True when the record is about this, whatever it says: what was put aside for another says nothing.
bool touches(const consent::Consent& record, std::span<const Scope> scopes, const Purpose& purpose) {
  const auto covered = [](const auto& held, const auto& asked) {
    return std::ranges::any_of(held,
                               [&](const auto& one) { return consent::covers(one.str(), asked.str()); });
  };
  return record.status != consent::Status::superseded && covered(record.purposes, purpose) &&
         std::ranges::any_of(scopes, [&](const Scope& one) { return covered(record.scopes, one); });
}

}  // namespace

int nearness(DecisionCode code) {
  switch (code) {
    case DecisionCode::granted:
      return 7;
    case DecisionCode::scope_missing:
      return 6;
    case DecisionCode::purpose_mismatch:
      return 5;
    case DecisionCode::expired:
      return 4;
    case DecisionCode::suspended:
      return 3;
    case DecisionCode::revoked:
      return 2;
    case DecisionCode::refused:
      return 1;
    case DecisionCode::none:
      return 0;
  }
  return 0;
}

ConsentDecision decide_consent(std::span<const consent::Consent* const> records,
                               std::span<const Scope> scopes, const Purpose& purpose, Timestamp now) {
  ConsentDecision best;
  for (const auto* record : records) {
    const auto code = decide_one(*record, scopes, purpose, now);
    if (nearness(code) > nearness(best.code)) best = {code, record};
    if (best.allowed()) break;
  }
  return best;
}

namespace {

using Records = std::span<const consent::Consent* const>;

Said<ConsentDecision> say(Records records, std::span<const Scope> scopes, const Purpose& purpose,
                          Timestamp now) {
  Said<ConsentDecision> said;
  said.answer = decide_consent(records, scopes, purpose, now);
  said.touches =
      std::ranges::any_of(records, [&](const auto* one) { return touches(*one, scopes, purpose); });
  return said;
}

std::vector<const consent::Consent*> of_level(Records inherited, consent::InheritedFrom level) {
  std::vector<const consent::Consent*> records;
  for (const auto* one : inherited) {
    if (consent::group_of(one->user_id.str()) == level) records.push_back(one);
  }
  return records;
}

}  // namespace

ConsentDecision decide_inherited(std::span<const consent::Consent* const> own,
                                 std::span<const consent::Consent* const> inherited,
                                 std::span<const Scope> scopes, const Purpose& purpose, Timestamp now) {
  return decide_by_precedence([&](std::optional<consent::InheritedFrom> level) {
    if (!level) return say(own, scopes, purpose, now);
    return say(of_level(inherited, *level), scopes, purpose, now);
  });
}

ConsentDecision decide_by(const ConsentId& consent, std::span<const consent::Consent* const> own,
                          std::span<const consent::Consent* const> inherited, std::span<const Scope> scopes,
                          const Purpose& purpose, Timestamp now) {
  const auto is_it = [&](const consent::Consent* one) { return one->consent_id == consent; };
  if (const auto found = std::ranges::find_if(own, is_it); found != own.end())
    return {decide_one(**found, scopes, purpose, now), *found, {}};
  const auto found = std::ranges::find_if(inherited, is_it);
  if (found == inherited.end()) return {};
  const auto group = consent::group_of((*found)->user_id.str());
  return decide_by_precedence([&](std::optional<consent::InheritedFrom> level) {
    Said<ConsentDecision> said;
    if (level == group) {
      said.answer = {decide_one(**found, scopes, purpose, now), *found, {}};
      said.touches = true;  // it is the one that was asked about
      return said;
    }
    said = level ? say(of_level(inherited, *level), scopes, purpose, now) : say(own, scopes, purpose, now);
    if (said.answer.allowed()) said = Said<ConsentDecision>();
    return said;
  });
}

const ErrorCode& error_of(DecisionCode code) {
  switch (code) {
    case DecisionCode::expired:
      return errors::consent_expired;
    case DecisionCode::revoked:
      return errors::consent_revoked;
    case DecisionCode::suspended:
      return errors::consent_suspended;
    case DecisionCode::refused:
      return errors::consent_refused;
    case DecisionCode::scope_missing:
      return errors::consent_scope;
    case DecisionCode::purpose_mismatch:
      return errors::consent_purpose;
    default:
      return errors::consent_none;
  }
}

}  // namespace intra365::guard
