// Reads published tables as they were at one exact position of the log, so that a stream of changes can begin
// or go on from there without a gap and without anything twice.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/lsn.hpp"
#include "postgres/pgoutput.hpp"

namespace intra365::postgres {

/// Owned by one shard; not thread-safe. Holds one connection and a temporary slot, which keeps the log from
/// the snapshot's position on while it lives.
class SnapshotReader {
 public:
  /// Takes the snapshot. Waits for the transactions that are under way; what takes longer than `patience` in
  /// all fails with `postgres.timeout`, and may be tried again. `slot`: a name for the temporary slot, free
  /// in the server. Later answers take `answer_time` at most, else they are `postgres.timeout`, too.
  static Task<std::unique_ptr<SnapshotReader>> open(asio::any_io_executor executor, std::string dsn,
                                                    std::string slot, std::chrono::milliseconds patience,
                                                    std::chrono::milliseconds answer_time);
  ~SnapshotReader();
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;

  /// The snapshot shows exactly the transactions whose commit stands before it in the log.
  Lsn point() const;
  Timestamp taken_at() const;

  struct Table {
    std::shared_ptr<const pgoutput::Relation> relation;
    std::string row_filter;  ///< SQL; empty: every row
  };
  /// The publication's tables with the columns it carries, as they were then.
  Task<std::vector<Table>> tables(const std::string& publication);
  /// Goes to the first row of a table.
  Task<> select(const Table& table);
  /// More rows of it: one at least, some hundred at most, and none behind the one with which they exceed
  /// `bytes`. Empty: that was the last. Views live until the next call.
  Task<std::vector<pgoutput::Tuple>> fetch(std::size_t bytes);

 private:
  struct Impl;
  explicit SnapshotReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::postgres
