// The program: `intra365 up`, `intra365 serve`, and the commands for people.
#include <CLI/CLI.hpp>
#include <iostream>

#include "app/backup.hpp"
#include "app/gen.hpp"
#include "app/setup.hpp"
#include "app/up.hpp"
#include "cli/commands.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/doctor.hpp"

using namespace intra365;

namespace {

constexpr const char* kDescription =
    "Intra365: Mates (AI agents, web apps, services, devices) find each other, talk, and use people's data\n"
    "only with proof of identity, permission by policy and the person's consent.";

int run_doctor(const std::filesystem::path& data_dir, bool json) {
  bool healthy = true;
  boost::json::array report;
  for (const auto& check : embedded::doctor(data_dir, system_clock().now())) {
    healthy = healthy && check.ok;
    report.push_back(
        {{"name", check.name}, {"ok", check.ok}, {"message", check.message}, {"mend", check.mend}});
    if (json) continue;
    std::cout << (check.ok ? "  ok  " : "FAIL  ") << check.name << ": " << check.message << std::endl;
    if (!check.ok && !check.mend.empty()) std::cout << "      " << check.mend << std::endl;
  }
  if (json) std::cout << boost::json::serialize(report) << std::endl;
  return healthy ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  CLI::App app(kDescription, "intra365");
  app.set_version_flag("--version", app::version());
  app.require_subcommand(1);
  app.fallthrough();
  int exit_code = 0;

  cli::Target target;
  target.data_dir = embedded::default_data_directory();
  app.add_option("--data", target.data_dir, "data directory of the platform");

  app::UpOptions up_options;
  auto* up = app.add_subcommand("up", "Run the whole platform on this machine");
  up->add_option("--gateway", up_options.gateway, "HOST:PORT of the HTTP gateway, port 0 for a free one")
      ->capture_default_str();
  up->add_option("--nats", up_options.nats, "HOST:PORT of NATS, port 0 for a free one")
      ->capture_default_str();
  up->add_flag("--ephemeral", up_options.ephemeral, "temporary data and free ports");
  up->add_flag("--demo", up_options.demo, "play the Mate-to-Mate conversation");
  up->add_flag("--once", up_options.once,
               "stop again when it is ready (with --demo: when the conversation is over)");
  up->add_option("--log-file", up_options.log_file, "where JSON log lines go");
  up->callback([&] {
    up_options.data_dir = target.data_dir;
    exit_code = app::up(up_options);
  });

  app::ServeOptions serve_options;
  auto* serve =
      app.add_subcommand("serve", "Run some services against a NATS cluster and a PostgreSQL of your own");
  serve->add_option("--config", serve_options.config_file, "YAML file")->required();
  serve
      ->add_option("--roles", serve_options.roles,
                   "comma-separated: sts, audit, registry, consent, policy, events, gateway")
      ->delimiter(',');
  serve->callback([&] { exit_code = app::serve(serve_options); });

  std::string migrate_config;
  auto* migrate = app.add_subcommand("migrate", "Bring a database to this version's schema");
  migrate->add_option("--config", migrate_config, "YAML file")->required();
  migrate->callback([&] { exit_code = app::migrate(migrate_config); });

  app.add_subcommand("setup", "Fetch nats-server and PostgreSQL to where `up` finds them")->callback([&] {
    exit_code = app::setup();
  });

  bool doctor_json = false;
  auto* doctor = app.add_subcommand("doctor", "Say what is wrong, and how to mend it");
  doctor->add_flag("--json", doctor_json, "machine-readable output");
  doctor->callback([&] { exit_code = run_doctor(target.data_dir, doctor_json); });

  std::filesystem::path documents = "docs/generated";
  bool check = false;
  auto* gen = app.add_subcommand("gen", "Write the contract's documents from the declarations");
  gen->add_option("directory", documents)->capture_default_str();
  gen->add_flag("--check", check, "write nothing, fail when something is out of date");
  gen->callback([&] { exit_code = app::generate(documents, check); });

  app::add_backup_commands(app, target.data_dir, exit_code);
  cli::add_commands(app, target, exit_code);
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    // Exit code 2 is bad usage, whatever the parser calls it; help and version are none.
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}
