#include "guard/consent_index.hpp"

#include <algorithm>

namespace intra365::guard {
namespace {

using consent::DecisionCode;

/// How near a record is to a grant; the highest of several decides.
int nearness(DecisionCode code) {
  switch (code) {
    case DecisionCode::granted:
      return 5;
    case DecisionCode::scope_missing:
      return 4;
    case DecisionCode::purpose_mismatch:
      return 3;
    case DecisionCode::expired:
      return 2;
    case DecisionCode::revoked:
      return 1;
    case DecisionCode::none:
      return 0;
  }
  return 0;
}

DecisionCode decide_one(const consent::Consent& record, std::span<const Scope> scopes, const Purpose& purpose,
                        Timestamp now) {
  if (!record.granted || record.revoked_at) return DecisionCode::revoked;
  if (record.expires_at && *record.expires_at <= now) return DecisionCode::expired;
  if (std::ranges::find(record.purposes, purpose) == record.purposes.end())
    return DecisionCode::purpose_mismatch;
  const bool covered = std::ranges::all_of(scopes, [&](const Scope& needed) {
    return std::ranges::any_of(record.scopes,
                               [&](const Scope& granted) { return covers_scope(granted, needed); });
  });
  return covered ? DecisionCode::granted : DecisionCode::scope_missing;
}

}  // namespace

bool covers_scope(const Scope& granted, const Scope& needed) {
  const std::string_view wide = granted.str(), narrow = needed.str();
  return narrow == wide ||
         (narrow.size() > wide.size() && narrow.starts_with(wide) && narrow[wide.size()] == '.');
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

const ErrorCode& error_of(DecisionCode code) {
  switch (code) {
    case DecisionCode::expired:
      return errors::consent_expired;
    case DecisionCode::revoked:
      return errors::consent_revoked;
    case DecisionCode::scope_missing:
      return errors::consent_scope;
    case DecisionCode::purpose_mismatch:
      return errors::consent_purpose;
    default:
      return errors::consent_none;
  }
}

void ConsentIndex::apply(consent::Consent record) {
  auto& known = by_id_[record.consent_id];
  if (!known) {
    known = std::make_unique<consent::Consent>(std::move(record));
    by_pair_[Key{known->user_id.str(), known->mate_id.str()}].push_back(known.get());
  } else if (record.epoch >= known->epoch) {
    *known = std::move(record);  // user and Mate of a consent never change
  }
}

void ConsentIndex::clear() {
  by_pair_.clear();
  by_id_.clear();
}

std::vector<const consent::Consent*> ConsentIndex::find(const UserId& user, const MateId& mate) const {
  const auto found = by_pair_.find(KeyView{user.str(), mate.str()});
  return found == by_pair_.end() ? std::vector<const consent::Consent*>{} : found->second;
}

ConsentDecision ConsentIndex::decide(const UserId& user, const MateId& mate, std::span<const Scope> scopes,
                                     const Purpose& purpose, Timestamp now) const {
  const auto found = by_pair_.find(KeyView{user.str(), mate.str()});
  if (found == by_pair_.end()) return {};
  return decide_consent(found->second, scopes, purpose, now);
}

const consent::Consent* ConsentIndex::find(const ConsentId& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

void ConsentIndex::prune(Timestamp before) {
  std::erase_if(by_id_, [&](auto& item) {
    const auto& record = *item.second;
    const bool dead = (record.revoked_at && *record.revoked_at < before) ||
                      (record.expires_at && *record.expires_at < before);
    if (dead) {
      const auto pair = by_pair_.find(KeyView{record.user_id.str(), record.mate_id.str()});
      std::erase(pair->second, &record);
      if (pair->second.empty()) by_pair_.erase(pair);
    }
    return dead;
  });
}

}  // namespace intra365::guard
