// The policies and questions every engine in the policy benchmark gets, drawn from one seed.
#pragma once
#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "contract/operations/policy.hpp"

namespace intra365::bench {

/// One question; `attributes` as our engine takes them.
struct WorkloadQuestion {
  std::string subject, action, resource;
  boost::json::value attributes;
};
BOOST_DESCRIBE_STRUCT(WorkloadQuestion, (), (subject, action, resource, attributes))

/// What peers read: the same documents, nothing prepared for anybody.
struct Workload {
  std::vector<policy::Policy> policies;
  std::vector<WorkloadQuestion> questions;
};
BOOST_DESCRIBE_STRUCT(Workload, (), (policies, questions))

/// `size` policies of one rule each, as a tenant with many Mates has them, and 1,024 questions about them:
///   60 %  one Mate may read one kind of record of everybody, with consent for a purpose and in one country
///   20 %  every Mate may read one document on one device class
///   19 %  one person may write one document and what is below it, from one department
///   1 %   nobody may touch one document while it is on hold
/// and, first, nobody may do anything while blocked. Seven of ten questions are about a policy that exists.
/// Only what every engine can say: equality of attributes that are always there, no errors, one tier.
Workload make_workload(std::size_t size, std::uint64_t seed = 365);

/// A random set from small vocabularies, so that rules meet questions and each other: several rules, patterns
/// and conditions, allow and deny; still only what every engine means alike.
Workload make_random_workload(std::uint64_t seed);

}  // namespace intra365::bench
