// Operations about what becomes of a consent once it stands: how far a change of it has got, and what happens
// around its end.
#pragma once
#include "contract/operations/consent.hpp"

namespace intra365::consent {

struct PropagationRequest {
  ConsentId consent_id;
};
BOOST_DESCRIBE_STRUCT(PropagationRequest, (), (consent_id))

/// Where one enforcement point stands with the latest change of a consent.
enum class PointState {
  untold,     ///< the change could not be pushed; the point will hear of it when it asks
  told,       ///< pushed, and not yet confirmed
  confirmed,  ///< it has said that it decides by the change
  lapsed,     ///< it has not said so, and its lease is over: it cannot decide by what was before
};
BOOST_DESCRIBE_ENUM(PointState, untold, told, confirmed, lapsed)

struct PropagationPoint {
  std::string instance;  ///< one process of the Mate
  PointState state = PointState::untold;
  std::optional<Timestamp> confirmed_at;
  std::optional<std::int64_t> after_us;  ///< from the change to the confirmation
  std::optional<Timestamp> heard_at;  ///< when it last asked, to within ten seconds; none: not there any more
};
BOOST_DESCRIBE_STRUCT(PropagationPoint, (), (instance, state, confirmed_at, after_us, heard_at))

struct PropagationReply {
  ConsentId consent_id;
  MateId mate_id;
  Status status = Status::active;
  std::uint64_t mate_epoch = 0;  ///< what a point must have reached
  Timestamp changed_at;
  std::optional<Timestamp> told_at;
  std::int64_t bound_ms = 1000;          ///< after this no point decides by what was before
  bool complete = false;                 ///< every point has confirmed, or cannot decide by what was before
  std::vector<PropagationPoint> points;  ///< of the Mate, as far as they were there at the change
};
BOOST_DESCRIBE_STRUCT(PropagationReply, (),
                      (consent_id, mate_id, status, mate_epoch, changed_at, told_at, bound_ms, complete,
                       points))

/// What has happened around the end of a consent.
struct Renewal {
  ConsentId consent_id;
  SubjectId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  Timestamp expires_at;
  std::optional<Timestamp> asked_at;  ///< the Mate has asked the person to renew it
  std::optional<std::string> asked_by;
  std::optional<Timestamp> reminded_at;  ///< the last time
  std::optional<Timestamp> renewed_at;   ///< it holds for longer now
  std::optional<Timestamp> lapsed_at;    ///< it ended; `consent.renew` lets it hold again
};
BOOST_DESCRIBE_STRUCT(Renewal, (),
                      (consent_id, user_id, mate_id, purposes, scopes, expires_at, asked_at, asked_by,
                       reminded_at, renewed_at, lapsed_at))

struct RenewalsRequest {
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
  std::optional<bool> open;  ///< only those that wait for the person, or only those that are decided
  std::optional<int> limit;  ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(RenewalsRequest, (), (user_id, mate_id, open, limit, cursor))

struct RenewalsReply {
  std::vector<Renewal> renewals;  ///< the latest of each consent
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(RenewalsReply, (), (renewals, next_cursor))

struct AskRenewalRequest {
  ConsentId consent_id;
};
BOOST_DESCRIBE_STRUCT(AskRenewalRequest, (), (consent_id))

/// When a tenant's people are reminded that a consent is about to end.
struct Reminders {
  std::vector<int> seconds_before;  ///< at most 8, each 1 s to 90 days; empty: never
};
BOOST_DESCRIBE_STRUCT(Reminders, (), (seconds_before))

inline constexpr auto renewals = operation<RenewalsRequest, RenewalsReply>({
    .subject = "intra365.consent.renewals",
    .http = {Method::get, "/v1/consents/renewals"},
    .access = Access::anyone,
    .summary = "Consents that are about to end or have ended: who asked for more, and what became of it.",
    .example = R"({"open":true})",
});
inline constexpr auto ask_renewal = operation<AskRenewalRequest, Renewal>({
    .subject = "intra365.consent.ask_renewal",
    .http = {Method::post, "/v1/consents/{consentId}/ask-renewal"},
    .access = Access::mate,
    .effect = Effect::changes,
    .summary = "A Mate asks the person to let a consent hold for longer; once for each end.",
    .example = R"({"consentId":"0198…"})",
});
inline constexpr auto reminders = operation<Empty, Reminders>({
    .subject = "intra365.consent.reminders",
    .http = {Method::get, "/v1/consents/reminders"},
    .access = Access::anyone,
    .summary = "How long before the end of a consent the event `consent.expiring` tells of it.",
    .example = "{}",
});
inline constexpr auto set_reminders = operation<Reminders, Reminders>({
    .subject = "intra365.consent.set_reminders",
    .http = {Method::put, "/v1/consents/reminders"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Changes how long before the end of a consent people are reminded.",
    .example = R"({"secondsBefore":[604800,86400]})",
});
/// How the cache of consents (the KV bucket `consents`) compared with the truth. Every difference is put
/// right.
struct ReconcileReply {
  std::uint64_t checked = 0;  ///< records of the truth and entries of the cache
  std::uint64_t missing = 0;  ///< not in the cache
  std::uint64_t altered = 0;  ///< otherwise in the cache
  std::uint64_t unknown = 0;  ///< in the cache, and not in the truth
  bool complete = true;       ///< false: there was no time for all of it
  std::int64_t took_ms = 0;
};
BOOST_DESCRIBE_STRUCT(ReconcileReply, (), (checked, missing, altered, unknown, complete, took_ms))

struct CacheRequest {
  UserId user_id;
};
BOOST_DESCRIBE_STRUCT(CacheRequest, (), (user_id))

struct CacheReply {
  std::uint64_t records = 0;
};
BOOST_DESCRIBE_STRUCT(CacheReply, (), (records))

inline constexpr auto cache = operation<CacheRequest, CacheReply>({
    .subject = "intra365.consent.cache",
    .access = Access::service,
    .deadline = 30s,
    .audited = false,
    .summary = "Writes a person's consents into the cache anew: their name has changed behind it.",
    .example = R"({"userId":"alice"})",
});
inline constexpr auto reconcile = operation<Empty, ReconcileReply>({
    .subject = "intra365.consent.reconcile",
    .http = {Method::post, "/v1/consents/reconcile"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .deadline = 30s,
    .summary = "Compares the tenant's part of the consent cache with the truth, and puts it right.",
    .example = "{}",
});
inline constexpr auto propagation = operation<PropagationRequest, PropagationReply>({
    .subject = "intra365.consent.propagation",
    .http = {Method::get, "/v1/consents/{consentId}/propagation"},
    .access = Access::anyone,
    .summary = "How far the latest change of a consent has got: which of the Mate's processes knows, and "
               "since when.",
    .example = R"({"consentId":"0198…"})",
});

}  // namespace intra365::consent
