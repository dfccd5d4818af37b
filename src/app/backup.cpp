#include "app/backup.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>
#include <memory>

#include "app/up.hpp"
#include "backup/archiver.hpp"
#include "backup/restore.hpp"
#include "cli/target.hpp"
#include "embedded/file.hpp"
#include "embedded/paths.hpp"

namespace intra365::app {
namespace {

namespace fs = std::filesystem;

struct BackupCommand {
  fs::path to, key;
  bool full = false, follow = false, no_check = false;
  std::size_t keep = 0;
};
struct RestoreCommand {
  fs::path from, key;
  std::string at;
  bool check = false, list = false;
};

void tell(const std::string& step) {
  std::cerr << "  " << step << std::endl;
}

/// Where the platform of a data directory has its database now, for its superuser.
Result<std::string> database_of(const fs::path& data_dir) {
  const auto text = embedded::read_file(embedded::Paths(data_dir).endpoints());
  if (!text) return fail(cli::errors::not_running);
  TRY(const auto value, json::parse(*text));
  const auto* dsn = value.is_object() ? value.as_object().if_contains("postgres") : nullptr;
  if (dsn == nullptr || !dsn->is_string()) return fail(cli::errors::not_running);
  return std::string(dsn->as_string());
}

void print(const backup::RestoreReport& report) {
  std::cout << "  backup " << report.base.name << ", last commit "
            << (report.last_commit ? format_rfc3339(*report.last_commit) : "none behind it") << ", "
            << report.tables << " tables with " << report.rows << " rows" << std::endl;
}

Task<> run_backup(asio::io_context& io, fs::path data_dir, BackupCommand command) {
  auto stop = std::make_shared<bool>(false);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([stop](boost::system::error_code error, int) { *stop = *stop || !error; });

  backup::ArchiverOptions options;
  options.to = command.to;
  options.key_file = command.key;
  options.dsn = [data_dir] { return database_of(data_dir); };
  options.data_dir = data_dir;
  options.version = version();
  options.full = command.full;
  options.follow = command.follow;
  options.keep = command.keep;
  options.stopping = [stop] { return *stop; };
  options.tell = tell;
  CO_TRY(const auto done, co_await backup::run_archiver(io.get_executor(), std::move(options)));
  if (done.made_key)
    tell("the key " + command.key.string() +
         " was made: keep a copy away from this machine, nothing can be restored without it");
  std::cout << "The backups in " << command.to.string() << " reach to " << format_rfc3339(done.coverage.until)
            << "." << std::endl;
  if (done.base && !command.no_check && !command.follow && !*stop) {
    tell("restoring it to see that it can be");
    backup::RestoreOptions check;
    check.from = command.to;
    check.key_file = command.key;
    check.tell = tell;
    CO_TRY(const auto restored, co_await backup::check_restore(io.get_executor(), std::move(check)));
    print(restored);
  }
  signals.cancel();
  co_return Result<void>{};
}

Result<void> list(const RestoreCommand& command) {
  TRY(const auto repository, backup::Repository::open(command.from, command.key));
  TRY(const auto bases, repository.bases());
  if (bases.empty()) return fail(backup::errors::not_found);
  for (const auto& base : bases) {
    TRY(const auto coverage, repository.covered(base));
    std::cout << base.name << "  " << (base.bytes >> 20) << " MB  any second from "
              << format_rfc3339(base.ended) << " to "
              << (coverage ? format_rfc3339(coverage->until) : "nowhere") << std::endl;
  }
  return {};
}

Task<> run_restore(asio::io_context& io, fs::path data_dir, RestoreCommand command) {
  if (command.list) co_return list(command);
  backup::RestoreOptions options;
  options.from = command.from;
  options.key_file = command.key;
  options.data_dir = fs::absolute(data_dir);
  options.tell = tell;
  if (!command.at.empty()) {
    CO_TRY(options.at, parse_rfc3339(command.at));
  }
  if (command.check) {
    CO_TRY(const auto restored, co_await backup::check_restore(io.get_executor(), std::move(options)));
    print(restored);
    std::cout << "It can be restored." << std::endl;
    co_return Result<void>{};
  }
  CO_TRY(const auto restored, co_await backup::restore(io.get_executor(), std::move(options)));
  print(restored);
  std::cout << "Restored into " << data_dir.string() << "; start it with 'intra365 up'." << std::endl;
  co_return Result<void>{};
}

template <class Command>
int run(Task<> (*body)(asio::io_context&, fs::path, Command), const fs::path& data_dir,
        const Command& command) {
  asio::io_context io(1);
  Result<void> outcome;
  asio::co_spawn(io, contain(body(io, data_dir, command)), [&](std::exception_ptr, Result<void> result) {
    outcome = std::move(result);
    io.stop();
  });
  io.run();
  return outcome ? 0 : cli::report(outcome.error());
}

}  // namespace

void add_backup_commands(CLI::App& app, const fs::path& data_dir, int& exit_code) {
  const auto save = std::make_shared<BackupCommand>();
  auto* backup = app.add_subcommand("backup", "Copy the running platform's database to a safe place, sealed");
  backup->add_option("--to", save->to, "directory of the backups")->required();
  backup->add_option("--key", save->key, "file of the key; made with the first backup")->required();
  backup->add_flag("--full", save->full, "make a base backup even if the last one is young");
  backup->add_flag("--follow", save->follow, "stay, and copy what is committed within a second");
  backup->add_flag("--no-check", save->no_check, "do not restore a new base backup to prove it");
  backup->add_option("--keep", save->keep, "how many base backups stay (default: all)");
  backup->callback([&, save] { exit_code = run(run_backup, data_dir, *save); });

  const auto back = std::make_shared<RestoreCommand>();
  auto* restore =
      app.add_subcommand("restore", "Bring a platform back, to any second that the backups cover");
  restore->add_option("--from", back->from, "directory of the backups")->required();
  restore->add_option("--key", back->key, "file of the key")->required();
  restore->add_option("--at", back->at, "time, such as 2026-11-23T10:15:00Z (default: the latest)");
  restore->add_flag("--check", back->check, "restore to a temporary place and remove it again");
  restore->add_flag("--list", back->list, "say what can be restored");
  restore->callback([&, back] { exit_code = run(run_restore, data_dir, *back); });
}

}  // namespace intra365::app
