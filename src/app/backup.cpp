#include "app/backup.hpp"

#include <CLI/CLI.hpp>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include "app/up.hpp"
#include "backup/archiver.hpp"
#include "backup/restore.hpp"
#include "cli/target.hpp"
#include "embedded/file.hpp"
#include "embedded/paths.hpp"

namespace intra365::app {
namespace {

namespace fs = std::filesystem;

constexpr auto kLook = std::chrono::milliseconds(100);  ///< how soon an end, or a stop, is seen

struct BackupCommand {
  fs::path to, key;
  bool full = false, follow = false, no_check = false;
  std::size_t keep = 0;
  std::uint64_t full_after = 7 * 24 * 3600;  ///< seconds
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

/// Runs `work` on a thread and a loop of its own, since it reads and writes files without end and would hold
/// up what else this loop does. Whoever is cancelled while it waits here cancels it, and waits for its end.
template <class T>
Task<T> beside(std::function<Task<T>(asio::io_context&)> work) {
  std::optional<Result<T>> outcome;
  asio::cancellation_signal stop;
  asio::io_context loop(1);
  std::atomic<bool> ended = false;
  std::jthread thread([&](std::stop_token stopped) {
    asio::co_spawn(loop, contain(work(loop)),
                   asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr, Result<T> result) {
                     outcome = std::move(result);
                   }));
    while (!outcome) {
      loop.run_one_for(kLook);
      if (stopped.stop_requested()) stop.emit(asio::cancellation_type::all);
    }
    ended = true;
  });
  while (!ended) co_await sleep_for(kLook);
  co_return *std::move(outcome);
}

/// Restores the newest backup into a temporary place.
Task<> prove(fs::path from, fs::path key) {
  tell("restoring it to see that it can be");
  backup::RestoreOptions check;
  check.from = std::move(from);
  check.key_file = std::move(key);
  check.tell = tell;
  const std::function<Task<backup::RestoreReport>(asio::io_context&)> work = [&](asio::io_context& loop) {
    return backup::check_restore(loop.get_executor(), check);
  };
  CO_TRY(const auto restored, co_await beside(work));
  print(restored);
  co_return Result<void>{};
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
  options.full_after = std::chrono::seconds(command.full_after);
  options.follow = command.follow;
  options.keep = command.keep;
  if (!command.no_check) options.prove = [command] { return prove(command.to, command.key); };
  options.stopping = [stop] { return *stop; };
  options.tell = tell;
  CO_TRY(const auto done, co_await backup::run_archiver(io.get_executor(), std::move(options)));
  std::cout << "The backups in " << command.to.string() << " reach to " << format_rfc3339(done.coverage.until)
            << "." << std::endl;
  signals.cancel();
  co_return Result<void>{};
}

Result<void> list(const RestoreCommand& command) {
  TRY(const auto repository, backup::Repository::open(command.from, command.key));
  TRY(const auto bases, repository.bases());
  if (bases.empty()) return fail(backup::errors::not_found);
  for (const auto& base : bases) {
    TRY(const auto coverage, repository.covered(base));
    std::cout << base.name << "  " << (base.bytes >> 20) << " MB  "
              << (repository.is_proven(base) ? "proven" : "never restored") << "  any second from "
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
  const std::map<std::string, std::uint64_t> units{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}};
  backup
      ->add_option("--full-after", save->full_after,
                   "age at which a new base backup is due, such as 12h (default: 7d)")
      ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::UNIT_REQUIRED))
      ->check(CLI::PositiveNumber);
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
