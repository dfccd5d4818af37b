// Physical replication: a base backup of the whole cluster, and its write-ahead log byte by byte. For
// backups; rows are read by logical replication (replication.hpp).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "postgres/replication.hpp"

namespace intra365::postgres {

struct PhysicalOptions {
  std::string dsn;   ///< any database of the cluster; the role needs REPLICATION
  std::string slot;  ///< [a-z0-9_]{1,63}; keeps the log that was not confirmed
  /// How often the server hears from us, and tells in return where its log ends.
  std::chrono::milliseconds status_interval{1000};
};

/// Bytes of the log.
struct LogBytes {
  Lsn start;               ///< of the first byte
  std::string_view bytes;  ///< valid until the next call
  Lsn end() const { return Lsn{start.value + bytes.size()}; }
};

/// Takes what a base backup consists of, in the order of the calls. Its first failure ends the backup.
class BaseBackupSink {
 public:
  virtual ~BaseBackupSink() = default;
  /// A tar archive begins. `tablespace` is empty for the cluster itself, else where the tablespace lies.
  virtual Result<void> begin_archive(std::string_view name, std::string_view tablespace) = 0;
  /// The backup's manifest begins: JSON with the size and SHA-256 of each file.
  virtual Result<void> begin_manifest() = 0;
  /// More of what began last.
  virtual Result<void> data(std::string_view bytes) = 0;
};

struct BaseBackup {
  Lsn start;  ///< the log is needed from here
  Lsn end;    ///< and must reach this far before the files are consistent
  std::uint64_t timeline = 0;
};

/// Owned by one shard; not thread-safe. Ends with the first error: make a new one then.
class PhysicalLog {
 public:
  static Task<std::unique_ptr<PhysicalLog>> connect(asio::any_io_executor executor, PhysicalOptions options,
                                                    SteadyTime deadline);
  ~PhysicalLog();
  PhysicalLog(const PhysicalLog&) = delete;
  PhysicalLog& operator=(const PhysicalLog&) = delete;

  Task<SystemIdentity> identify();
  /// A setting of the server, as it prints it.
  Task<std::string> setting(std::string name);
  /// The server's clock. Not once the log is being read.
  Task<Timestamp> clock();
  /// Makes the slot, which keeps the log from now on. False when it is there already.
  Task<bool> create_slot();
  Task<> drop_slot();
  /// How the timeline came to be, the content of its history file; the first has none.
  Task<std::string> history(std::uint64_t timeline);
  /// Copies the cluster. Not to be called once the log is being read.
  Task<BaseBackup> base_backup(BaseBackupSink& sink, std::string label);

  /// Begins to read at `from`. Fails with `postgres.log_removed`, `postgres.slot_missing` or
  /// `postgres.slot_busy`, at once or by the first `try_next`.
  Task<> start(Lsn from, std::uint64_t timeline);
  /// What has arrived, without waiting; nullopt when there is nothing.
  Result<std::optional<LogBytes>> try_next();
  /// Waits until something has arrived or `until` has passed. Tells the server our state meanwhile.
  Task<> wait(SteadyTime until);
  /// Everything before `position` is durable with us: the server may forget it.
  void confirm(Lsn position);
  /// How far the server's log was flushed when it last spoke, and when that was by its own clock.
  Lsn server_end() const;
  Timestamp server_time() const;

 private:
  struct Impl;
  explicit PhysicalLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::postgres
