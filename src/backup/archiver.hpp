// Makes backups of a running database: a base backup where one is due, and the log behind it without a gap.
#pragma once
#include <functional>

#include "async/task.hpp"
#include "backup/repository.hpp"

namespace intra365::backup {

struct ArchiverOptions {
  fs::path to, key_file;
  /// Where the database is now; asked before every connection, because an embedded one changes its port.
  std::function<Result<std::string>()> dsn;
  fs::path data_dir;     ///< of an embedded platform, whose keys go with the backup; empty: none
  std::string version;   ///< of this program
  bool full = false;     ///< a new base backup even if none is due
  bool follow = false;   ///< keep on writing the log until `stopping`
  std::size_t keep = 0;  ///< how many base backups stay; 0: all
  /// Age at which a new base backup is due; at least a second, since their names tell seconds.
  std::chrono::seconds full_after = std::chrono::hours(24 * 7);
  /// Restores the newest base backup, to prove that it can be; older ones stay until then. Empty: nobody
  /// does.
  std::function<Task<>()> prove;
  std::function<bool()> stopping = [] { return false; };
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

struct ArchiverReport {
  bool made_key = false;
  std::optional<Base> base;  ///< the one that was made
  std::uint64_t log_bytes = 0;
  Coverage coverage;
};

/// One run: ends when everything that was committed before is in the place, or with `follow` when `stopping`
/// says so; a following run outlives restarts of the database, and makes base backups beside the log when
/// they are due. One that could not be proven fails the run, a following one when it is stopped.
Task<ArchiverReport> run_archiver(asio::any_io_executor executor, ArchiverOptions options);

}  // namespace intra365::backup
