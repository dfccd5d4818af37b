// Why a decision is what it is, in as much detail as an administrator may see, and in as little as the person
// should. Who may see which is the caller's business.
#pragma once
#include <map>

#include "policy/snapshot.hpp"

namespace intra365::policy {

/// A rule whose scope fits the question, and that did not decide.
struct Overridden {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::int64_t rule = 0;
  RuleEffect effect = RuleEffect::deny;
  std::string why;  ///< `lower tier`, `deny wins`, `condition false: user.country`, `attribute missing: …`
};
BOOST_DESCRIBE_STRUCT(Overridden, (), (policy_id, version, rule, effect, why))

/// What the consent would have to say for the answer to become an allow. It was tried: with exactly this the
/// same policies allow.
struct ConsentNeed {
  PolicyId policy_id;
  std::uint64_t version = 0;
  std::int64_t rule = 0;
  std::map<std::string, boost::json::value> consent;  ///< `consent.granted` -> true
};
BOOST_DESCRIBE_STRUCT(ConsentNeed, (), (policy_id, version, rule, consent))

struct Explanation {
  Decision decision = Decision::deny;
  Cause cause = Cause::no_permit;
  std::vector<Reason> determining;
  std::vector<Overridden> overridden;
  std::vector<std::string> missing;  ///< attributes that rules in scope asked for and the request lacks
  std::vector<ConsentNeed> consent_would_allow;
  std::string reason_admin;  ///< names policies, rules and attributes
  std::string reason_user;   ///< names none of them
};
BOOST_DESCRIBE_STRUCT(Explanation, (),
                      (decision, cause, determining, overridden, missing, consent_would_allow, reason_admin,
                       reason_user))

/// Explains what `snapshot` answers. Its time grows with the number of rules in scope; not for the hot path.
Explanation explain(const Snapshot& snapshot, const Question& question);

}  // namespace intra365::policy
