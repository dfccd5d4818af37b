// How the index is built: number everything, order the rules by tier, then fill the sets.
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <numeric>

#include "policy/segment.hpp"

namespace intra365::policy {
namespace {

/// A dimension of values pays when at least this many rules compare the attribute.
constexpr std::uint32_t kRulesPerDimension = 256;

/// What a rule refers to, before the rules have their final order.
struct Draft {
  std::uint32_t policy = 0, index = 0;
  std::uint64_t tier = 0;
  RuleEffect effect = RuleEffect::deny;
  bool has_when = false;
  std::uint32_t subjects = 0, resources = 0, actions = 0, checks = 0;  ///< where its own begin in `Lists`
  std::uint32_t resource_key = 0, subject_key = 0;  ///< rules alike in these become neighbours
};

}  // namespace

struct Segment::Builder {
  Segment& out;
  std::vector<Draft> drafts;
  std::vector<std::uint32_t> subjects, resources, actions;
  std::vector<Check> checks;
  TextTable path_numbers, shared_numbers;
  std::deque<std::string> shared_keys;
  std::uint32_t value_count = 0;

  explicit Builder(Segment& segment) : out(segment) {}

  std::uint32_t number_of(const boost::json::value& value) {
    const auto scalar = Scalar::of(value);
    if (scalar.kind == Scalar::Kind::string) return out.texts_.intern(scalar.text);
    return out.numbers_[static_cast<int>(scalar.kind)].insert(scalar.bits, kOtherValues + value_count++);
  }

  Check check_of(const Condition& condition) {
    Check check;
    check.path = path_numbers.intern(condition.path.text());
    if (check.path == out.paths_.size()) out.paths_.push_back(condition.path);
    if (condition.op == Operator::equals) {
      check.a = number_of(*condition.operand);
    } else if (condition.op == Operator::in) {
      check.kind = Check::in;
      check.a = static_cast<std::uint32_t>(out.in_values_.size());
      for (const auto& value : condition.operand->get_array()) out.in_values_.push_back(number_of(value));
      check.b = static_cast<std::uint32_t>(out.in_values_.size());
    } else {
      check.kind = Check::shared;
      auto key = std::to_string(check.path) + " " + std::to_string(static_cast<int>(condition.op)) + " " +
                 boost::json::serialize(*condition.operand);
      check.a = shared_numbers.find(key);
      if (check.a == kNone) {
        check.a = shared_numbers.intern(shared_keys.emplace_back(std::move(key)));
        out.shared_.push_back(&condition);
      }
    }
    return check;
  }

  void add(std::uint32_t number, const CompiledPolicy& policy) {
    out.ids_.intern(policy.id());
    for (std::uint32_t i = 0; i < policy.rules().size(); ++i) {
      const auto& rule = policy.rules()[i];
      const auto& source = policy.source().rules[i];
      auto& draft = drafts.emplace_back();
      draft.policy = number;
      draft.index = i;
      draft.tier = policy.tier();
      draft.effect = source.effect;
      draft.has_when = rule.when != nullptr;
      draft.subjects = static_cast<std::uint32_t>(subjects.size());
      for (const auto& pattern : rule.subjects) subjects.push_back(out.subjects_.add(pattern));
      draft.resources = static_cast<std::uint32_t>(resources.size());
      for (const auto& pattern : rule.resources) resources.push_back(out.resources_.add(pattern));
      draft.actions = static_cast<std::uint32_t>(actions.size());
      for (const auto& action : source.actions) actions.push_back(out.actions_.intern(action));
      draft.checks = static_cast<std::uint32_t>(checks.size());
      for (const auto& condition : rule.conditions) checks.push_back(check_of(condition));
      // Cheap checks first: equality of numbers, then lists of them, then what has to look at the value.
      std::ranges::stable_sort(checks.begin() + draft.checks, checks.end(), {},
                               [](const Check& one) { return one.kind; });
      draft.resource_key = resources[draft.resources];
      draft.subject_key = subjects[draft.subjects];
    }
  }

  /// Fills the sets of one dimension in the rules' final order.
  PostingLists postings(const std::vector<std::uint32_t>& order, std::uint32_t Draft::*begin,
                        const std::vector<std::uint32_t>& members, std::uint32_t sets) const {
    std::vector<std::uint32_t> upper(sets);
    for (const auto set : members) ++upper[set];
    const auto count = static_cast<std::uint32_t>(order.size());
    PostingLists lists(upper, count);
    for (std::uint32_t rule = 0; rule < count; ++rule) {
      const auto draft = order[rule];
      const auto end = draft + 1 < drafts.size() ? drafts[draft + 1].*begin : members.size();
      for (auto at = drafts[draft].*begin; at < end; ++at) lists.add(members[at], rule);
    }
    lists.finish();
    return lists;
  }

