#include "cli/policy_commands.hpp"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "contract/operations/policy.hpp"
#include "policy/diff.hpp"
#include "policy/lint.hpp"
#include "policy/suite.hpp"

namespace intra365::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::vector<std::string> files;
  std::string before, after, recorded;
  bool strict = false;
};

Result<std::string> read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return fail(errors::bad_value, "cannot read " + path.string());
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// Includes stand relative to the file that names them.
policy::ReadFile beside(const std::string& file) {
  return
      [folder = fs::path(file).parent_path()](const std::string& path) { return read_file(folder / path); };
}

template <class T>
Result<T> in_file(const std::string& file, Result<T> result) {
  if (!result) result.error().detail = file + ": " + result.error().detail;
  return result;
}

Result<std::vector<policy::Policy>> policies_of(const std::vector<std::string>& files) {
  std::vector<policy::Policy> all;
  for (const auto& file : files) {
    TRY(const auto text, read_file(file));
    TRY(auto policies, in_file(file, policy::read_policies(text, beside(file))));
    std::ranges::move(policies, std::back_inserter(all));
  }
  return all;
}

template <class T>
void print_json(const T& value) {
  std::cout << json::encode(value) << std::endl;
}

template <class T>
std::string word(T value) {
  const auto list = json::to_value(std::vector<T>{value});
  return std::string(list.get_array()[0].get_string());
}

std::string names_of(const std::vector<policy::Reason>& reasons) {
  std::string text;
  for (const auto& one : reasons)
    text += (text.empty() ? "" : ", ") + one.policy_id.str() + "/" + std::to_string(one.rule);
  return text.empty() ? "no rule" : text;
}

/// Findings that are errors make the command fail; with --strict, warnings do, too.
Result<int> lint_files(const Target& target, const Arguments& arguments) {
  TRY(const auto policies, policies_of(arguments.files));
  TRY(const auto report, policy::lint(policies));
  bool failed = false;
  for (const auto& one : report.findings) {
    failed = failed || one.severity == policy::Severity::error ||
             (arguments.strict && one.severity == policy::Severity::warning);
    if (target.json) continue;
    std::cout << word(one.severity) << "  " << one.rule << "  " << word(one.kind) << ": " << one.message
              << (one.other ? " (" + *one.other + ")" : "") << "\n";
  }
  if (target.json)
    print_json(report);
  else
    std::cout << report.rules << " rules, " << report.findings.size() << " findings"
              << (report.pairs_checked ? "" : "; too many to compare each with each") << std::endl;
  return failed ? 1 : 0;
}

Result<int> test_files(const Target& target, const Arguments& arguments) {
  std::vector<policy::SuiteReport> reports;
  std::size_t passed = 0, failed = 0, rules = 0, decided = 0;
  for (const auto& file : arguments.files) {
    TRY(const auto text, read_file(file));
    TRY(const auto suite, in_file(file, policy::read_suite(text, beside(file))));
    TRY(auto report, in_file(file, policy::run(suite)));
    passed += report.passed;
    failed += report.failed;
    rules += report.rules;
    decided += report.rules_decided;
    if (!target.json) {
      std::cout << file << ": " << report.title << "\n";
      for (const auto& one : report.cases) {
        std::cout << (one.passed ? "  ok    " : "  FAIL  ") << one.name << "\n";
        for (const auto& difference : one.differences) std::cout << "          " << difference << "\n";
      }
      for (const auto& one : report.coverage) {
        if (one.decided == 0) std::cout << "  note  " << one.rule << " decides no case\n";
      }
    }
    reports.push_back(std::move(report));
  }
  if (target.json)
    std::cout << boost::json::serialize(json::to_value(reports)) << std::endl;
  else
    std::cout << passed << " passed, " << failed << " failed; " << decided << " of " << rules
              << " rules decided a case" << std::endl;
  return failed > 0 || passed == 0 ? 1 : 0;
}

Result<int> diff_files(const Target& target, const Arguments& arguments) {
  TRY(auto before, policies_of({arguments.before}));
  TRY(auto after, policies_of({arguments.after}));
  TRY(const auto text, read_file(arguments.recorded));
  TRY(const auto recorded, in_file(arguments.recorded, policy::read_recorded(text)));
  TRY(const auto old_set, policy::Snapshot::compile(std::move(before)));
  TRY(const auto new_set, policy::Snapshot::compile(std::move(after)));
  TRY(const auto report, policy::diff(*old_set, *new_set, recorded));
  if (target.json) {
    print_json(report);
    return 0;
  }
  for (const auto& one : report.changes)
    std::cout << one.name << ": " << word(one.before) << " (" << names_of(one.because_before) << ") -> "
              << word(one.after) << " (" << names_of(one.because_after) << ")\n";
  std::cout << report.changes.size() << " of " << report.asked << " decisions turn around, "
            << report.other_reasons << " have other reasons" << std::endl;
  return 0;
}

