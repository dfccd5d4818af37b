// Evaluate requests of outside, asked of a fixed set that uses every operator. The engine answers as the
// plain evaluator does, or the request is refused; nothing else.
#include <cstdlib>

#include "policy/explain.hpp"
#include "policy/reference.hpp"
#include "policy/request.hpp"
#include "policy/suite.hpp"

using namespace intra365;

namespace {

constexpr std::string_view kPolicies = R"(
- {policyId: a, name: n, type: t, rules: [
    {effect: allow, subjects: ["mate:*"], resources: ["doc:*", "user:*/mail"], actions: [read], conditions: {context.v: [a, 1, null]}},
    {effect: deny, subjects: ["*"], resources: ["doc:*/x", "*/secret/*"], actions: ["*"], conditions: {context.n: {gte: 3, lt: 9.5}}},
    {effect: deny, subjects: ["user:*"], resources: ["*"], actions: [read], conditions: {context.ip: {cidr: [10.0.0.0/8]}}}]}
- {policyId: b, name: n, type: t, priority: 200, rules: [
    {effect: allow, subjects: ["mate:x"], resources: ["doc:y"], actions: ["*"], conditions: {context.s: {prefix: a, notEquals: ab}, subject.roles: {contains: r}}},
    {effect: deny, subjects: ["mate:x"], resources: ["doc:y"], actions: [write], conditions: {context.t: {lt: "2026-01-01T00:00:00Z"}, resource.o: {exists: true}}}]}
)";

const std::vector<policy::Policy>& policies() {
  static const auto all = *policy::read_policies(
      kPolicies, [](const std::string&) -> Result<std::string> { return fail(errors::bad_policy); });
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto snapshot = *policy::Snapshot::compile(policies());
  static policy::Scratch scratch;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto request = json::decode<policy::EvaluateRequest>(text);
  if (!request) return 0;
  const auto subject = policy::read_entity(request->subject, "subject"),
             resource = policy::read_entity(request->resource, "resource");
  const auto action = policy::read_action(request->action);
  if (!subject || !resource || !action) return 0;
  const auto attributes = policy::attributes_of(*request, *subject, *resource);
  if (!attributes) return 0;
  const policy::Question question{subject->text, *action, resource->text, &*attributes};
  const bool ours = snapshot->decide(question, scratch).allowed();
  if (ours != policy::reference::decide(policies(), question).allowed) std::abort();
  if (policy::explain_decision(*snapshot, question).decision !=
      (ours ? policy::Decision::allow : policy::Decision::deny))
    std::abort();
  return 0;
}
