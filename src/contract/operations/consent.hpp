// Operations of consent management: what people allow whom, for what, until when.
#pragma once
#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::consent {

using namespace std::chrono_literals;

/// The mission's consent model, with what we keep beside it.
struct Consent {
  ConsentId consent_id;
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  bool granted = false;
  Timestamp granted_at;
  std::optional<Timestamp> expires_at;
  std::optional<Timestamp> revoked_at;
  boost::json::value metadata;
  std::uint64_t epoch = 0;  ///< the user's consent epoch at the last change of this record
  std::uint64_t mate_epoch =
      0;  ///< the Mate's consent epoch at the last change: its enforcement points see gaps by it
};
BOOST_DESCRIBE_STRUCT(Consent, (),
                      (consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at,
                       revoked_at, metadata, epoch, mate_epoch))

struct GrantRequest {
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;  ///< at least one
  std::vector<Scope> scopes;      ///< at least one
  std::optional<Timestamp> expires_at;
  boost::json::value metadata;
};
BOOST_DESCRIBE_STRUCT(GrantRequest, (), (user_id, mate_id, purposes, scopes, expires_at, metadata))

/// By id, or everything a user has granted to a Mate.
struct RevokeRequest {
  std::optional<ConsentId> consent_id;
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
};
BOOST_DESCRIBE_STRUCT(RevokeRequest, (), (consent_id, user_id, mate_id))

/// How far a revocation has got when the reply leaves.
struct Propagation {
  bool committed = false;        ///< in PostgreSQL
  bool cached = false;           ///< in the KV bucket
  bool published = false;        ///< pushed to the Mate's enforcement points
  std::int64_t bound_ms = 1000;  ///< after this not one allow, whatever was lost on the way
};
BOOST_DESCRIBE_STRUCT(Propagation, (), (committed, cached, published, bound_ms))

struct RevokeReply {
  std::vector<Consent> consents;  ///< the records as they stand now
  std::uint64_t epoch = 0;
  Propagation propagation;
};
BOOST_DESCRIBE_STRUCT(RevokeReply, (), (consents, epoch, propagation))

struct VerifyRequest {
  UserId user_id;             ///< whose data
  MateId mate_id;             ///< who wants to use it
  std::vector<Scope> scopes;  ///< all of them must be covered
  Purpose purpose;
  std::optional<std::uint64_t> min_epoch;  ///< the answer must have seen this epoch of the user
  std::optional<bool> strict;              ///< read the truth, not a copy in memory
};
BOOST_DESCRIBE_STRUCT(VerifyRequest, (), (user_id, mate_id, scopes, purpose, min_epoch, strict))

/// Why consent is, or is not, there. Of several records the one nearest to a grant decides.
enum class DecisionCode { granted, none, expired, revoked, scope_missing, purpose_mismatch };
BOOST_DESCRIBE_ENUM(DecisionCode, granted, none, expired, revoked, scope_missing, purpose_mismatch)

struct VerifyReply {
  bool allowed = false;
  std::optional<ConsentId> consent_id;
  DecisionCode code = DecisionCode::none;
  std::uint64_t epoch = 0;        ///< the user's consent epoch that this answer has seen, or a later one
  std::int64_t cache_age_ms = 0;  ///< since the truth was asked about this Mate; 0: it was asked for this
};
BOOST_DESCRIBE_STRUCT(VerifyReply, (), (allowed, consent_id, code, epoch, cache_age_ms))

struct QueryRequest {
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
  std::optional<bool> active;  ///< only those that hold now, or only those that do not
  std::optional<int> limit;    ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(QueryRequest, (), (user_id, mate_id, active, limit, cursor))

struct QueryReply {
  std::vector<Consent> consents;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(QueryReply, (), (consents, next_cursor))

struct AuditRequest {
  std::optional<ConsentId> consent_id;
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
  std::optional<int> limit;
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(AuditRequest, (), (consent_id, user_id, mate_id, limit, cursor))

/// One change of one consent, kept for ever.
struct HistoryEntry {
  std::int64_t sequence = 0;
  ConsentId consent_id;
  UserId user_id;
  MateId mate_id;
  std::string event;  ///< `granted`, `revoked`, `expired`, `superseded`
  std::string actor;  ///< `user:<id>` or `system`
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
  std::uint64_t epoch = 0;
  Timestamp recorded_at;
  std::optional<std::string> trace_id;
};
BOOST_DESCRIBE_STRUCT(HistoryEntry, (),
                      (sequence, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at,
                       epoch, recorded_at, trace_id))

struct AuditReply {
  std::vector<HistoryEntry> entries;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AuditReply, (), (entries, next_cursor))

struct SyncRequest {
  MateId mate_id;
  std::uint64_t mate_epoch = 0;  ///< what the caller has; 0: everything that holds
};
BOOST_DESCRIBE_STRUCT(SyncRequest, (), (mate_id, mate_epoch))

/// Everything about one Mate that changed since an epoch. An empty list with the same epoch says "you are
/// current" and renews the caller's lease.
struct SyncReply {
  std::uint64_t mate_epoch = 0;
  std::vector<Consent> consents;  ///< in the order of their mateEpoch
  bool more = false;              ///< ask again with the highest mateEpoch of this page
};
BOOST_DESCRIBE_STRUCT(SyncReply, (), (mate_epoch, consents, more))

inline constexpr auto grant = operation<GrantRequest, Consent>({
    .subject = "intra365.consent.grant",
    .http = {Method::post, "/v1/consents"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person allows a Mate to use their data: these scopes, for these purposes, until then.",
    .example =
        R"({"userId":"alice","mateId":"image-analyzer","purposes":["ai-assistance"],"scopes":["image.analyze"],"expiresAt":"2027-01-01T00:00:00Z"})",
});
inline constexpr auto revoke = operation<RevokeRequest, RevokeReply>({
    .subject = "intra365.consent.revoke",
    .http = {Method::delete_, "/v1/consents/{consentId}"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person takes a consent back. Nothing is allowed by it after the bound in the reply.",
    .example = R"({"consentId":"0198…"})",
});
inline constexpr auto verify = operation<VerifyRequest, VerifyReply>({
    .subject = "intra365.consent.verify",
    .http = {Method::post, "/v1/consents/verify"},
    .access = Access::anyone,
    .effect = Effect::reads,
    .deadline = 250ms,
    .summary = "May this Mate use these scopes of this user for this purpose, now?",
    .example =
        R"({"userId":"alice","mateId":"image-analyzer","scopes":["image.analyze"],"purpose":"ai-assistance"})",
});
inline constexpr auto query = operation<QueryRequest, QueryReply>({
    .subject = "intra365.consent.query",
    .http = {Method::get, "/v1/consents"},
    .access = Access::anyone,
    .summary = "The caller's own consents; a Mate sees those granted to it, the operator all.",
    .example = R"({"userId":"alice"})",
});
inline constexpr auto audit = operation<AuditRequest, AuditReply>({
    .subject = "intra365.consent.audit",
    .http = {Method::get, "/v1/consents/audit"},
    .access = Access::anyone,
    .summary = "Every change of the consents the caller may see, oldest first.",
    .example = R"({"userId":"alice"})",
});
inline constexpr auto sync = operation<SyncRequest, SyncReply>({
    .subject = "intra365.consent.sync",
    .access = Access::mate,
    .deadline = 500ms,
    .audited = false,
    .summary = "A Mate's consents since an epoch, for its own enforcement point; renews its lease.",
    .example = R"({"mateId":"image-analyzer","mateEpoch":0})",
});

}  // namespace intra365::consent
