#include "cli/consent_upkeep_commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/arguments.hpp"
#include "contract/operations/consent_upkeep.hpp"

namespace intra365::cli {
namespace {

struct Arguments {
  std::string consent;
};

template <class Enum>
std::string word(Enum value) {
  return boost::describe::enum_to_string(value, "unknown");
}

Task<> propagation(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::PropagationRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(const auto reply, co_await client.call(consent::propagation, std::move(request)));
  if (target.json) {
    std::cout << json::encode(reply) << std::endl;
    co_return Result<void>{};
  }
  std::cout << reply.consent_id.str() << "  " << word(reply.status) << "  changed "
            << format_rfc3339(reply.changed_at)
            << (reply.told_at ? "  told " + format_rfc3339(*reply.told_at) : "  not told")
            << (reply.complete ? "  complete" : "  under way") << "\n";
  for (const auto& point : reply.points) {
    std::cout << "  " << reply.mate_id.str() << "/" << point.instance << "  " << word(point.state);
    if (point.after_us) std::cout << " after " << static_cast<double>(*point.after_us) / 1000 << " ms";
    if (!point.heard_at) std::cout << ", gone since";
    std::cout << "\n";
  }
  if (reply.points.empty()) std::cout << "  no process of " << reply.mate_id.str() << " was there\n";
  std::cout << std::flush;
  co_return Result<void>{};
}

}  // namespace

void add_consent_upkeep_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto given = std::make_shared<Arguments>();
  auto* noun = app.get_subcommand("consent");
  using Body = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  const auto verb = [&](const std::string& name, const std::string& description, Body body) {
    auto* command = noun->add_subcommand(name, description);
    command->add_flag("--json", target.json, "machine-readable output");
    command->callback([&target, &exit_code, given, body] {
      exit_code = with_client(
          target, [&target, given, body](sdk::Client& client) { return body(client, target, *given); });
    });
    return command;
  };
  auto* one = verb("propagation", "How far the latest change of a consent has got", propagation);
  one->add_option("consent,--consent", given->consent)->required();
}

}  // namespace intra365::cli