  std::span<const Check> checks_of(std::uint32_t draft) const {
    const auto end = draft + 1 < drafts.size() ? drafts[draft + 1].checks : checks.size();
    return {checks.data() + drafts[draft].checks, checks.data() + end};
  }

  void add_rows(const std::vector<std::uint32_t>& order) {
    out.rules_.reserve(order.size());
    out.checks_.reserve(checks.size());
    for (const auto number : order) {
      const auto& draft = drafts[number];
      if (out.tiers_.empty() || out.tiers_.back() != draft.tier) out.tiers_.push_back(draft.tier);
      const auto own = checks_of(number);
      out.rules_.push_back({draft.policy, draft.index, static_cast<std::uint32_t>(out.tiers_.size() - 1),
                            static_cast<std::uint32_t>(out.checks_.size()),
                            static_cast<std::uint16_t>(own.size()), draft.effect, draft.has_when});
      out.checks_.insert(out.checks_.end(), own.begin(), own.end());
    }
  }

  void add_value_dimensions() {
    std::vector<std::uint32_t> users(out.paths_.size());
    for (const auto& one : checks) users[one.path] += one.kind != Check::shared;
    for (std::uint32_t path = 0; path < users.size(); ++path) {
      if (users[path] >= kRulesPerDimension) add_value_dimension(path);
    }
  }

  void add_value_dimension(std::uint32_t path) {
    auto& dimension = out.values_.emplace_back();
    dimension.path = path;
    std::vector<std::uint32_t> upper(2);
    const auto each = [&](auto&& free, auto&& bound) {
      for (std::uint32_t rule = 0; rule < out.rules_.size(); ++rule) {
        const auto& row = out.rules_[rule];
        const Check* found = nullptr;
        for (std::uint32_t i = 0; i < row.check_count && found == nullptr; ++i) {
          const auto& one = out.checks_[row.checks + i];
          if (one.path == path && one.kind != Check::shared) found = &one;
        }
        found == nullptr ? free(rule) : bound(rule, *found);
      }
    };
    const auto values = [&](const Check& one, auto&& use) {
      if (one.kind == Check::equals) return use(one.a);
      for (auto i = one.a; i < one.b; ++i) use(out.in_values_[i]);
    };
    each([&](std::uint32_t) { ++upper[0]; },
         [&](std::uint32_t rule, const Check& one) {
           upper[1] += out.rules_[rule].effect == RuleEffect::deny;
           values(one, [&](std::uint32_t value) {
             const auto set = dimension.sets.insert(value, static_cast<std::uint32_t>(upper.size()));
             if (set == upper.size()) upper.push_back(0);
             ++upper[set];
           });
         });
    dimension.lists = PostingLists(upper, out.rules());
    each([&](std::uint32_t rule) { dimension.lists.add(0, rule); },
         [&](std::uint32_t rule, const Check& one) {
           if (out.rules_[rule].effect == RuleEffect::deny) dimension.lists.add(1, rule);
           values(one, [&](std::uint32_t value) { dimension.lists.add(dimension.sets.find(value), rule); });
         });
    dimension.lists.finish();
  }

  static constexpr std::uint32_t kOtherValues = 0x8000'0000;  ///< strings are numbered below
};

Segment::Segment(Policies policies) : policies_(std::move(policies)) {
  Builder builder(*this);
  for (std::uint32_t i = 0; i < policies_.size(); ++i) builder.add(i, *policies_[i]);
  std::vector<std::uint32_t> order(builder.drafts.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    const auto &left = builder.drafts[a], &right = builder.drafts[b];
    if (left.tier != right.tier) return left.tier > right.tier;
    if (left.resource_key != right.resource_key) return left.resource_key < right.resource_key;
    return left.subject_key < right.subject_key;
  });
  builder.add_rows(order);
  any_action_ = actions_.find("*");
  by_subject_ = builder.postings(order, &Draft::subjects, builder.subjects, subjects_.size());
  by_resource_ = builder.postings(order, &Draft::resources, builder.resources, resources_.size());
  by_action_ = builder.postings(order, &Draft::actions, builder.actions, actions_.size());
  builder.add_value_dimensions();
}

}  // namespace intra365::policy
