// Brings a database, and the embedded platform around it, back to a second of its past.
#pragma once
#include <functional>

#include "async/task.hpp"
#include "backup/repository.hpp"

namespace intra365::backup {

struct RestoreOptions {
  fs::path from, key_file;
  fs::path data_dir;            ///< where the platform comes to lie; holds none yet
  std::optional<Timestamp> at;  ///< every commit up to here; the end of the log when absent
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

struct RestoreReport {
  Base base;
  std::optional<Timestamp> last_commit;  ///< the last one of the log that was replayed; none: none was needed
  std::int64_t tables = 0, rows = 0;     ///< read back, all of them
};

/// Restores into `data_dir`, starts PostgreSQL there until it has replayed the log, reads every row, and
/// stops it again. Where it fails it removes what it has put there, and nothing else.
Task<RestoreReport> restore(asio::any_io_executor executor, RestoreOptions options);

/// The same into a temporary directory, which is removed again: proof that the backups can be restored.
Task<RestoreReport> check_restore(asio::any_io_executor executor, RestoreOptions options);

}  // namespace intra365::backup
