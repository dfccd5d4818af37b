#include "consent/lifecycle.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace intra365::consent {
namespace {

constexpr std::size_t kMaxText = 200;

Result<void> check_text(const std::optional<std::string>& text, std::string_view field) {
  if (text && (text->empty() || text->size() > kMaxText))
    return fail(intra365::errors::bad_value, std::string(field).append(": 1 to 200 bytes"));
  return {};
}

template <class Request>
Result<HistoryEntry> first_change(const ConsentId& id, const Request& request, EventKind event,
                                  const Catalogue& catalogue, const Moment& moment) {
  CHECK(check_names(request.purposes, "purposes"));
  CHECK(check_names(request.scopes, "scopes"));
  CHECK(check_text(request.method, "method"));
  CHECK(check_text(request.notice_version, "noticeVersion"));
  CHECK(check_text(request.evidence, "evidence"));
  if (request.evidence && (request.proof || request.evidence->starts_with("evidence:")))
    return fail(intra365::errors::bad_value,
                "evidence: a reference to what is kept elsewhere, and no proof beside it");
  CHECK(catalogue.check(request.purposes, request.scopes));
  HistoryEntry change;
  change.consent_id = id;
  change.user_id = subject_of(request.user_id);
  change.mate_id = request.mate_id;
  change.event = event;
  change.actor = moment.actor;
  change.purposes = request.purposes;
  change.scopes = request.scopes;
  change.method = request.method;
  change.notice_version = request.notice_version;
  change.evidence = request.evidence;
  change.recorded_at = change.valid_from = moment.now;
  return change;
}

Result<HistoryEntry> next_change(const Consent& current, std::optional<std::uint64_t> expected,
                                 EventKind event, const Moment& moment) {
  if (expected && *expected != current.revision)
    return fail(errors::conflict, "the current revision is " + std::to_string(current.revision));
  HistoryEntry change;
  change.consent_id = current.consent_id;
  change.user_id = current.user_id;
  change.mate_id = current.mate_id;
  change.event = event;
  change.actor = moment.actor;
  change.purposes = current.purposes;
  change.scopes = current.scopes;
  change.expires_at = current.expires_at;
  change.recorded_at = change.valid_from = moment.now;
  change.revision = current.revision + 1;
  return change;
}

Result<void> require(const Consent& current, std::initializer_list<Status> wanted) {
  if (std::ranges::find(wanted, current.status) != wanted.end()) return {};
  return fail(errors::wrong_state,
              std::string("the consent is ") + boost::describe::enum_to_string(current.status, "unknown"));
}

template <class Names>
Result<void> check_covered(const Names& wide, const Names& narrow, std::string_view field) {
  for (const auto& name : narrow) {
    if (std::ranges::none_of(wide, [&](const auto& held) { return covers(held.str(), name.str()); }))
      return fail(errors::not_narrower, std::string(field) + ": '" + name.str() + "' is not covered today");
  }
  return {};
}

/// What both lists cover: of each two names where one covers the other, the narrower.
template <class Names>
Names common(const Names& some, const Names& others) {
  Names both;
  for (const auto& one : some) {
    for (const auto& other : others) {
      const auto* narrow = covers(other.str(), one.str())   ? &one
                           : covers(one.str(), other.str()) ? &other
                                                            : nullptr;
      if (narrow != nullptr && std::ranges::find(both, *narrow) == both.end()) both.push_back(*narrow);
    }
  }
  return both;
}

/// Those of `held` that have nothing to do with any of `named`.
template <class Name>
std::vector<Name> untouched(const std::vector<Name>& held, std::span<const Name> named) {
  std::vector<Name> left;
  for (const auto& one : held) {
    const bool touched = std::ranges::any_of(named, [&](const Name& other) {
      return covers(other.str(), one.str()) || covers(one.str(), other.str());
    });
    if (!touched) left.push_back(one);
  }
  return left;
}

/// Not longer than any consent may hold; for changes that ask no catalogue.
Result<void> check_lifetime(std::optional<Timestamp> asked, const Moment& moment) {
  if (asked && *asked <= moment.now) return fail(errors::expiry_in_the_past);
  if (asked && *asked > moment.now + kMaxLifetime) return fail(errors::lifetime_too_long);
  return {};
}

bool is_final(Status status) {
  return status == Status::revoked || status == Status::superseded;
}

/// Narrowed to what is left; revoked where that is nothing.
Result<std::optional<HistoryEntry>> keep(const Consent& current, const NarrowRequest& left,
                                         const Moment& moment) {
  auto decided = left.purposes.empty() && left.scopes.empty()
                     ? decide_revoke(current, std::nullopt, std::nullopt, moment)
                     : decide_narrow(current, left, moment);
  if (!decided) return fail(std::move(decided).error());
  return std::optional(*std::move(decided));
}

}  // namespace

