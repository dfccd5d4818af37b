#include "policy/segment.hpp"

#include <bit>

namespace intra365::policy {
namespace {

/// With fewer blocks than this to visit, looking up more attributes costs more than it saves.
constexpr std::uint32_t kFewBlocks = 32;

}  // namespace

std::uint32_t Segment::find(std::string_view policy_id) const {
  return ids_.find(policy_id);
}

std::vector<std::uint32_t> Segment::rules_of(std::uint32_t policy) const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t i = 0; i < rules_.size(); ++i) {
    if (rules_[i].policy == policy) found.push_back(i);
  }
  return found;
}

void Segment::prepare(Scratch& scratch) const {
  if (scratch.attributes_.size() < paths_.size()) scratch.attributes_.resize(paths_.size());
  if (scratch.shared_.size() < shared_.size()) scratch.shared_.resize(shared_.size());
  if (scratch.lanes_.size() < 3 + values_.size()) scratch.lanes_.resize(3 + values_.size());
  if (++scratch.stamp_ == 0) {  // wrapped: what is remembered must not look fresh
    scratch.stamp_ = 1;
    for (auto& one : scratch.attributes_) one.stamp = 0;
    for (auto& one : scratch.shared_) one.stamp = 0;
  }
  scratch.items_.clear();
  scratch.known_roots_ = 0;
}

void Segment::enter_scope(const Question& question, Scratch& scratch) const {
  prepare(scratch);
  for (std::size_t i = 0; i < 3; ++i) scratch.lanes_[i].clear();
  const auto resource = resources_.start(question.resource), subject = subjects_.start(question.subject);
  auto& actions = scratch.lanes_[2];
  if (const auto id = actions_.find(question.action); id != kNone && id != any_action_)
    actions.add(by_action_[id]);
  if (any_action_ != kNone) actions.add(by_action_[any_action_]);
  if (actions.empty()) return;
  resources_.match(question.resource, resource,
                   [&](std::uint32_t id) { scratch.lanes_[1].add(by_resource_[id]); });
  if (scratch.lanes_[1].empty()) return;
  subjects_.match(question.subject, subject,
                  [&](std::uint32_t id) { scratch.lanes_[0].add(by_subject_[id]); });
}

std::size_t Segment::enter_values(const Question& question, Scratch& scratch) const {
  std::size_t lanes = 3;
  for (const auto& dimension : values_) {
    auto& lane = scratch.lanes_[lanes++];
    lane.clear();
    lane.add(dimension.lists[dimension.free]);
    const auto& found = attribute(dimension.path, question, scratch);
    const auto add = [&](std::uint32_t value) {
      const auto set = value == kNone ? kNone : dimension.sets.find(value);
      if (set != kNone) lane.add(dimension.lists[set]);
    };
    if (found.json == nullptr) {
      lane.add(dimension.lists[dimension.denying]);
    } else if (found.kind == Scratch::Attribute::scalar) {
      add(found.value);
    } else if (found.kind == Scratch::Attribute::list) {
      for (auto i = found.begin; i < found.end; ++i) add(scratch.items_[i]);
    } else {  // too long a list is an error, an object equals nothing: left to the rules themselves
      --lanes;
    }
  }
  return lanes;
}

template <class Visit>
void Segment::walk(Scratch& scratch, std::size_t count, std::span<const std::uint64_t> dead,
                   Visit&& visit) const {
  const std::span lanes(scratch.lanes_.data(), count);
  std::size_t lead = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (lanes[i].empty()) return;
    if (lanes[i].blocks() < lanes[lead].blocks()) lead = i;
  }
  std::uint32_t block = 0;
  for (std::uint64_t word = 0; lanes[lead].next(block, word);) {
    for (std::size_t i = 0; i < count && word != 0; ++i) {
      if (i != lead) word &= lanes[i].at(block);
    }
    if (!dead.empty()) word &= ~dead[block];
    for (; word != 0; word &= word - 1) {
      if (!visit(block * 64 + static_cast<std::uint32_t>(std::countr_zero(word)))) return;
    }
  }
}

std::vector<std::uint32_t> Segment::in_scope(const Question& question, std::span<const std::uint64_t> dead,
                                             Scratch& scratch) const {
  std::vector<std::uint32_t> found;
  enter_scope(question, scratch);
  walk(scratch, 3, dead, [&](std::uint32_t rule) {
    found.push_back(rule);
    return true;
  });
  return found;
}

std::uint32_t Segment::number_of(const Scalar& scalar) const {
  if (scalar.kind == Scalar::Kind::string) return texts_.find(scalar.text);
  return numbers_[static_cast<int>(scalar.kind)].find(scalar.bits);
}

