#include "services/consent/verification.hpp"

#include <algorithm>

#include "consent/lifecycle.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using platform::Caller;

/// `Store::find` gives no more of one person and Mate: what is beyond might be a no.
constexpr std::size_t kMostOwn = 200;
constexpr std::size_t kMostChanges = 2000;  // as Store::changes

std::vector<const wire::Consent*> pointers(const std::vector<wire::Consent>& records) {
  std::vector<const wire::Consent*> list;
  for (const auto& record : records) list.push_back(&record);
  return list;
}

template <class Request>
guard::ConsentDecision decide(const std::vector<wire::Consent>& own,
                              const std::vector<wire::Consent>& inherited, const Request& request,
                              Timestamp at) {
  const auto owned = pointers(own), of_groups = pointers(inherited);
  return guard::decide_inherited(owned, of_groups, request.scopes, request.purpose, at);
}

/// By the one consent that was named, where one was.
guard::ConsentDecision decide_named(const std::vector<wire::Consent>& own,
                                    const std::vector<wire::Consent>& inherited,
                                    const wire::VerifyRequest& request, Timestamp at) {
  if (!request.consent_id) return decide(own, inherited, request, at);
  const auto owned = pointers(own), of_groups = pointers(inherited);
  return guard::decide_by(*request.consent_id, owned, of_groups, request.scopes, request.purpose, at);
}

/// Completes an answer, and notes it for the audit trail.
wire::VerifyReply verified(const Caller& caller, const wire::VerifyRequest& request,
                           wire::VerifyReply reply) {
  note_use(caller, request.user_id, request.scopes, request.mate_id);
  caller.note->purpose = request.purpose;
  caller.note->consent_id = reply.consent_id;
  reply.allowed = reply.code == wire::DecisionCode::granted;
  if (!reply.allowed) caller.note->refusal = guard::error_of(reply.code).code;
  return reply;
}

/// What `record` hangs on, among `all`; a missing link is a consent that allows nothing.
std::vector<wire::Consent> above(const wire::Consent& record, const std::vector<wire::Consent>& all) {
  std::vector<wire::Consent> chain;
  for (auto parent = record.parent_id; parent && chain.size() <= wire::kMaxDelegationDepth;) {
    const auto found = std::ranges::find(all, *parent, &wire::Consent::consent_id);
    if (found == all.end()) {
      chain.emplace_back();
      chain.back().status = wire::Status::revoked;
      break;
    }
    chain.push_back(*found);
    parent = found->parent_id;
  }
  return chain;
}

}  // namespace

std::optional<Result<wire::VerifyReply>> Verification::verify_now(const Caller& caller,
                                                                  const wire::VerifyRequest& request) {
  if (const auto checked = check_verify(caller, request); !checked) return fail(checked.error());
  if (request.strict.value_or(false)) return std::nullopt;
  const auto copy = copies_.fresh(caller.tenant, request.mate_id);
  if (copy.index == nullptr) return std::nullopt;
  wire::VerifyReply reply;
  const auto& user = request.user_id.str();
  const auto& mate = request.mate_id.str();
  const auto answer = request.consent_id
                          ? copy.index->decide_by(request.consent_id->str(), user, mate, request.scopes,
                                                  request.purpose.str(), copy.time)
                          : copy.index->decide(user, mate, request.scopes, request.purpose.str(), copy.time);
  if (request.min_epoch.value_or(0) > answer.epoch) return std::nullopt;
  reply.epoch = answer.epoch;
  reply.code = answer.code;
  reply.inherited_from = answer.inherited_from;
  reply.cache_age_ms = copy.age.count();
  if (answer.allowed()) reply.consent_id = copy.index->consent_id(answer.record);
  return verified(caller, request, std::move(reply));
}

Task<wire::VerifyReply> Verification::verify(const Caller& caller, const wire::VerifyRequest& request) {
  CO_CHECK(check_verify(caller, request));
  CO_TRY(auto pair, co_await store_.find(caller.tenant, request.user_id, request.mate_id, caller.deadline));
  auto decision = decide_named(pair.records, {}, request, copies_.time());
  std::vector<wire::Consent> inherited;
  if (!decision.allowed() && pair.records.size() < kMostOwn) {
    CO_TRY(inherited,
           co_await households_.inherited(caller.tenant, request.user_id, request.mate_id, caller.deadline));
    if (!inherited.empty()) {
      // The person's own after the groups': a no that came in between must not be missed.
      CO_TRY(pair, co_await store_.find(caller.tenant, request.user_id, request.mate_id, caller.deadline));
      if (pair.records.size() >= kMostOwn) inherited.clear();
      decision = decide_named(pair.records, inherited, request, copies_.time());
    }
  }
  if (request.min_epoch.value_or(0) > pair.epoch) co_return fail(errors::stale);
  wire::VerifyReply reply;
  reply.code = decision.code;
  reply.inherited_from = decision.inherited_from;
  reply.epoch = pair.epoch;
  if (decision.allowed()) reply.consent_id = decision.consent->consent_id;
  co_return verified(caller, request, std::move(reply));
}

Task<wire::AsOfReply> Verification::as_of(const Caller& caller, const wire::AsOfRequest& request) {
  note_use(caller, request.user_id, request.scopes, request.mate_id);
  caller.note->purpose = request.purpose;
  CO_CHECK(check_as_of(caller, request));
  wire::AsOfReply reply;
  // Known is what the database's clock recorded, but changes hold since a time of ours: whichever lags, a
  // change of just now is seen.
  CO_TRY(const auto recorded, co_await store_.now(caller.deadline));
  reply.known_at = request.known_at.value_or(recorded);
  reply.valid_at = request.valid_at.value_or(std::max(recorded, environment_.clock.now()));
  bool complete = true;
  CO_TRY(reply.consents,
         co_await records_then(caller, wire::subject_of(request.user_id), request.mate_id, reply, complete));
  std::vector<wire::Consent> inherited;
  CO_TRY(const auto groups, co_await households_.groups_then(caller.tenant, request.user_id, reply.valid_at,
                                                             reply.known_at, caller.deadline));
  for (const auto& group : groups) {
    CO_TRY(const auto of_group, co_await records_then(caller, group, request.mate_id, reply, complete));
    inherited.insert(inherited.end(), of_group.begin(), of_group.end());
  }
  if (!complete) inherited.clear();  // part of a history may lack a no
  const auto decision = decide(reply.consents, inherited, request, reply.valid_at);
  reply.allowed = decision.allowed();
  reply.code = decision.code;
  reply.inherited_from = decision.inherited_from;
  if (decision.allowed()) reply.consent_id = decision.consent->consent_id;
  reply.consents.insert(reply.consents.end(), inherited.begin(), inherited.end());
  co_return reply;
}

Task<std::vector<wire::Consent>> Verification::records_then(const Caller& caller, wire::SubjectId subject,
                                                            MateId mate, const wire::AsOfReply& at,
                                                            bool& complete) {
  CO_TRY(const auto changes, co_await store_.changes(caller.tenant, std::move(subject), mate, at.valid_at,
                                                     at.known_at, caller.deadline));
  complete = complete && changes.size() < kMostChanges;
  const auto all = wire::fold(changes, at.valid_at, at.known_at);
  std::vector<wire::Consent> records;
  for (const auto& one : all) {
    if (one.mate_id == mate) records.push_back(wire::effective(one, above(one, all)));
  }
  co_return records;
}

}  // namespace intra365::services::consent