bool covers(std::string_view wide, std::string_view narrow) {
  return narrow == wide ||
         (narrow.size() > wide.size() && narrow.starts_with(wide) && narrow[wide.size()] == '.');
}

Result<HistoryEntry> decide_grant(const ConsentId& id, const GrantRequest& request,
                                  const Catalogue& catalogue, const Moment& moment) {
  TRY(auto change, first_change(id, request, EventKind::granted, catalogue, moment));
  if (!request.metadata.is_null() && !request.metadata.is_object())
    return fail(intra365::errors::bad_value, "metadata: expected an object");
  change.delegation_depth = request.delegation_depth.value_or(0);
  if (change.delegation_depth < 0 || change.delegation_depth > kMaxDelegationDepth)
    return fail(intra365::errors::bad_value, "delegationDepth: 0 to 5");
  if (request.expires_at && *request.expires_at <= moment.now) return fail(errors::expiry_in_the_past);
  TRY(change.expires_at, catalogue.expiry(request.purposes, request.expires_at, moment.now));
  return change;
}

Result<HistoryEntry> decide_supersede(const Consent& current, const ConsentId& by, const Moment& moment) {
  CHECK(require(current, {Status::active, Status::suspended, Status::refused}));
  TRY(auto change, next_change(current, std::nullopt, EventKind::superseded, moment));
  change.superseded_by = by;
  return change;
}

Result<HistoryEntry> decide_refuse(const ConsentId& id, const RefuseRequest& request,
                                   const Catalogue& catalogue, const Moment& moment) {
  return first_change(id, request, EventKind::refused, catalogue, moment);
}

Result<HistoryEntry> decide_narrow(const Consent& current, const NarrowRequest& request,
                                   const Moment& moment) {
  TRY(auto change, next_change(current, request.revision, EventKind::narrowed, moment));
  CHECK(require(current, {Status::active, Status::suspended}));
  if (request.purposes.empty() && request.scopes.empty() && !request.expires_at)
    return fail(intra365::errors::bad_value, "name purposes, scopes or expiresAt");
  if (!request.purposes.empty()) {
    CHECK(check_names(request.purposes, "purposes"));
    CHECK(check_covered(current.purposes, request.purposes, "purposes"));
    change.purposes = request.purposes;
  }
  if (!request.scopes.empty()) {
    CHECK(check_names(request.scopes, "scopes"));
    CHECK(check_covered(current.scopes, request.scopes, "scopes"));
    change.scopes = request.scopes;
  }
  if (request.expires_at) {
    if (current.expires_at && *request.expires_at > *current.expires_at)
      return fail(errors::not_narrower, "expiresAt: later than today's");
    CHECK(check_lifetime(request.expires_at, moment));
    change.expires_at = request.expires_at;
  }
  return change;
}

Result<HistoryEntry> decide_renew(const Consent& current, const RenewRequest& request,
                                  const Catalogue& catalogue, const Moment& moment) {
  TRY(auto change, next_change(current, request.revision, EventKind::renewed, moment));
  CHECK(require(current, {Status::active, Status::suspended}));
  if (!current.expires_at) return fail(errors::wrong_state, "the consent does not expire");
  if (request.expires_at && *request.expires_at <= moment.now) return fail(errors::expiry_in_the_past);
  TRY(change.expires_at, catalogue.expiry(current.purposes, request.expires_at, moment.now));
  if (*change.expires_at <= *current.expires_at) return fail(errors::not_longer);
  return change;
}