const Scratch::Attribute& Segment::attribute(std::uint32_t path, const Question& question,
                                             Scratch& scratch) const {
  auto& slot = scratch.attributes_[path];
  if (slot.stamp == scratch.stamp_) return slot;
  slot.stamp = scratch.stamp_;
  const auto root = paths_[path].root();
  if ((scratch.known_roots_ >> root & 1) == 0) {
    scratch.known_roots_ |= 1u << root;
    scratch.roots_[root] =
        question.attributes == nullptr ? nullptr : question.attributes->if_contains(kRoots[root]);
  }
  slot.json = paths_[path].find_below(scratch.roots_[root]);
  if (slot.json == nullptr) {
    slot.kind = Scratch::Attribute::absent;
  } else if (const auto* list = slot.json->if_array()) {
    slot.kind = Scratch::Attribute::other;
    if (list->size() > limits::kAttributeItems) return slot;
    slot.kind = Scratch::Attribute::list;
    slot.begin = static_cast<std::uint32_t>(scratch.items_.size());
    for (const auto& item : *list) {
      const auto scalar = Scalar::of(item);
      const auto number = scalar.kind == Scalar::Kind::none ? kNone : number_of(scalar);
      if (number != kNone) scratch.items_.push_back(number);
    }
    slot.end = static_cast<std::uint32_t>(scratch.items_.size());
  } else if (const auto scalar = Scalar::of(*slot.json); scalar.kind != Scalar::Kind::none) {
    slot.kind = Scratch::Attribute::scalar;
    slot.value = number_of(scalar);
  } else {
    slot.kind = Scratch::Attribute::other;
  }
  return slot;
}

bool Segment::equals(const Scratch::Attribute& attribute, std::uint32_t value, const Scratch& scratch) const {
  if (attribute.kind == Scratch::Attribute::scalar) return attribute.value == value;
  for (auto i = attribute.begin; i < attribute.end; ++i) {
    if (scratch.items_[i] == value) return true;
  }
  return false;
}

Truth Segment::check(const Check& check, const Question& question, Scratch& scratch) const {
  const auto& found = attribute(check.path, question, scratch);
  if (check.kind == Check::shared) {
    auto& known = scratch.shared_[check.a];
    if (known.stamp != scratch.stamp_) {
      known.stamp = scratch.stamp_;
      known.truth = shared_[check.a]->check(found.json);
    }
    return known.truth;
  }
  if (found.kind == Scratch::Attribute::absent) return Truth::missing;
  if (found.kind == Scratch::Attribute::other) return found.json->is_array() ? Truth::wrong_type : Truth::no;
  if (check.kind == Check::equals) return equals(found, check.a, scratch) ? Truth::yes : Truth::no;
  for (auto i = check.a; i < check.b; ++i) {
    if (equals(found, in_values_[i], scratch)) return Truth::yes;
  }
  return Truth::no;
}

Truth Segment::evaluate(std::uint32_t rule, const Question& question, Scratch& scratch,
                        std::uint32_t& path) const {
  const auto& row = rules_[rule];
  auto outcome = Truth::yes;
  // A false condition settles the rule even where another one cannot be evaluated.
  for (std::uint32_t i = 0; i < row.check_count; ++i) {
    const auto& one = checks_[row.checks + i];
    const auto truth = check(one, question, scratch);
    if (truth == Truth::no) return Truth::no;
    if (truth != Truth::yes && outcome == Truth::yes) {
      outcome = truth;
      path = one.path;
    }
  }
  if (row.has_when) {
    static const boost::json::object kNothing;
    const auto truth = policies_[row.policy]->rules()[row.index].when->evaluate(
        question.attributes == nullptr ? kNothing : *question.attributes);
    if (truth == Truth::no) return Truth::no;
    if (truth != Truth::yes && outcome == Truth::yes) {
      outcome = truth;
      path = kNone;
    }
  }
  return outcome;
}

void Segment::decide(const Question& question, std::span<const std::uint64_t> dead, std::uint32_t self,
                     Scratch& scratch) const {
  enter_scope(question, scratch);
  std::size_t lanes = 3;
  auto fewest = scratch.lanes_[0].blocks();
  for (std::size_t i = 1; i < 3; ++i) fewest = std::min(fewest, scratch.lanes_[i].blocks());
  if (fewest == 0) return;
  if (fewest > kFewBlocks) lanes = enter_values(question, scratch);
  walk(scratch, lanes, dead, [&](std::uint32_t rule) {
    const auto& row = rules_[rule];
    const auto tier = tiers_[row.tier];
    const bool decided = !scratch.hits_.empty();
    if (decided && tier < scratch.tier_) return false;
    Hit hit{self, rule, row.effect, Truth::yes, kNone};
    hit.truth = evaluate(rule, question, scratch, hit.path);
    if (hit.truth == Truth::no) return true;
    if (row.effect == RuleEffect::allow && hit.truth != Truth::yes) {
      if (!scratch.has_near_) scratch.near_ = hit;
      scratch.has_near_ = true;
      return true;
    }
    if (decided && tier > scratch.tier_) scratch.hits_.clear();
    scratch.tier_ = tier;
    scratch.hits_.push_back(hit);
    return true;
  });
}

}  // namespace intra365::policy
