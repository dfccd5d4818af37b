#include "policy/snapshot.hpp"

#include <algorithm>
#include <unordered_set>

namespace intra365::policy {
namespace {

std::string error_text(const Segment& segment, const Hit& hit) {
  switch (hit.truth) {
    case Truth::missing:
      return "attribute missing: " +
             (hit.path == kNone ? std::string("in the expression") : std::string(segment.path(hit.path)));
    case Truth::wrong_type:
      return "attribute has the wrong type: " + std::string(segment.path(hit.path));
    default:
      return "the expression cannot be evaluated";
  }
}

bool is_dead(const std::vector<std::uint64_t>& dead, std::uint32_t rule) {
  return !dead.empty() && (dead[rule / 64] >> (rule % 64) & 1) != 0;
}

}  // namespace

bool Snapshot::in_force(const CompiledPolicy& policy) const {
  return policy.status() == Status::active ||
         (policy.status() == Status::shadow && include_ == Include::active_and_shadow);
}

Result<Snapshot::Pointer> Snapshot::compile(std::vector<Policy> policies, Include include) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->include_ = include;
  const policy::Pointer root;
  if (policies.size() > limits::kPolicies) return root.refuse("a set has at most 200000 policies");
  std::unordered_set<std::string> ids;
  Segment::Policies compiled;
  compiled.reserve(policies.size());
  for (std::size_t i = 0; i < policies.size(); ++i) {
    if (policies[i].policy_id && !ids.insert(policies[i].policy_id->str()).second)
      return policy::Pointer(policy::Pointer(root, i), "policyId").refuse("stands twice in the set");
    const auto name = policies[i].policy_id ? policies[i].policy_id->str() : std::to_string(i);
    auto one = CompiledPolicy::compile(std::move(policies[i]));
    if (!one) return fail(errors::bad_policy, "policy " + name + ": " + one.error().detail);
    if (snapshot->in_force(**one)) compiled.push_back(*std::move(one));
  }
  snapshot->parts_.push_back({std::make_shared<const Segment>(std::move(compiled)), {}});
  return snapshot;
}

void Snapshot::take_out(std::string_view id) {
  const auto& base = *parts_.front().segment;
  if (const auto policy = base.find(id); policy != kNone) {
    auto& dead = parts_.front().dead;
    dead.resize((base.rules() + 63) / 64);
    for (const auto rule : base.rules_of(policy)) dead[rule / 64] |= std::uint64_t{1} << (rule % 64);
  }
  if (parts_.size() == 1 || parts_.back().segment->find(id) == kNone) return;
  auto changed = parts_.back().segment->policies();
  std::erase_if(changed, [&](const auto& one) { return one->id() == id; });
  parts_.pop_back();
  if (!changed.empty()) parts_.push_back({std::make_shared<const Segment>(std::move(changed)), {}});
}

void Snapshot::put_in(std::shared_ptr<const CompiledPolicy> policy) {
  Segment::Policies changed;
  if (parts_.size() > 1) changed = parts_.back().segment->policies();
  changed.push_back(std::move(policy));
  std::size_t rules = 0;
  for (const auto& one : changed) rules += one->rules().size();
  parts_.resize(1);
  if (rules <= kChangedRules && parts_.front().segment->rules() > 0) {
    parts_.push_back({std::make_shared<const Segment>(std::move(changed)), {}});
    return;
  }
  for (auto& one : all()) changed.push_back(std::move(one));
  parts_.clear();
  parts_.push_back({std::make_shared<const Segment>(std::move(changed)), {}});
}

Result<Snapshot::Pointer> Snapshot::with(Policy policy) const {
  if (!policy.policy_id) return policy::Pointer(policy::Pointer(), "policyId").refuse("is missing");
  TRY(auto compiled, CompiledPolicy::compile(std::move(policy)));
  auto next = std::make_shared<Snapshot>(*this);
  next->take_out(compiled->id());
  if (in_force(*compiled)) next->put_in(std::move(compiled));
  return next;
}