Result<HistoryEntry> decide_suspend(const Consent& current, const HoldRequest& request,
                                    const Moment& moment) {
  TRY(auto change, next_change(current, request.revision, EventKind::suspended, moment));
  CHECK(require(current, {Status::active}));
  return change;
}

Result<HistoryEntry> decide_resume(const Consent& current, const HoldRequest& request, const Moment& moment) {
  TRY(auto change, next_change(current, request.revision, EventKind::resumed, moment));
  CHECK(require(current, {Status::suspended}));
  return change;
}

Result<HistoryEntry> decide_revoke(const Consent& current, std::optional<std::uint64_t> expected,
                                   std::optional<Timestamp> effective_at, const Moment& moment) {
  TRY(auto change, next_change(current, expected, EventKind::revoked, moment));
  CHECK(require(current, {Status::active, Status::suspended}));
  if (effective_at) {
    if (*effective_at > moment.now)
      return fail(intra365::errors::bad_value, "effectiveAt: a revocation cannot lie in the future");
    change.valid_from = std::max(*effective_at, current.granted_at);
  }
  return change;
}

Result<std::optional<HistoryEntry>> decide_object(const Consent& current, std::span<const Purpose> purposes,
                                                  const Moment& moment) {
  NarrowRequest left;
  left.purposes = untouched(current.purposes, purposes);
  if (left.purposes.size() == current.purposes.size()) return std::optional<HistoryEntry>();
  return keep(current, left, moment);
}

Result<std::optional<HistoryEntry>> decide_give_way(const Consent& current, std::span<const Purpose> purposes,
                                                    std::span<const Scope> scopes, const Moment& moment) {
  NarrowRequest left;
  left.purposes = untouched(current.purposes, purposes);
  const auto other_scopes = untouched(current.scopes, scopes);
  if (left.purposes.size() == current.purposes.size() || other_scopes.size() == current.scopes.size())
    return std::optional<HistoryEntry>();
  if (left.purposes.empty()) left.scopes = other_scopes;
  return keep(current, left, moment);
}

Result<HistoryEntry> decide_delegate(const ConsentId& id, const Consent& current,
                                     std::span<const Consent> above, const DelegateRequest& request,
                                     const Moment& moment) {
  TRY(auto change, next_change(current, request.revision, EventKind::delegated, moment));
  CHECK(require(current, {Status::active}));
  if (current.expires_at && *current.expires_at <= moment.now)
    return fail(errors::wrong_state, "the consent has expired");
  const auto depth = request.delegation_depth.value_or(0);
  if (depth < 0 || depth >= current.delegation_depth) return fail(errors::not_delegable);
  if (request.mate_id == current.mate_id ||
      std::ranges::any_of(above, [&](const Consent& one) { return one.mate_id == request.mate_id; }))
    return fail(errors::delegation_cycle);
  if (!request.purposes.empty()) change.purposes = request.purposes;
  if (!request.scopes.empty()) change.scopes = request.scopes;
  CHECK(check_names(change.purposes, "purposes"));
  CHECK(check_names(change.scopes, "scopes"));
  CHECK(check_covered(current.purposes, change.purposes, "purposes"));
  CHECK(check_covered(current.scopes, change.scopes, "scopes"));
  if (request.expires_at) {
    if (current.expires_at && *request.expires_at > *current.expires_at)
      return fail(errors::not_narrower, "expiresAt: later than the consent that is handed on");
    CHECK(check_lifetime(request.expires_at, moment));
    change.expires_at = request.expires_at;
  }
  change.consent_id = id;
  change.mate_id = request.mate_id;
  change.parent_id = current.consent_id;
  change.delegation_depth = depth;
  change.revision = 1;
  return change;
}

