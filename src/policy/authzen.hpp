// AuthZEN 1.0 (OpenID): its requests and answers, and ours. Pure; who may ask, and where, is the gateway's
// business.
//
// Unknown members are ignored and absent ones are left out, as the standard wants; a denial is an answer, and
// only a request that cannot be read is an error.
#pragma once
#include "contract/operations/decisions.hpp"

namespace intra365::policy::authzen {

/// One question or many.
struct Evaluations {
  BatchRequest batch;
  bool single = false;  ///< `evaluations` is absent or empty: the answer has the form of one evaluation
};

/// Reads the body of an evaluation or of evaluations; the defaults are not put in yet.
Result<Evaluations> read_evaluations(const boost::json::value& body);
Result<EvaluateRequest> read_evaluation(const boost::json::value& body);
Result<SearchRequest> read_search(Searched searched, const boost::json::value& body);

/// `{"decision": …, "context": {…}}`
boost::json::object answer(const EvaluateReply& reply);
boost::json::object answer(const BatchItem& item);
boost::json::object answer(const BatchReply& reply);
boost::json::object answer(const SearchReply& reply);

/// What `/.well-known/authzen-configuration` says of the decision point at `base` (`https://host`).
boost::json::object configuration(std::string_view base);

}  // namespace intra365::policy::authzen

namespace intra365::policy {

/// The questions of a batch with its defaults put in: an own field replaces the default as a whole.
Result<std::vector<EvaluateRequest>> questions_of(const BatchRequest& batch);
/// Whether an answer is the last one that the semantic wants.
bool is_last(Semantic semantic, Decision decision);

}  // namespace intra365::policy
