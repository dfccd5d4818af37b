// Operations of people's rights over their data (GDPR 15 to 21, CCPA): see it, take it away, correct it,
// object, have it erased; and who used it.
#pragma once
#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/attested.hpp"
#include "contract/operation.hpp"

namespace intra365::privacy {

using namespace std::chrono_literals;

/// JWKS of the keys that sign receipts and exports.
struct KeysReply {
  boost::json::value keys;
};
BOOST_DESCRIBE_STRUCT(KeysReply, (), (keys))

struct ExportRequest {
  UserId user_id;
  std::optional<std::string> cursor;  ///< `nextCursor` of the page before
};
BOOST_DESCRIBE_STRUCT(ExportRequest, (), (user_id, cursor))

/// One page. Its document: `format`, `tenant`, `userId`, `exportedAt`, `page`, `previous` (the signature of
/// the page before) and `rows`, each with `table` and `row`.
struct ExportReply {
  boost::json::value document;
  std::string signature;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ExportReply, (), (document, signature, next_cursor))

/// What a person may ask for.
enum class RequestKind {
  access,         ///< a copy of their data; `privacy.export` answers it at once
  rectification,  ///< correct something that they cannot correct themselves
  objection,      ///< stop using data for a purpose
  opt_out,        ///< no sale or sharing (CCPA); needs no account
  erasure
};
BOOST_DESCRIBE_ENUM(RequestKind, access, rectification, objection, opt_out, erasure)

enum class RequestState {
  open,     ///< waits for a privacy officer
  working,  ///< being carried out
  done,
  refused
};
BOOST_DESCRIBE_ENUM(RequestState, open, working, done, refused)

/// A person's request and what became of it. Of an erasure that is done only the pseudonym is left.
struct PersonRequest {
  std::string request_id;
  RequestKind kind = RequestKind::access;
  RequestState state = RequestState::open;
  std::optional<UserId> user_id;  ///< absent: made without an account
  std::optional<std::string> text;
  Timestamp received_at, due_at;  ///< one month (GDPR 12(3)); 15 business days for opt-outs (CCPA)
  std::optional<Timestamp> resolved_at;
  std::optional<std::string> resolution;  ///< what was done, or why not
  bool overdue = false;
};
BOOST_DESCRIBE_STRUCT(PersonRequest, (),
                      (request_id, kind, state, user_id, text, received_at, due_at, resolved_at, resolution,
                       overdue))

struct SubmitRequest {
  UserId user_id;
  RequestKind kind = RequestKind::rectification;
  std::string text;  ///< 1 to 4,000 bytes
};
BOOST_DESCRIBE_STRUCT(SubmitRequest, (), (user_id, kind, text))

struct ResolveRequest {
  std::string request_id;
  RequestState state = RequestState::done;  ///< `done` or `refused`
  std::string resolution;                   ///< 1 to 4,000 bytes, for the person to read
};
BOOST_DESCRIBE_STRUCT(ResolveRequest, (), (request_id, state, resolution))

struct ListRequest {
  std::optional<UserId> user_id;
  std::optional<bool> open;  ///< only those that wait or are worked on
};
BOOST_DESCRIBE_STRUCT(ListRequest, (), (user_id, open))

struct ListReply {
  std::vector<PersonRequest> requests;  ///< the most urgent first, at most 500
  std::int64_t overdue = 0;             ///< of the person, or of all; counted to 100,000
};
BOOST_DESCRIBE_STRUCT(ListReply, (), (requests, overdue))

struct CorrectRequest {
  UserId user_id;
  std::optional<std::string> display_name;  ///< at most 200 bytes; empty removes it
  std::optional<std::string> country;       ///< two letters; empty removes it
};
BOOST_DESCRIBE_STRUCT(CorrectRequest, (), (user_id, display_name, country))

struct CorrectReply {
  UserId user_id;
  std::optional<std::string> display_name, country;
};
BOOST_DESCRIBE_STRUCT(CorrectReply, (), (user_id, display_name, country))

struct EraseRequest {
  UserId user_id;
  UserId confirm;  ///< the same once more: it cannot be undone
  /// `requestId` of an earlier erasure of the same person, for privacy officers: the history goes on calling
  /// them what it calls them since.
  std::optional<std::string> again;
};
BOOST_DESCRIBE_STRUCT(EraseRequest, (), (user_id, confirm, again))

struct EraseReply {
  std::string request_id;
  RequestState state = RequestState::working;
  UserId pseudonym;           ///< what the history calls the person from now on
  std::int64_t rows = 0;      ///< rows changed or removed so far
  std::int64_t messages = 0;  ///< messages removed from streams and buckets so far
  bool held = false;          ///< a legal hold was placed meanwhile; it goes on once the hold is released
};
BOOST_DESCRIBE_STRUCT(EraseReply, (), (request_id, state, pseudonym, rows, messages, held))

struct StatusRequest {
  std::string request_id;
};
BOOST_DESCRIBE_STRUCT(StatusRequest, (), (request_id))

struct AccessRequest {
  std::optional<UserId> user_id;
  std::optional<MateId> mate_id;   ///< the Mate that used the data, or that they were used with
  std::optional<Timestamp> since;  ///< 30 days before `until` when absent
  std::optional<Timestamp> until;  ///< exclusive; now when absent
  std::optional<int> limit;        ///< 1 to 200, 50 when absent
  /// `nextCursor` of the page before, whose times hold for all pages; who and which Mate is asked again.
  std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(AccessRequest, (), (user_id, mate_id, since, until, limit, cursor))

/// Uses of a person's data that are alike.
struct AccessEntry {
  UserId user_id;
  std::string actor;     ///< who used it
  std::string resource;  ///< with what: `mate:<id>/<capability>/<action>`
  std::optional<ConsentId> consent_id;
  std::optional<Purpose> purpose;
  std::vector<Scope> scopes;
  std::string outcome;
  /// Who says so: `mate:<id>`, whose enforcement point let it through or refused it, or `platform`; absent
  /// where it was recorded before sources were kept.
  std::optional<std::string> recorded_by;
  std::int64_t count = 0;
  Timestamp first_at, last_at;
};
BOOST_DESCRIBE_STRUCT(AccessEntry, (),
                      (user_id, actor, resource, consent_id, purpose, scopes, outcome, recorded_by, count,
                       first_at, last_at))

struct AccessReply {
  std::vector<AccessEntry> entries;  ///< by person, actor and resource
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AccessReply, (), (entries, next_cursor))

/// A data key of the tenant; the one with the highest number seals.
struct SealingKey {
  int number = 0;
  Timestamp made_at;
  std::optional<Timestamp> checked_at;    ///< everything was last looked through
  std::optional<Timestamp> destroyed_at;  ///< nothing needed it any more
};
BOOST_DESCRIBE_STRUCT(SealingKey, (), (number, made_at, checked_at, destroyed_at))

struct SealingColumn {
  std::string table, column;
  std::int64_t waiting = 0;  ///< values that the newest key has not sealed yet; counted to 100,000
};
BOOST_DESCRIBE_STRUCT(SealingColumn, (), (table, column, waiting))

struct SealingReply {
  std::vector<SealingKey> keys;  ///< the newest first, at most 100
  std::vector<SealingColumn> columns;
};
BOOST_DESCRIBE_STRUCT(SealingReply, (), (keys, columns))

inline constexpr auto keys = operation<Empty, KeysReply>({
    .subject = "intra365.privacy.keys",
    .http = {Method::get, "/v1/privacy/keys"},
    .access = Access::anyone,
    .summary = "Public keys (JWKS) that verify receipts and exports; keep them beside the documents.",
    .example = R"({})",
});
inline constexpr auto export_ = operation<ExportRequest, ExportReply>({
    .subject = "intra365.privacy.export",
    .http = {Method::post, "/v1/privacy/export"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 10'000ms,
    .summary = "Everything the platform keeps about a person, as signed JSON, page by page.",
    .example = R"({"userId":"alice"})",
});
inline constexpr auto erase = operation<EraseRequest, EraseReply>({
    .subject = "intra365.privacy.erase",
    .http = {Method::post, "/v1/privacy/erase"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 30'000ms,
    .summary = "Erases a person: consents end, data goes, the history stays as pseudonymous proof.",
    .example = R"({"userId":"alice","confirm":"alice"})",
});
inline constexpr auto status = operation<StatusRequest, EraseReply>({
    .subject = "intra365.privacy.status",
    .http = {Method::get, "/v1/privacy/erasures/{requestId}"},
    .access = Access::anyone,
    .summary = "How far an erasure has got; whoever has its id may ask.",
    .example = R"({"requestId":"0198…"})",
});
inline constexpr auto submit = operation<SubmitRequest, PersonRequest>({
    .subject = "intra365.privacy.submit",
    .http = {Method::post, "/v1/privacy/requests"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person asks for something that a privacy officer has to see to; its deadline is kept.",
    .example = R"({"userId":"alice","kind":"rectification","text":"My diagnosis is wrong."})",
});
inline constexpr auto list = operation<ListRequest, ListReply>({
    .subject = "intra365.privacy.list",
    .http = {Method::get, "/v1/privacy/requests"},
    .access = Access::anyone,
    .summary = "Requests with their deadlines: a person's own, or all of them for privacy officers.",
    .example = R"({"open":true})",
});
inline constexpr auto resolve = operation<ResolveRequest, PersonRequest>({
    .subject = "intra365.privacy.resolve",
    .http = {Method::post, "/v1/privacy/requests/{requestId}/resolve"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A privacy officer says what became of a request.",
    .example = R"({"requestId":"0198…","state":"done","resolution":"Corrected."})",
});
inline constexpr auto correct = operation<CorrectRequest, CorrectReply>({
    .subject = "intra365.privacy.correct",
    .http = {Method::post, "/v1/privacy/correct"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .summary = "A person corrects what their profile says.",
    .example = R"({"userId":"alice","displayName":"Alice A."})",
});
inline constexpr auto access = operation<AccessRequest, AccessReply>({
    .subject = "intra365.privacy.access",
    .http = {Method::get, "/v1/privacy/access"},
    .access = Access::anyone,
    .deadline = 5000ms,
    .summary = "Who used whose data, for what and under which consent: one's own, or for privacy officers.",
    .example = R"({"userId":"alice"})",
});
inline constexpr auto sealing = operation<Empty, SealingReply>({
    .subject = "intra365.privacy.sealing",
    .http = {Method::get, "/v1/privacy/sealing"},
    .access = Access::operator_,
    .deadline = 10'000ms,
    .summary = "The tenant's data keys, and what is not sealed with the newest one yet.",
    .example = R"({})",
});
inline constexpr auto rotate_key = operation<Empty, SealingReply>({
    .subject = "intra365.privacy.rotate_key",
    .http = {Method::post, "/v1/privacy/rotate-key"},
    .access = Access::operator_,
    .effect = Effect::changes,
    .deadline = 10'000ms,
    .summary = "Makes a new data key for the tenant; everything is sealed anew in the background.",
    .example = R"({})",
});

}  // namespace intra365::privacy
