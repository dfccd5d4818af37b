// Operations of consent management: what people allow whom, for what, until when.
#pragma once
#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/attested.hpp"
#include "contract/operation.hpp"

namespace intra365::consent {

using namespace std::chrono_literals;

/// Whose consent it is: a person's (their user id), `household:<id>` or `organisation:<tenant>`. No user id
/// has a colon, so no person can be taken for a group.
struct SubjectTag : tags::Dotted {};
using SubjectId = Name<SubjectTag>;
inline SubjectId subject_of(const UserId& user) {
  return SubjectId::trusted(user.str());
}

/// A group of at most 50 people of a tenant; somebody is a member of at most one at a time.
struct HouseholdTag : tags::Token {};
using HouseholdId = Name<HouseholdTag>;

/// Where a consent that is not the person's own comes from.
enum class InheritedFrom { household, organisation };
BOOST_DESCRIBE_ENUM(InheritedFrom, household, organisation)

/// Where a consent stands in its life. Expiry is not a status: the clock decides it whenever it matters.
enum class Status {
  active,      ///< granted, and holds until it expires
  refused,     ///< the person was asked and said no
  suspended,   ///< paused by the person, who may resume it
  revoked,     ///< taken back for good
  superseded,  ///< another consent stands in its place
};
BOOST_DESCRIBE_ENUM(Status, active, refused, suspended, revoked, superseded)

/// The mission's consent model, with what we keep beside it.
struct Consent {
  ConsentId consent_id;
  SubjectId user_id;
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
  Status status = Status::active;  ///< `granted` is true only while this is `active`
  std::uint64_t revision = 1;      ///< counts the changes of this record; send it back to change what you saw
  std::optional<std::string> method;          ///< how it was given, such as `console` or `paper`
  std::optional<std::string> notice_version;  ///< which text the person was shown
  std::optional<ConsentId> superseded_by;
  std::optional<ConsentId> parent_id;          ///< the consent that a Mate has handed on with this one
  int delegation_depth = 0;                    ///< in how many more steps it may be handed on
  std::optional<std::vector<UserId>> members;  ///< of a household's: for whom it holds; absent: for nobody
};
BOOST_DESCRIBE_STRUCT(Consent, (),
                      (consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at,
                       revoked_at, metadata, epoch, mate_epoch, status, revision, method, notice_version,
                       superseded_by, parent_id, delegation_depth, members))

/// What the person was shown and from where they answered. Kept apart, sealed with a key of the person's own
/// that an erasure destroys; read by the person and by privacy officers only.
struct Evidence {
  std::optional<std::string> address, user_agent, language;  ///< at most 500 bytes each
  std::optional<std::string> text;                           ///< as it was shown, at most 16 KiB
};
BOOST_DESCRIBE_STRUCT(Evidence, (), (address, user_agent, language, text))

struct GrantRequest {
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;        ///< at least one
  std::vector<Scope> scopes;            ///< at least one
  std::optional<Timestamp> expires_at;  ///< absent: after the shortest default lifetime of its purposes
  boost::json::value metadata;
  std::optional<std::string> method, notice_version;
  std::optional<std::string> evidence;  ///< where proof is kept elsewhere: a reference
  std::optional<Evidence> proof;        ///< or the proof, to be kept here
  std::optional<int> delegation_depth;  ///< 0 (when absent) to 5: in how many steps the Mate may hand it on
  std::optional<ConsentId> supersedes;  ///< a consent of the same person that this one replaces
};
BOOST_DESCRIBE_STRUCT(GrantRequest, (),
                      (user_id, mate_id, purposes, scopes, expires_at, metadata, method, notice_version,
                       evidence, proof, delegation_depth, supersedes))

/// A person was asked and said no; recorded, so that nobody need ask again. Older consents for the same Mate
/// are narrowed by it or, where nothing is left, revoked.
struct RefuseRequest {
  UserId user_id;
  MateId mate_id;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<std::string> method, notice_version, evidence;
  std::optional<Evidence> proof;
};
BOOST_DESCRIBE_STRUCT(RefuseRequest, (),
                      (user_id, mate_id, purposes, scopes, method, notice_version, evidence, proof))

/// Less of everything named; what is absent stays as it is.
struct NarrowRequest {
  ConsentId consent_id;
  std::vector<Purpose> purposes;          ///< each covered by one of today's
  std::vector<Scope> scopes;              ///< each covered by one of today's
  std::optional<Timestamp> expires_at;    ///< not later than today's
  std::optional<std::uint64_t> revision;  ///< refused with `consent.conflict` when it has moved on
};
BOOST_DESCRIBE_STRUCT(NarrowRequest, (), (consent_id, purposes, scopes, expires_at, revision))

struct RenewRequest {
  ConsentId consent_id;
  std::optional<Timestamp> expires_at;  ///< absent: after the default lifetime of its purposes
  std::optional<std::uint64_t> revision;
};
BOOST_DESCRIBE_STRUCT(RenewRequest, (), (consent_id, expires_at, revision))

/// A Mate hands on what it was granted: only less, never for longer. What is absent is as the Mate has it,
/// but for the depth, which is 0.
struct DelegateRequest {
  ConsentId consent_id;  ///< the Mate's own
  MateId mate_id;        ///< to whom
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
  std::optional<int> delegation_depth;
  std::optional<std::uint64_t> revision;
};
BOOST_DESCRIBE_STRUCT(DelegateRequest, (),
                      (consent_id, mate_id, purposes, scopes, expires_at, delegation_depth, revision))

/// To suspend or to resume.
struct HoldRequest {
  ConsentId consent_id;
  std::optional<std::uint64_t> revision;
};
BOOST_DESCRIBE_STRUCT(HoldRequest, (), (consent_id, revision))

/// By id, or everything a user has granted to a Mate.
struct RevokeRequest {
  std::optional<ConsentId> consent_id;
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
  std::optional<std::uint64_t> revision;  ///< only with a consentId
  std::optional<Timestamp> effective_at;  ///< when the person said so, where that was earlier than now
};
BOOST_DESCRIBE_STRUCT(RevokeRequest, (), (consent_id, user_id, mate_id, revision, effective_at))

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

/// A person objects to purposes, whoever has them: every consent is narrowed by them or, where nothing is
/// left, revoked; and no group allows them on the person's behalf, now or later.
inline constexpr std::size_t kMostObjected = 50;
struct ObjectRequest {
  UserId user_id;
  std::vector<Purpose> purposes;  ///< with all below them
};
BOOST_DESCRIBE_STRUCT(ObjectRequest, (), (user_id, purposes))

struct VerifyRequest {
  UserId user_id;             ///< whose data
  MateId mate_id;             ///< who wants to use it
  std::vector<Scope> scopes;  ///< all of them must be covered
  Purpose purpose;
  std::optional<std::uint64_t> min_epoch;  ///< the answer must have seen this epoch of the user
  std::optional<bool> strict;              ///< read the truth, not a copy in memory
  std::optional<ConsentId> consent_id;     ///< by this consent alone, where several cover the use
};
BOOST_DESCRIBE_STRUCT(VerifyRequest, (), (user_id, mate_id, scopes, purpose, min_epoch, strict, consent_id))

/// Why consent is, or is not, there. Of several records the one nearest to a grant decides.
enum class DecisionCode {
  granted,
  none,
  refused,
  expired,
  suspended,
  revoked,
  scope_missing,
  purpose_mismatch
};
BOOST_DESCRIBE_ENUM(DecisionCode, granted, none, refused, expired, suspended, revoked, scope_missing,
                    purpose_mismatch)

struct VerifyReply {
  bool allowed = false;
  std::optional<ConsentId> consent_id;
  DecisionCode code = DecisionCode::none;
  std::uint64_t epoch = 0;        ///< the user's consent epoch that this answer has seen, or a later one
  std::int64_t cache_age_ms = 0;  ///< since the truth was asked about this Mate; 0: it was asked for this
  std::optional<InheritedFrom> inherited_from;  ///< whose consent has decided; absent: the person's own
};
BOOST_DESCRIBE_STRUCT(VerifyReply, (), (allowed, consent_id, code, epoch, cache_age_ms, inherited_from))

struct QueryRequest {
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;
  std::optional<bool> active;  ///< only those that hold now, or only those that do not
  std::optional<int> limit;    ///< 1 to 200, 50 when absent
  std::optional<std::string> cursor;
  std::optional<bool> inherited;  ///< instead of a person's own those of their household and organisation
};
BOOST_DESCRIBE_STRUCT(QueryRequest, (), (user_id, mate_id, active, limit, cursor, inherited))

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

enum class EventKind {
  granted,
  refused,
  narrowed,
  renewed,
  suspended,
  resumed,
  revoked,
  expired,
  superseded,
  delegated
};
BOOST_DESCRIBE_ENUM(EventKind, granted, refused, narrowed, renewed, suspended, resumed, revoked, expired,
                    superseded, delegated)

/// One change of one consent, kept for ever. Purposes, scopes and expiry are as the change left them.
struct HistoryEntry {
  std::int64_t sequence = 0;
  ConsentId consent_id;
  SubjectId user_id;
  MateId mate_id;
  EventKind event = EventKind::granted;
  std::string actor;  ///< `user:<id>` or `system`
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
  std::uint64_t epoch = 0;
  Timestamp recorded_at;  ///< when we learned it
  std::optional<std::string> trace_id;
  Timestamp valid_from;        ///< since when it holds
  std::uint64_t revision = 1;  ///< of the record, after this change
  std::optional<std::string> method, notice_version, evidence;
  std::optional<ConsentId> superseded_by, parent_id;
  int delegation_depth = 0;
};
BOOST_DESCRIBE_STRUCT(HistoryEntry, (),
                      (sequence, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at,
                       epoch, recorded_at, trace_id, valid_from, revision, method, notice_version, evidence,
                       superseded_by, parent_id, delegation_depth))

struct AuditReply {
  std::vector<HistoryEntry> entries;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AuditReply, (), (entries, next_cursor))

struct SyncRequest {
  MateId mate_id;
  std::uint64_t mate_epoch = 0;         ///< what the caller has, and decides by; 0: everything that holds
  std::optional<std::string> instance;  ///< which process of the Mate asks; a token of its own choice
  std::optional<bool> whole;  ///< with consents of groups, and with every no from the first answer on
};
BOOST_DESCRIBE_STRUCT(SyncRequest, (), (mate_id, mate_epoch, instance, whole))

/// Everything about one Mate that changed since an epoch. An empty list with the same epoch says "you are
/// current" and renews the caller's lease.
struct SyncReply {
  std::uint64_t mate_epoch = 0;
  std::vector<Consent> consents;  ///< in the order of their mateEpoch
  bool more = false;              ///< ask again with the highest mateEpoch of this page
  bool inherited = false;  ///< groups have consents for this Mate, which only a `whole` copy may decide by
  std::optional<Timestamp> server_time;  ///< an expiry is decided by the later of this clock and one's own
};
BOOST_DESCRIBE_STRUCT(SyncReply, (), (mate_epoch, consents, more, inherited, server_time))

/// Was this use lawful at `validAt`, by what was known at `knownAt`? Both default to now.
struct AsOfRequest {
  UserId user_id;
  MateId mate_id;
  std::vector<Scope> scopes;
  Purpose purpose;
  std::optional<Timestamp> valid_at, known_at;
};
BOOST_DESCRIBE_STRUCT(AsOfRequest, (), (user_id, mate_id, scopes, purpose, valid_at, known_at))

struct AsOfReply {
  bool allowed = false;
  std::optional<ConsentId> consent_id;
  DecisionCode code = DecisionCode::none;
  std::vector<Consent> consents;  ///< as they stood, those of the person's groups of then with them
  Timestamp valid_at, known_at;
  std::optional<InheritedFrom> inherited_from;  ///< whose consent has decided; absent: the person's own
};
BOOST_DESCRIBE_STRUCT(AsOfReply, (),
                      (allowed, consent_id, code, consents, valid_at, known_at, inherited_from))

/// A purpose covers those below it (`research` covers `research.cancer`), and so do its lifetimes.
struct PurposeEntry {
  Purpose purpose;
  std::string description;
  std::optional<int> default_days, max_days;  ///< 1 to 3653
  bool inheritable = false;  ///< households and the organisation may consent for their people
  bool opt_out = false;      ///< the law lets people opt out: data are sold or shared
};
BOOST_DESCRIBE_STRUCT(PurposeEntry, (), (purpose, description, default_days, max_days, inheritable, opt_out))

struct ScopeEntry {
  Scope scope;
  std::string description;
};
BOOST_DESCRIBE_STRUCT(ScopeEntry, (), (scope, description))

/// What a tenant asks consent for. While it is open, names that are not listed are taken as well.
struct CatalogueReply {
  bool closed = false;
  std::vector<PurposeEntry> purposes;
  std::vector<ScopeEntry> scopes;
};
BOOST_DESCRIBE_STRUCT(CatalogueReply, (), (closed, purposes, scopes))

struct CatalogueRequest {
  bool closed = false;
};
BOOST_DESCRIBE_STRUCT(CatalogueRequest, (), (closed))

/// A consent, to be proven.
struct ProofRequest {
  ConsentId consent_id;
};
BOOST_DESCRIBE_STRUCT(ProofRequest, (), (consent_id))

struct EvidenceEntry {
  std::string evidence_id;
  EventKind event = EventKind::granted;  ///< what it is the evidence of
  Timestamp recorded_at;
  Evidence evidence;
};
BOOST_DESCRIBE_STRUCT(EvidenceEntry, (), (evidence_id, event, recorded_at, evidence))

struct EvidenceReply {
  std::vector<EvidenceEntry> entries;  ///< oldest first, at most 100
};
BOOST_DESCRIBE_STRUCT(EvidenceReply, (), (entries))

inline constexpr auto grant = operation<GrantRequest, Consent>({
    .subject = "intra365.consent.grant",
    .http = {Method::post, "/v1/consents"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person allows a Mate to use their data: these scopes, for these purposes, until then.",
    .example =
        R"({"userId":"alice","mateId":"image-analyzer","purposes":["ai-assistance"],"scopes":["image.analyze"],"expiresAt":"2027-01-01T00:00:00Z"})",
});
inline constexpr auto refuse = operation<RefuseRequest, Consent>({
    .subject = "intra365.consent.refuse",
    .http = {Method::post, "/v1/consents/refuse"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person was asked and says no: kept as proof, like a grant, and taken from what that Mate "
               "was allowed before.",
    .example =
        R"({"userId":"alice","mateId":"image-analyzer","purposes":["marketing"],"scopes":["profile"]})",
});
inline constexpr auto narrow = operation<NarrowRequest, Consent>({
    .subject = "intra365.consent.narrow",
    .http = {Method::post, "/v1/consents/{consentId}/narrow"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person allows less than before: fewer purposes or scopes, or a shorter time.",
    .example = R"({"consentId":"0198…","scopes":["profile.read"],"revision":1})",
});
inline constexpr auto renew = operation<RenewRequest, Consent>({
    .subject = "intra365.consent.renew",
    .http = {Method::post, "/v1/consents/{consentId}/renew"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person lets a consent hold for longer; one that has expired holds again.",
    .example = R"({"consentId":"0198…","expiresAt":"2028-01-01T00:00:00Z"})",
});
inline constexpr auto suspend = operation<HoldRequest, Consent>({
    .subject = "intra365.consent.suspend",
    .http = {Method::post, "/v1/consents/{consentId}/suspend"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person pauses a consent; nothing is allowed by it until they resume it.",
    .example = R"({"consentId":"0198…"})",
});
inline constexpr auto resume = operation<HoldRequest, Consent>({
    .subject = "intra365.consent.resume",
    .http = {Method::post, "/v1/consents/{consentId}/resume"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person ends the pause of a consent.",
    .example = R"({"consentId":"0198…"})",
});
inline constexpr auto delegate = operation<DelegateRequest, Consent>({
    .subject = "intra365.consent.delegate",
    .http = {Method::post, "/v1/consents/{consentId}/delegate"},
    .access = Access::mate,
    .effect = Effect::changes,
    .summary = "A Mate hands a consent on to another, narrower and never longer; it ends with its own.",
    .example = R"({"consentId":"0198…","mateId":"thumbnailer","scopes":["image.read"]})",
});
inline constexpr auto as_of = operation<AsOfRequest, AsOfReply>({
    .subject = "intra365.consent.as_of",
    .http = {Method::post, "/v1/consents/as-of"},
    .access = Access::anyone,
    .summary = "Was this use lawful at one time, by what was known at another?",
    .example =
        R"({"userId":"alice","mateId":"image-analyzer","scopes":["image.analyze"],"purpose":"ai-assistance","validAt":"2026-11-01T00:00:00Z"})",
});
inline constexpr auto catalogue = operation<Empty, CatalogueReply>({
    .subject = "intra365.consent.catalogue",
    .http = {Method::get, "/v1/consents/catalogue"},
    .access = Access::anyone,
    .summary = "The purposes and scopes that consent is asked for, with their lifetimes.",
    .example = "{}",
});
inline constexpr auto set_catalogue = operation<CatalogueRequest, CatalogueReply>({
    .subject = "intra365.consent.set_catalogue",
    .http = {Method::put, "/v1/consents/catalogue"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Closes the tenant's catalogue, so that unknown purposes and scopes are refused; or opens it.",
    .example = R"({"closed":true})",
});
inline constexpr auto define_purpose = operation<PurposeEntry, PurposeEntry>({
    .subject = "intra365.consent.define_purpose",
    .http = {Method::put, "/v1/consents/purposes/{purpose}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Adds a purpose to the tenant's catalogue, or changes it.",
    .example = R"({"purpose":"research","description":"Medical research","defaultDays":365,"maxDays":730})",
});
inline constexpr auto define_scope = operation<ScopeEntry, ScopeEntry>({
    .subject = "intra365.consent.define_scope",
    .http = {Method::put, "/v1/consents/scopes/{scope}"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .summary = "Adds a scope to the tenant's catalogue, or changes it.",
    .example = R"({"scope":"health","description":"Health records"})",
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

inline constexpr auto object = operation<ObjectRequest, RevokeReply>({
    .subject = "intra365.consent.object",
    .http = {Method::post, "/v1/consents/object"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary = "A person objects to purposes: no consent allows them any more, whoever it was given to.",
    .example = R"({"userId":"alice","purposes":["marketing"]})",
});
inline constexpr auto receipt = operation<ProofRequest, AttestedDocument>({
    .subject = "intra365.consent.receipt",
    .http = {Method::get, "/v1/consents/{consentId}/receipt"},
    .access = Access::anyone,
    .summary = "A signed receipt: what was agreed and every change since, chained; it verifies offline.",
    .example = R"({"consentId":"0198…"})",
});
inline constexpr auto evidence = operation<ProofRequest, EvidenceReply>({
    .subject = "intra365.consent.evidence",
    .http = {Method::get, "/v1/consents/{consentId}/evidence"},
    .access = Access::anyone,
    .summary = "What the person was shown and from where they answered; for them and for privacy officers.",
    .example = R"({"consentId":"0198…"})",
});

}  // namespace intra365::consent