Result<void> check_not_refused(const HistoryEntry& delegated, std::span<const Consent> own) {
  const auto touches = [&](const Consent& record) {
    return untouched<Purpose>(delegated.purposes, record.purposes).size() < delegated.purposes.size() &&
           untouched<Scope>(delegated.scopes, record.scopes).size() < delegated.scopes.size();
  };
  const auto is_newer_yes = [&](const Consent& record, const Consent& refusal) {
    return record.status == Status::active && !record.parent_id && record.epoch > refusal.epoch &&
           check_covered(record.purposes, delegated.purposes, "") &&
           check_covered(record.scopes, delegated.scopes, "");
  };
  for (const auto& refusal : own) {
    if (refusal.status != Status::refused || !touches(refusal)) continue;
    if (std::ranges::none_of(own, [&](const Consent& record) { return is_newer_yes(record, refusal); }))
      return fail(errors::refused_by_person);
  }
  return {};
}

Consent effective(Consent record, std::span<const Consent> above) {
  for (const auto& one : above) {
    record.purposes = common(record.purposes, one.purposes);
    record.scopes = common(record.scopes, one.scopes);
    if (one.expires_at)
      record.expires_at = std::min(record.expires_at.value_or(*one.expires_at), *one.expires_at);
    if (record.status == Status::active && one.status != Status::active) {
      record.status = one.status;
      record.revoked_at = one.revoked_at;
    }
  }
  record.granted = record.status == Status::active;
  return record;
}

Status status_after(Status before, EventKind event) {
  if (is_final(before)) return before;
  switch (event) {
    case EventKind::granted:
    case EventKind::delegated:
      return Status::active;
    case EventKind::refused:
      return Status::refused;
    case EventKind::suspended:
      return Status::suspended;
    case EventKind::resumed:
      return Status::active;
    case EventKind::revoked:
      return Status::revoked;
    case EventKind::superseded:
      return Status::superseded;
    case EventKind::narrowed:
    case EventKind::renewed:
    case EventKind::expired:
      return before;
  }
  return Status::revoked;  // what is not known allows nothing
}

void apply(Consent& record, const HistoryEntry& change) {
  const bool is_first = record.consent_id.empty();
  if (is_first) {
    record.consent_id = change.consent_id;
    record.user_id = change.user_id;
    record.mate_id = change.mate_id;
    record.granted_at = change.valid_from;
    record.method = change.method;
    record.notice_version = change.notice_version;
    record.parent_id = change.parent_id;
    record.delegation_depth = change.delegation_depth;
  }
  const auto before = record.status;
  const bool begins = change.event == EventKind::granted || change.event == EventKind::delegated ||
                      change.event == EventKind::refused;
  // A history without its beginning allows nothing.
  record.status = is_first && !begins ? Status::revoked : status_after(before, change.event);
  record.granted = record.status == Status::active;
  if (is_first || !is_final(before)) {
    record.purposes = change.purposes;
    record.scopes = change.scopes;
    record.expires_at = change.expires_at;
  }
  if (change.event == EventKind::revoked && before != Status::revoked) record.revoked_at = change.valid_from;
  if (change.event == EventKind::superseded && !is_final(before)) record.superseded_by = change.superseded_by;
  record.revision = std::max(record.revision, change.revision);
  record.epoch = std::max(record.epoch, change.epoch);
}

std::vector<Consent> fold(std::span<const HistoryEntry> changes, Timestamp valid_at, Timestamp known_at) {
  std::vector<const HistoryEntry*> counted;
  for (const auto& change : changes) {
    if (change.valid_from <= valid_at && change.recorded_at <= known_at) counted.push_back(&change);
  }
  const auto order = [](const HistoryEntry* one) {
    return std::tuple(std::string_view(one->consent_id.str()), one->valid_from, one->revision,
                      one->event == EventKind::expired);
  };
  std::ranges::sort(counted, {}, order);
  std::vector<Consent> records;
  for (const auto* change : counted) {
    if (records.empty() || records.back().consent_id != change->consent_id) records.emplace_back();
    apply(records.back(), *change);
  }
  return records;
}

}  // namespace intra365::consent
