// The messages of the logical decoding plug-in `pgoutput`, protocol versions 1 to 4, as plain values. Pure:
// no I/O. Source: PostgreSQL manual, "Logical Replication Message Formats".
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "postgres/lsn.hpp"

namespace intra365::postgres::pgoutput {

struct Column {
  std::string name;
  std::uint32_t type_oid = 0;
  std::int32_t type_modifier = -1;
  bool is_key = false;  ///< part of the replica identity
};

/// A table as it was when the rows that follow were written; sent again after each change of it.
struct Relation {
  std::uint32_t oid = 0;
  std::string schema, table;
  char replica_identity = 'd';  ///< d default, n nothing, f full, i index
  std::vector<Column> columns;
};

enum class ValueKind : std::uint8_t {
  null,
  unchanged,  ///< a large value stored out of line that the update did not touch: not sent
  text,
  binary,
};
/// Bytes are views into the message.
struct Value {
  ValueKind kind = ValueKind::null;
  std::string_view bytes;
};
using Tuple = std::vector<Value>;

struct Begin {
  Lsn final_lsn;  ///< of the commit
  Timestamp committed_at;
  std::uint32_t xid = 0;
};
struct Commit {
  Lsn commit_lsn;
  Lsn end_lsn;  ///< what to confirm
  Timestamp committed_at;
};
struct Origin {
  Lsn commit_lsn;
  std::string name;
};
struct Type {
  std::uint32_t oid = 0;
  std::string schema, name;
};
/// `xid` is there inside a streamed block only.
struct Insert {
  std::optional<std::uint32_t> xid;
  std::shared_ptr<const Relation> relation;
  Tuple row;
};
struct Update {
  std::optional<std::uint32_t> xid;
  std::shared_ptr<const Relation> relation;
  std::optional<Tuple> old_key;  ///< only when the key changed; other columns are null
  std::optional<Tuple> old_row;  ///< with replica identity full
  Tuple row;
};
struct Delete {
  std::optional<std::uint32_t> xid;
  std::shared_ptr<const Relation> relation;
  bool whole_row = false;  ///< replica identity full; else only the key's columns are set
  Tuple old_row;
};
struct Truncate {
  std::optional<std::uint32_t> xid;
  bool cascade = false, restart_identity = false;
  std::vector<std::shared_ptr<const Relation>> relations;
};
/// Written by pg_logical_emit_message.
struct Logical {
  std::optional<std::uint32_t> xid;
  bool transactional = false;
  Lsn lsn;
  std::string prefix;
  std::string_view content;
};
struct RelationChanged {
  std::optional<std::uint32_t> xid;
  std::shared_ptr<const Relation> relation;
};
/// Streaming of large transactions before they end (version 2): what stands between start and stop belongs to
/// `xid` or its subtransactions, and counts only when StreamCommit comes.
struct StreamStart {
  std::uint32_t xid = 0;
  bool first = false;
};
struct StreamStop {};
struct StreamCommit {
  std::uint32_t xid = 0;
  Commit commit;
};
struct StreamAbort {
  std::uint32_t xid = 0, subxid = 0;  ///< equal: the whole transaction
};
/// Two-phase commit (version 3).
struct Prepare {
  bool streamed = false;
  bool begins = false;  ///< the message that opens a prepared transaction; else the one that closes it
  Lsn prepare_lsn, end_lsn;
  Timestamp at;
  std::uint32_t xid = 0;
  std::string gid;
};
struct CommitPrepared {
  Lsn commit_lsn, end_lsn;
  Timestamp at;
  std::uint32_t xid = 0;
  std::string gid;
};
struct RollbackPrepared {
  Lsn prepare_end_lsn, rollback_end_lsn;
  Timestamp prepared_at, rolled_back_at;
  std::uint32_t xid = 0;
  std::string gid;
};

using Message = std::variant<Begin, Commit, Origin, Type, Insert, Update, Delete, Truncate, Logical,
                             RelationChanged, StreamStart, StreamStop, StreamCommit, StreamAbort, Prepare,
                             CommitPrepared, RollbackPrepared>;

/// Keeps what the stream said of tables, so that rows come with their columns. One for each stream; not
/// thread-safe.
class Decoder {
 public:
  /// One message. Views in the result live as long as `bytes`. Fails with `postgres.bad_replication` on
  /// anything that is cut short, too long, unknown, or names a table that was not described.
  Result<Message> decode(std::string_view bytes);

 private:
  class Reader;
  Result<Message> decode_body(char kind, Reader& reader);
  Result<std::shared_ptr<const Relation>> relation(std::uint32_t oid) const;
  Result<Tuple> tuple(Reader& reader, const Relation& relation) const;
  Result<RelationChanged> read_relation(Reader& reader);

  std::map<std::uint32_t, std::shared_ptr<const Relation>> relations_;
  bool streaming_ = false;  ///< between StreamStart and StreamStop
};

}  // namespace intra365::postgres::pgoutput
