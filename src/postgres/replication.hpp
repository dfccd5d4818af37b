// Logical replication: reads a slot of `pgoutput` as it is written. What was read is given up by the server
// only after `confirm`, so whoever confirms after having made it durable loses nothing.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.hpp"
#include "postgres/errors.hpp"
#include "postgres/lsn.hpp"

namespace intra365::postgres {

struct ReplicationOptions {
  std::string dsn;   ///< of the database whose changes are read; the role needs REPLICATION
  std::string slot;  ///< [a-z0-9_]{1,63}
  std::string publication;
  int protocol_version = 1;  ///< 2: streaming of large transactions, 3: two-phase, 4: parallel streaming
  bool streaming = false;  ///< large transactions arrive before they end; else the server keeps them on disk
  bool two_phase = false;
  bool logical_messages = true;  ///< deliver what pg_logical_emit_message writes
  /// How often the server hears from us; its own limit (wal_sender_timeout) is 60 s.
  std::chrono::milliseconds status_interval{1000};
  /// How long the server may take to answer; then it is `postgres.timeout`. A server that has stopped, or
  /// whose disk has, keeps its connections open.
  std::chrono::milliseconds answer_time{30000};
  /// The same for the slot that is made: it waits for the transactions that are under way.
  std::chrono::milliseconds slot_patience{600000};
};

/// What the server is, and where its log ends.
struct SystemIdentity {
  std::string system_id, database;
  std::uint64_t timeline = 0;
  Lsn end;
};

/// `lost`: the server has given it up, for good; only dropping it is left.
enum class SlotState : std::uint8_t { missing, usable, lost };

/// A slot as it was made.
struct CreatedSlot {
  Lsn consistent_point;
  /// Shows the database exactly as it was at the consistent point, to `set transaction snapshot` in another
  /// connection, while this one stays idle.
  std::string snapshot;
};

/// A table of a publication.
struct PublishedTable {
  std::string name;              ///< with its schema
  std::string version;           ///< differs when it was taken out and in again, or is carried differently
  std::vector<std::string> key;  ///< columns of its primary key
  bool operator==(const PublishedTable&) const = default;
};

/// One piece of the stream; `payload` is a message for `pgoutput::Decoder`.
struct ReplicationFrame {
  Lsn start, server_end;
  std::string_view payload;  ///< valid until the next call
};

/// Owned by one shard; not thread-safe. Ends with the first error: make a new one then.
class ReplicationStream {
 public:
  /// Connects; nothing is read yet.
  static Task<std::unique_ptr<ReplicationStream>> connect(asio::any_io_executor executor,
                                                          ReplicationOptions options, SteadyTime deadline);
  ~ReplicationStream();
  ReplicationStream(const ReplicationStream&) = delete;
  ReplicationStream& operator=(const ReplicationStream&) = delete;

  Task<SystemIdentity> identify();
  Task<SlotState> slot_state();
  /// Nullopt when the slot exists already. From PostgreSQL 17 on standbys that synchronise slots keep it,
  /// too.
  Task<std::optional<CreatedSlot>> create_slot();
  /// The same for a slot that was made before.
  Task<> keep_slot_on_standbys();
  Task<> drop_slot();
  /// What the slot has confirmed: where it goes on for who asks for nothing later.
  Task<Lsn> slot_position();
  /// Where the log of timeline `now` branched off from `before`; nullopt when it does not descend from it.
  Task<std::optional<Lsn>> left_timeline_at(std::uint64_t before, std::uint64_t now);
  /// What the publication carries, one text for each table that changes with its columns, its filter, and
  /// when it was taken out and in again; nullopt when there is no such publication.
  Task<std::optional<std::vector<PublishedTable>>> published();

  /// Begins to read; positions before the slot's confirmed one start there. Fails with
  /// `postgres.slot_missing` or `postgres.slot_busy`.
  Task<> start(Lsn from = {});
  /// The next piece that has arrived, without waiting; nullopt when there is none.
  Result<std::optional<ReplicationFrame>> try_next();
  /// Waits until something has arrived or `until` has passed. Tells the server our state meanwhile.
  Task<> wait(SteadyTime until);
  /// Tells the server our state when it is due, without reading anything: for whoever is busy elsewhere.
  Result<void> keep_alive();
  /// Ends a `wait` that is under way. On the stream's executor only.
  void interrupt();

  /// Everything before `position` is durable with us: the server may forget it. Sent with the next status.
  void confirm(Lsn position);
  Lsn confirmed() const;
  /// How far the server's log went when it last wrote.
  Lsn server_end() const;
  /// True when every byte the server has announced was read: with nothing pending, `server_end` may be
  /// confirmed, so that a quiet database does not hold on to its log.
  bool drained() const;

 private:
  struct Impl;
  explicit ReplicationStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::postgres
