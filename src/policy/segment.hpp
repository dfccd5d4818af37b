// An index over the rules of many policies. Immutable; a snapshot consists of a few of them.
//
// A rule is found by the intersection of three sets: rules whose subjects match, whose resources match and
// whose actions match. Where that leaves too many, values that many rules compare for equality are further
// dimensions. What is left is evaluated rule by rule; each attribute is looked up once, and each condition
// that rules share is evaluated once.
#pragma once
#include <memory>
#include <span>

#include "policy/compiled.hpp"
#include "policy/pattern_index.hpp"
#include "policy/question.hpp"

namespace intra365::policy {

class Segment {
 public:
  using Policies = std::vector<std::shared_ptr<const CompiledPolicy>>;
  explicit Segment(Policies policies);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  std::uint32_t rules() const { return static_cast<std::uint32_t>(rules_.size()); }
  const Policies& policies() const { return policies_; }
  /// kNone when there is no policy of this id.
  std::uint32_t find(std::string_view policy_id) const;
  /// The rules of a policy, as numbered here.
  std::vector<std::uint32_t> rules_of(std::uint32_t policy) const;

  const CompiledPolicy& policy_of(std::uint32_t rule) const { return *policies_[rules_[rule].policy]; }
  std::uint32_t policy_number(std::uint32_t rule) const { return rules_[rule].policy; }
  std::size_t index_of(std::uint32_t rule) const { return rules_[rule].index; }
  const CompiledRule& rule(std::uint32_t rule) const { return policy_of(rule).rules()[rules_[rule].index]; }
  std::string_view path(std::uint32_t path) const { return paths_[path].text(); }
  std::uint64_t tier_of(std::uint32_t rule) const { return tiers_[rules_[rule].tier]; }

  /// Adds the hits of the highest tier that has any, unless `scratch` has some of a higher one. `dead` holds
  /// a bit for every rule that is no longer in force; it may be empty.
  void decide(const Question& question, std::span<const std::uint64_t> dead, std::uint32_t self,
              Scratch& scratch) const;
  /// Every rule whose subjects, resources and actions match, tier by tier.
  std::vector<std::uint32_t> in_scope(const Question& question, std::span<const std::uint64_t> dead,
                                      Scratch& scratch) const;

 private:
  struct Row {
    std::uint32_t policy = 0, index = 0;
    std::uint32_t tier = 0;
    std::uint32_t checks = 0;  ///< first of its checks
    std::uint16_t check_count = 0;
    RuleEffect effect = RuleEffect::deny;
    bool has_when = false;
  };
  /// A condition in its fastest form.
  struct Check {
    enum : std::uint8_t { equals, in, shared } kind = equals;
    std::uint32_t path = 0;
    std::uint32_t a = 0, b = 0;  ///< number of a value; range of them; number of a shared condition
  };
  /// Rules by the value they compare one attribute with.
  struct ValueDimension {
    std::uint32_t path = 0;
    KeyTable sets;  ///< number of a value -> set
    PostingLists lists;
    std::uint32_t free = 0, denying = 1;  ///< sets: rules that do not look at it; deny rules that do
  };
  struct Builder;

  void prepare(Scratch& scratch) const;
  void enter_scope(const Question& question, Scratch& scratch) const;
  std::size_t enter_values(const Question& question, Scratch& scratch) const;
  const Scratch::Attribute& attribute(std::uint32_t path, const Question& question, Scratch& scratch) const;
  bool equals(const Scratch::Attribute& attribute, std::uint32_t value, const Scratch& scratch) const;
  Truth check(const Check& check, const Question& question, Scratch& scratch) const;
  /// Truth of all conditions together; `path` is told for an error.
  Truth evaluate(std::uint32_t rule, const Question& question, Scratch& scratch, std::uint32_t& path) const;
  std::uint32_t number_of(const Scalar& scalar) const;
  template <class Visit>
  void walk(Scratch& scratch, std::size_t lanes, std::span<const std::uint64_t> dead, Visit&& visit) const;

  Policies policies_;
  std::vector<Row> rules_;
  std::vector<std::uint64_t> tiers_;  ///< descending
  TextTable ids_;
  PatternIndex subjects_, resources_;
  TextTable actions_;
  std::uint32_t any_action_ = kNone;
  PostingLists by_subject_, by_resource_, by_action_;
  std::vector<AttributePath> paths_;
  std::vector<Check> checks_;
  std::vector<std::uint32_t> in_values_;
  TextTable texts_;
  KeyTable numbers_[6];  ///< by kind of scalar, other than strings
  std::vector<const Condition*> shared_;
  std::vector<ValueDimension> values_;
};

}  // namespace intra365::policy