/// Creates each policy, or updates the one of its id. Nothing is sent unless all of them are well-formed.
Task<> apply(sdk::Client& client, const Target& target, const Arguments& arguments) {
  CO_TRY(const auto policies, policies_of(arguments.files));
  for (const auto& one : policies) {
    CO_CHECK(policy::validate(one));
    if (!one.policy_id)
      co_return fail(errors::bad_value, "'" + one.name + "' has no policyId: it could not be found again");
  }
  std::vector<policy::ChangeReply> replies;
  for (const auto& one : policies) {
    auto reply = co_await client.call(policy::create, one);
    if (!reply && reply.error().code == "policy.exists") reply = co_await client.call(policy::update, one);
    if (!reply) co_return fail(reply.error());
    if (!target.json)
      std::cout << reply->policy_id.str() << " v" << reply->version << ", policy epoch "
                << reply->policy_epoch << std::endl;
    replies.push_back(*std::move(reply));
  }
  if (target.json) std::cout << boost::json::serialize(json::to_value(replies)) << std::endl;
  co_return Result<void>{};
}

Task<> list(sdk::Client& client, const Target& target, const Arguments&) {
  policy::ListRequest request;
  boost::json::array all;
  for (bool more = true; more;) {
    CO_TRY(const auto reply, co_await client.call(policy::list, request));
    for (const auto& one : reply.policies) {
      all.push_back(json::to_value(one));
      if (!target.json)
        std::cout << one.policy_id.value_or(PolicyId()).str() << "  v" << one.version.value_or(0) << "  "
                  << word(policy::status_of(one)) << "  priority " << one.priority.value_or(100) << "  "
                  << one.name << "\n";
    }
    request.cursor = reply.next_cursor;
    more = reply.next_cursor.has_value();
  }
  if (target.json) std::cout << boost::json::serialize(all) << std::endl;
  co_return Result<void>{};
}

}  // namespace

void add_policy_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  auto* noun = app.add_subcommand("policy", "Policies: check, test, compare and publish them");
  noun->require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& description) {
    auto* command = noun->add_subcommand(name, description);
    command->add_flag("--json", target.json, "machine-readable output");
    return command;
  };
  using Offline = Result<int> (*)(const Target&, const Arguments&);
  const auto offline = [&target, &exit_code, arguments](Offline body) {
    return [&target, &exit_code, arguments, body] {
      const auto outcome = body(target, *arguments);
      exit_code = outcome ? *outcome : report(outcome.error());
    };
  };
  using Online = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  const auto online = [&target, &exit_code, arguments](Online body) {
    return [&target, &exit_code, arguments, body] {
      exit_code = with_client(target, [&target, arguments, body](sdk::Client& client) {
        return body(client, target, *arguments);
      });
    };
  };

  auto* lint = add("lint", "Find rules that never decide, contradict each other or allow too much");
  lint->add_option("files", arguments->files, "policies, suites or templates, in YAML or JSON")->required();
  lint->add_flag("--strict", arguments->strict, "fail for warnings, too");
  lint->callback(offline(lint_files));

  auto* test = add("test", "Run the cases of suites and templates, with coverage of their rules");
  test->add_option("files", arguments->files, "YAML with policies and cases")->required();
  test->callback(offline(test_files));

  auto* diff = add("diff", "Say which recorded decisions a change would turn around");
  diff->add_option("before", arguments->before, "the policies of today")->required();
  diff->add_option("after", arguments->after, "the policies of tomorrow")->required();
  diff->add_option("--recorded", arguments->recorded, "decisions of the past, or the cases of a suite")
      ->required();
  diff->callback(offline(diff_files));

  auto* publish = add("apply", "Put policies in force: create those that are new, update the others");
  publish->add_option("files", arguments->files, "policies in YAML or JSON")->required();
  publish->callback(online(apply));

  add("list", "The tenant's policies")->callback(online(list));
}

}  // namespace intra365::cli