Snapshot::Pointer Snapshot::without(const PolicyId& id) const {
  auto next = std::make_shared<Snapshot>(*this);
  next->take_out(id.str());
  return next;
}

Verdict Snapshot::decide(const Question& question, Scratch& scratch) const {
  scratch.hits_.clear();
  scratch.has_near_ = false;
  for (std::uint32_t i = 0; i < parts_.size(); ++i)
    parts_[i].segment->decide(question, parts_[i].dead, i, scratch);
  if (scratch.hits_.empty()) {
    return {Decision::deny, scratch.has_near_ ? Cause::error_permit : Cause::no_permit, 0};
  }
  auto cause = Cause::allowed;
  for (const auto& hit : scratch.hits_) {
    if (hit.effect == RuleEffect::allow) continue;
    if (hit.truth == Truth::yes)
      cause = Cause::explicit_deny;
    else if (cause == Cause::allowed)
      cause = Cause::error_deny;
  }
  return {cause == Cause::allowed ? Decision::allow : Decision::deny, cause, scratch.tier_};
}

Reason Snapshot::reason_of(const Hit& hit) const {
  const auto& segment = *parts_[hit.segment].segment;
  const auto& policy = segment.policy_of(hit.rule);
  Reason reason;
  reason.policy_id = policy.source().policy_id.value_or(PolicyId());
  reason.version = policy.version();
  reason.rule = static_cast<std::int64_t>(segment.index_of(hit.rule));
  reason.effect = hit.effect;
  if (is_error(hit.truth)) reason.error = error_text(segment, hit);
  return reason;
}

const CompiledPolicy& Snapshot::policy_of(const Hit& hit) const {
  return parts_[hit.segment].segment->policy_of(hit.rule);
}

Answer Snapshot::answer(const Question& question, Scratch& scratch) const {
  Answer answer;
  answer.verdict = decide(question, scratch);
  const auto decided = answer.allowed() ? RuleEffect::allow : RuleEffect::deny;
  for (const auto& hit : scratch.hits_) {
    if (hit.effect != decided) continue;
    answer.reasons.push_back(reason_of(hit));
    const auto& rule = policy_of(hit).source().rules[parts_[hit.segment].segment->index_of(hit.rule)];
    for (const auto& obligation : rule.obligations) {
      if (std::ranges::find(answer.obligations, obligation.id, &Obligation::id) == answer.obligations.end())
        answer.obligations.push_back(obligation);
    }
    if (rule.output) answer.outputs.push_back(*rule.output);
    if (!answer.reason_admin) answer.reason_admin = rule.reason_admin;
    if (!answer.reason_user) answer.reason_user = rule.reason_user;
  }
  return answer;
}

Answer Snapshot::answer(const Question& question) const {
  Scratch scratch;
  return answer(question, scratch);
}

std::size_t Snapshot::rules() const {
  std::size_t count = 0;
  for (const auto& part : parts_) {
    count += part.segment->rules();
    for (const auto word : part.dead) count -= static_cast<std::size_t>(std::popcount(word));
  }
  return count;
}

std::vector<std::shared_ptr<const CompiledPolicy>> Snapshot::all() const {
  std::vector<std::shared_ptr<const CompiledPolicy>> found;
  for (const auto& part : parts_) {
    const auto& segment = *part.segment;
    if (part.dead.empty()) {
      found.insert(found.end(), segment.policies().begin(), segment.policies().end());
      continue;
    }
    std::vector<bool> alive(segment.policies().size());
    for (std::uint32_t rule = 0; rule < segment.rules(); ++rule) {
      if (!is_dead(part.dead, rule)) alive[segment.policy_number(rule)] = true;
    }
    for (std::size_t i = 0; i < alive.size(); ++i) {
      if (alive[i]) found.push_back(segment.policies()[i]);
    }
  }
  return found;
}

std::size_t Snapshot::policies() const {
  return all().size();
}

}  // namespace intra365::policy
