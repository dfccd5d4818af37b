// Operations around decisions: many at once, search, filters for lists, replays, and being told of changes.
#pragma once
#include "contract/operations/policy.hpp"

namespace intra365::policy {

/// When a batch stops (AuthZEN 1.0, evaluations semantics).
enum class Semantic {
  execute_all,             ///< every question is answered
  deny_on_first_deny,      ///< the first denial is the last answer
  permit_on_first_permit,  ///< the first allow is the last answer
};
BOOST_DESCRIBE_ENUM(Semantic, execute_all, deny_on_first_deny, permit_on_first_permit)

/// Questions that share what stands beside them: a field that a question lacks is the batch's own.
struct BatchRequest {
  std::vector<EvaluateRequest> evaluations;  ///< 1 to 1,000
  boost::json::value subject, action, resource, context;
  std::optional<Semantic> semantic;  ///< `execute_all` when absent
};
BOOST_DESCRIBE_STRUCT(BatchRequest, (), (evaluations, subject, action, resource, context, semantic))

/// The answer to one question of a batch. One that could not be answered is a denial that says why.
struct BatchItem {
  Decision decision = Decision::deny;
  std::optional<EvaluateReply> answer;
  std::optional<std::string> error;  ///< code
  std::optional<std::string> message;
};
BOOST_DESCRIBE_STRUCT(BatchItem, (), (decision, answer, error, message))

struct BatchReply {
  std::vector<BatchItem> evaluations;  ///< in the order of the questions; fewer when the semantic stopped it
};
BOOST_DESCRIBE_STRUCT(BatchReply, (), (evaluations))

enum class Searched { subject, resource, action };
BOOST_DESCRIBE_ENUM(Searched, subject, resource, action)

/// The searched part holds a type alone (`{"type":"user"}`), or nothing where actions are searched.
/// Candidates are the tenant's people and Mates and whatever the policies name; each result was evaluated.
struct SearchRequest {
  Searched searched = Searched::resource;
  boost::json::value subject, action, resource, context;
  std::optional<int> limit;           ///< 1 to 200 candidates found, 50 when absent
  std::optional<std::string> cursor;  ///< from the page before; everything else must be the same
};
BOOST_DESCRIBE_STRUCT(SearchRequest, (), (searched, subject, action, resource, context, limit, cursor))

struct SearchReply {
  std::vector<boost::json::value> results;  ///< `{"type","id"}`, or `{"name"}` of an action
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(SearchReply, (), (results, next_cursor))

/// Which rows of a table may be seen: the policies with everything known put in, and the resource left open.
struct FilterRequest {
  boost::json::value subject, action, context;
  std::string resource_type;  ///< `doc`: rows stand for `doc:<id>`
  /// Attribute path -> column, quoted by us: `resource.id` and what else of the resource is in the table.
  std::map<std::string, std::string> columns;
};
BOOST_DESCRIBE_STRUCT(FilterRequest, (), (subject, action, context, resource_type, columns))

enum class FilterKind { all, none, some };
BOOST_DESCRIBE_ENUM(FilterKind, all, none, some)

struct FilterReply {
  FilterKind kind = FilterKind::none;
  std::string sql;                      ///< a condition with $1, $2 …, for `where`
  std::vector<std::string> parameters;  ///< texts, in that order
  /// False: some rule asks for what no column holds; where it stood, the filter lets less through.
  bool exact = true;
  std::uint64_t policy_epoch = 0;
};
BOOST_DESCRIBE_STRUCT(FilterReply, (), (kind, sql, parameters, exact, policy_epoch))

/// One decision as it was made, and how often within a moment.
struct DecisionRecord {
  std::string decision_id;
  Timestamp evaluated_at;
  std::uint64_t policy_epoch = 0;
  std::int64_t count = 1;         ///< alike decisions of one moment share a record; their ids end in `.2` …
  boost::json::value request;     ///< as it was asked
  boost::json::value attributes;  ///< everything that was known
  boost::json::value reply;
  std::optional<boost::json::value> shadow;  ///< what the shadow policies would have said, where different
};
BOOST_DESCRIBE_STRUCT(DecisionRecord, (),
                      (decision_id, evaluated_at, policy_epoch, count, request, attributes, reply, shadow))

struct RecordRequest {
  std::vector<DecisionRecord> records;
};
BOOST_DESCRIBE_STRUCT(RecordRequest, (), (records))

struct ReplayRequest {
  std::string decision_id;
};
BOOST_DESCRIBE_STRUCT(ReplayRequest, (), (decision_id))

/// A decision as it was recorded, and made again from the policies and facts of then.
struct ReplayReply {
  DecisionRecord recorded;
  Explanation replayed;
  bool same = false;
};
BOOST_DESCRIBE_STRUCT(ReplayReply, (), (recorded, replayed, same))

struct WatchRequest {
  boost::json::value subject, action, resource, context;
  std::optional<int> seconds;  ///< 1 to 3600, 60 when absent; ask again before it is over
};
BOOST_DESCRIBE_STRUCT(WatchRequest, (), (subject, action, resource, context, seconds))

struct WatchReply {
  EvaluateReply now;
  std::string watch_id;  ///< the same for the same question of the same caller
  std::string subject;   ///< where changes arrive
  Timestamp expires_at;
};
BOOST_DESCRIBE_STRUCT(WatchReply, (), (now, watch_id, subject, expires_at))

/// Pushed on `intra365.guard.decision.<caller>`: the answer is another one now.
struct DecisionChange {
  std::string watch_id;
  EvaluateReply now;
};
BOOST_DESCRIBE_STRUCT(DecisionChange, (), (watch_id, now))

inline constexpr auto evaluate_batch = operation<BatchRequest, BatchReply>({
    .subject = "intra365.policy.batch",
    .http = {Method::post, "/v1/policies/batch"},
    .access = Access::anyone,
    .deadline = 2000ms,
    .summary = "Answers many questions at once; may stop at the first denial or the first allow.",
    .example =
        R"({"subject":"mate:assistant","action":"read","evaluations":[{"resource":"doc:a"},{"resource":"doc:b"}],"semantic":"deny_on_first_deny"})",
});
inline constexpr auto search = operation<SearchRequest, SearchReply>({
    .subject = "intra365.policy.search",
    .http = {Method::post, "/v1/policies/search"},
    .access = Access::anyone,
    .deadline = 5000ms,
    .summary = "Who may do this, to what may it be done, or what may be done? Anybody about themselves, the "
               "operator about everybody.",
    .example =
        R"({"searched":"resource","subject":"mate:assistant","action":"read","resource":{"type":"doc"}})",
});
inline constexpr auto filter = operation<FilterRequest, FilterReply>({
    .subject = "intra365.policy.filter",
    .http = {Method::post, "/v1/policies/filter"},
    .access = Access::anyone,
    .summary = "The policies as an SQL condition over a table of resources, for lists.",
    .example =
        R"({"subject":"mate:assistant","action":"read","resourceType":"doc","columns":{"resource.id":"id","resource.owner":"owner_id"}})",
});
inline constexpr auto replay = operation<ReplayRequest, ReplayReply>({
    .subject = "intra365.policy.replay",
    .http = {Method::get, "/v1/policies/decisions/{decisionId}"},
    .access = Access::operator_,
    .summary = "A decision of the past: what was asked and answered, and the same made again and explained.",
    .example = R"({"decisionId":"4b8d2c3e-0b1a-4a57-9e52-3f1f4c1f5a11"})",
});
inline constexpr auto watch = operation<WatchRequest, WatchReply>({
    .subject = "intra365.policy.watch",
    .access = Access::anyone,
    .summary = "Answers a question, and tells on `intra365.guard.decision.<caller>` when the answer changes.",
    .example = R"({"subject":"mate:assistant","action":"read","resource":"doc:a","seconds":60})",
});
inline constexpr auto record = operation<RecordRequest, Empty>({
    .subject = "intra365.policy.record",
    .access = Access::service,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .audited = false,
    .summary = "Keeps decisions that an enforcement point of the platform has made itself.",
    .example = R"({"records":[]})",
});

}  // namespace intra365::policy
