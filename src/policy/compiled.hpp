// A policy that has been checked and made ready for an index; and the checks themselves.
#pragma once
#include <memory>
#include <vector>

#include "contract/operations/policy.hpp"
#include "policy/condition.hpp"
#include "policy/expression.hpp"
#include "policy/pattern.hpp"

namespace intra365::policy {

struct CompiledRule {
  std::vector<Pattern> subjects, resources;
  std::vector<Condition> conditions;
  std::shared_ptr<const Expression> when;  ///< may be none
};

/// Immutable, at a fixed address: its patterns and conditions view the policy it holds.
class CompiledPolicy {
 public:
  /// Checks everything that can be wrong with a policy. Fails with `policy.invalid`: the JSON pointer of the
  /// fault, and why.
  static Result<std::shared_ptr<const CompiledPolicy>> compile(Policy policy);
  explicit CompiledPolicy(Policy policy) : source_(std::move(policy)) {}
  CompiledPolicy(const CompiledPolicy&) = delete;
  CompiledPolicy& operator=(const CompiledPolicy&) = delete;

  const Policy& source() const { return source_; }
  const std::vector<CompiledRule>& rules() const { return rules_; }
  std::string_view id() const { return source_.policy_id ? source_.policy_id->str() : std::string_view(); }
  std::uint64_t version() const { return source_.version.value_or(1); }
  Status status() const;
  /// Orders tiers: a guardrail stands above every priority.
  std::uint64_t tier() const;

 private:
  Policy source_;
  std::vector<CompiledRule> rules_;
};

/// The tier of the organisation's guardrails.
inline constexpr std::uint64_t kGuardrailTier = std::uint64_t{1} << 62;

/// The status in force: what `status` says, or what `active` means.
Status status_of(const Policy& policy);

/// Reads one policy from JSON text of outside, strictly: unknown fields, duplicates, depth and size are
/// refused with their JSON pointer.
Result<Policy> read_policy(std::string_view text);
Result<Policy> read_policy(const boost::json::value& value, const Pointer& at = {});

/// Everything that publication refuses.
Result<void> validate(const Policy& policy);

}  // namespace intra365::policy
