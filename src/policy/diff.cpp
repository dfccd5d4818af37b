#include "policy/diff.hpp"

#include "json/json.hpp"
#include "policy/yaml.hpp"

namespace intra365::policy {

Result<DiffReport> diff(const Snapshot& before, const Snapshot& after,
                        const std::vector<RecordedDecision>& recorded) {
  DiffReport report;
  Scratch scratch;
  const auto same = [](const Reason& a, const Reason& b) {
    return a.policy_id == b.policy_id && a.rule == b.rule;
  };
  for (const auto& one : recorded) {
    TRY(const auto prepared, prepare(one));
    const auto then = before.answer(prepared.question(), scratch),
               now = after.answer(prepared.question(), scratch);
    const auto number = report.asked++;
    if (one.decision && *one.decision != then.verdict.decision) ++report.not_reproduced;
    if (then.verdict.decision != now.verdict.decision) {
      report.changes.push_back({one.name.empty() ? "#" + std::to_string(number) : one.name,
                                then.verdict.decision, now.verdict.decision, then.reasons, now.reasons});
    } else if (!std::ranges::equal(then.reasons, now.reasons, same)) {
      ++report.other_reasons;
    }
  }
  return report;
}

Result<std::vector<RecordedDecision>> read_recorded(std::string_view yaml) {
  TRY(auto document, read_yaml(yaml));
  if (const auto* suite = document.if_object()) {
    const auto* cases = suite->if_contains("cases");
    if (cases == nullptr || !cases->is_array())
      return fail(errors::bad_policy, "a list of decisions, or a suite with cases, is expected");
    document = boost::json::value(*cases);
  }
  if (!document.is_array()) return fail(errors::bad_policy, "a list of decisions is expected");
  std::vector<RecordedDecision> recorded;
  for (auto& item : document.get_array()) {
    if (item.is_object() && !item.get_object().contains("name")) item.get_object()["name"] = "";
    auto one = json::from_value<RecordedDecision>(item, json::Unknown::ignore);
    if (!one)
      return fail(errors::bad_policy, "/" + std::to_string(recorded.size()) + ": " + one.error().detail);
    recorded.push_back(*std::move(one));
  }
  return recorded;
}

}  // namespace intra365::policy
