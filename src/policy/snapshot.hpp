// The policies of one tenant, ready to decide. Pure: no I/O, no clock.
//
// Semantics: nothing is allowed unless a rule allows it. Tiers of higher priority decide first, the
// organisation's guardrails before all; inside a tier deny wins. A condition that cannot be evaluated makes
// an allow rule not apply and a deny rule apply: an error never opens a door. scenarios/*.yaml tell it by
// example.
#pragma once
#include <memory>
#include <vector>

#include "policy/question.hpp"
#include "policy/segment.hpp"

namespace intra365::policy {

/// Which policies are in force.
enum class Include {
  active,
  active_and_shadow,  ///< what would hold if every shadow policy were active, for the comparison
};

/// What was decided, ready to be sent. For the hot path use `Snapshot::decide`, which does not allocate.
struct Answer {
  Verdict verdict;
  std::vector<Reason> reasons;          ///< the rules that decided; empty: no rule applied
  std::vector<Obligation> obligations;  ///< of those rules, each id once
  std::vector<boost::json::value> outputs;
  std::optional<std::string> reason_admin, reason_user;  ///< of the first such rule that has one
  bool allowed() const { return verdict.allowed(); }
};

/// Immutable once built; share it by pointer and swap it whole. A change makes a new snapshot that shares
/// what did not change.
class Snapshot {
 public:
  using Pointer = std::shared_ptr<const Snapshot>;

  /// Compiles; policies that are not in force are left out, once they have been checked. Fails with
  /// `policy.invalid`, naming the policy and the place of the fault.
  static Result<Pointer> compile(std::vector<Policy> policies, Include include = Include::active);
  /// This set with one policy added or replaced; one that is not in force is taken out.
  Result<Pointer> with(Policy policy) const;
  /// This set without one policy.
  Pointer without(const PolicyId& id) const;

  /// Does not allocate once `scratch` has grown to this snapshot's size.
  Verdict decide(const Question& question, Scratch& scratch) const;
  /// The same with everything that belongs to the answer.
  Answer answer(const Question& question, Scratch& scratch) const;
  /// The same with memory of its own.
  Answer answer(const Question& question) const;

  /// Calls `found(policy, index)` for each rule whose subjects, resources and actions match, whatever its
  /// tier and its conditions. Not for the hot path.
  template <class Found>
  void for_each_in_scope(const Question& question, Scratch& scratch, Found&& found) const {
    for (const auto& part : parts_) {
      for (const auto rule : part.segment->in_scope(question, part.dead, scratch))
        found(part.segment->policy_of(rule), part.segment->index_of(rule));
    }
  }
  Reason reason_of(const Hit& hit) const;
  const CompiledPolicy& policy_of(const Hit& hit) const;

  std::size_t rules() const;
  std::size_t policies() const;
  /// Every policy in force, in no particular order.
  std::vector<std::shared_ptr<const CompiledPolicy>> all() const;

 private:
  struct Part {
    std::shared_ptr<const Segment> segment;
    std::vector<std::uint64_t> dead;  ///< a bit for each rule that was replaced; empty: none
  };
  /// More rules than this in the part for changes, and the whole set is indexed again.
  static constexpr std::uint32_t kChangedRules = 512;

  void take_out(std::string_view id);
  void put_in(std::shared_ptr<const CompiledPolicy> policy);
  bool in_force(const CompiledPolicy& policy) const;

  std::vector<Part> parts_;  ///< the large part that was indexed at once, and what has changed since
  Include include_ = Include::active;
};

}  // namespace intra365::policy
