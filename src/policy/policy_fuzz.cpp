// Policy documents of outside: read as JSON and as YAML, checked, compiled and asked. What is accepted must
// decide as the plain evaluator does.
#include <cstdlib>

#include "policy/reference.hpp"
#include "policy/snapshot.hpp"
#include "policy/yaml.hpp"

using namespace intra365;

namespace {

void try_policy(const policy::Policy& document) {
  auto named = document;
  if (!named.policy_id) named.policy_id = PolicyId::trusted("fuzz");
  named.status = policy::Status::active;
  named.active.reset();
  const auto snapshot = policy::Snapshot::compile({named});
  if (!snapshot) return;
  for (const auto& rule : named.rules) {
    if (rule.when) return;  // the plain evaluator has no expressions
  }
  const boost::json::object attributes{
      {"user", {{"country", "US"}, {"age", 18}, {"tags", {"a", "b"}}}},
      {"context", {{"ip", "10.1.2.3"}, {"time", "2026-01-01T00:00:00Z"}, {"flag", true}}},
      {"consent", {{"granted", true}}}};
  policy::Scratch scratch;
  for (const auto* subject : {"mate:x", "user:alice"}) {
    for (const auto* resource : {"doc:y", "user:alice/health-records", "a/b/c"}) {
      for (const auto* known : {&attributes, static_cast<const boost::json::object*>(nullptr)}) {
        const policy::Question question{subject, "read", resource, known};
        if ((*snapshot)->decide(question, scratch).allowed() !=
            policy::reference::decide({named}, question).allowed)
          std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto policy = policy::read_policy(text)) try_policy(*policy);
  if (const auto value = policy::read_yaml(text)) {
    if (const auto policy = policy::read_policy(*value)) try_policy(*policy);
  }
  return 0;
}
