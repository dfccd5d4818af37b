#include "postgres/pgoutput.hpp"

#include <charconv>

#include "postgres/errors.hpp"

namespace intra365::postgres {

std::string Lsn::text() const {
  char buffer[24];
  const auto part = [](char* at, char* end, std::uint64_t number) {
    const auto done = std::to_chars(at, end, number, 16).ptr;
    for (; at != done; ++at) *at = *at >= 'a' ? static_cast<char>(*at - 32) : *at;
    return done;
  };
  auto* at = part(buffer, buffer + sizeof buffer, value >> 32);
  *at++ = '/';
  at = part(at, buffer + sizeof buffer, value & 0xffffffff);
  return {buffer, at};
}

Result<Lsn> Lsn::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  if (slash != std::string_view::npos) {
    const auto high = number(text.substr(0, slash)), low = number(text.substr(slash + 1));
    if (high && low) return Lsn{*high << 32 | *low};
  }
  return fail(errors::bad_replication, "not a log position");
}

namespace pgoutput {
namespace {

/// 2000-01-01, where PostgreSQL's clock begins.
constexpr std::int64_t kEpochMicroseconds = 946'684'800'000'000;
constexpr std::size_t kMaxColumns = 1600;  ///< PostgreSQL's own limit

}  // namespace

/// Reads forward through one message; after the first fault everything reads as nothing, and `ok` is false.
class Decoder::Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    if (rest_.size() < sizeof(T)) return fault<T>();
    std::make_unsigned_t<T> value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<std::make_unsigned_t<T>>(value << (sizeof(T) > 1 ? 8 : 0)) |
              static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  std::uint8_t byte() { return number<std::uint8_t>(); }
  std::uint32_t id() { return number<std::uint32_t>(); }
  Lsn lsn() { return Lsn{number<std::uint64_t>()}; }
  Timestamp time() {
    const auto since_2000 = number<std::int64_t>();
    std::int64_t since_1970 = 0;
    if (__builtin_add_overflow(since_2000, kEpochMicroseconds, &since_1970)) return fault<Timestamp>();
    return Timestamp(std::chrono::microseconds(since_1970));
  }
  std::string text() {
    const auto end = rest_.find('\0');
    if (end == std::string_view::npos) return fault<std::string>();
    std::string value(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return value;
  }
  std::string_view bytes() {
    const auto size = number<std::int32_t>();
    if (size < 0 || static_cast<std::size_t>(size) > rest_.size()) return fault<std::string_view>();
    const auto value = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(value.size());
    return value;
  }
  std::size_t left() const { return rest_.size(); }
  bool ok() const { return ok_; }

 private:
  template <class T>
  T fault() {
    ok_ = false;
    rest_ = {};
    return T{};
  }
  std::string_view rest_;
  bool ok_ = true;
};

Result<Message> Decoder::decode(std::string_view bytes) {
  if (bytes.empty()) return fail(errors::bad_replication, "an empty message");
  Reader reader(bytes.substr(1));
  auto message = decode_body(bytes.front(), reader);
  const auto where = [&] { return std::string(" in message '") + bytes.front() + "'"; };
  if (!reader.ok()) return fail(errors::bad_replication, "cut short" + where());
  if (message && reader.left() != 0) return fail(errors::bad_replication, "bytes left over" + where());
  return message;
}

Result<Message> Decoder::decode_body(char kind, Reader& reader) {
  const auto xid = [&] { return streaming_ ? std::optional(reader.id()) : std::nullopt; };
  switch (kind) {
    case 'B': {
      Begin begin;
      begin.final_lsn = reader.lsn();
      begin.committed_at = reader.time();
      begin.xid = reader.id();
      return begin;
    }
    case 'C': {
      Commit commit;
      reader.byte();
      commit.commit_lsn = reader.lsn();
      commit.end_lsn = reader.lsn();
      commit.committed_at = reader.time();
      return commit;
    }
    case 'O': {
      Origin origin;
      origin.commit_lsn = reader.lsn();
      origin.name = reader.text();
      return origin;
    }
    case 'R': {
      TRY(auto changed, read_relation(reader));
      return changed;
    }
    case 'Y': {
      Type type;
      static_cast<void>(xid());
      type.oid = reader.id();
      type.schema = reader.text();
      type.name = reader.text();
      return type;
    }
    case 'I': {
      Insert insert;
      insert.xid = xid();
      TRY(insert.relation, relation(reader.id()));
      if (reader.byte() != 'N') return fail(errors::bad_replication, "an insert without a new row");
      TRY(insert.row, tuple(reader, *insert.relation));
      return insert;
    }
    case 'U': {
      Update update;
      update.xid = xid();
      TRY(update.relation, relation(reader.id()));
      auto part = reader.byte();
      if (part == 'K' || part == 'O') {
        TRY(auto old, tuple(reader, *update.relation));
        (part == 'K' ? update.old_key : update.old_row) = std::move(old);
        part = reader.byte();
      }
      if (part != 'N') return fail(errors::bad_replication, "an update without a new row");
      TRY(update.row, tuple(reader, *update.relation));
      return update;
    }
    case 'D': {
      Delete deleted;
      deleted.xid = xid();
      TRY(deleted.relation, relation(reader.id()));
      const auto part = reader.byte();
      if (part != 'K' && part != 'O') return fail(errors::bad_replication, "a delete without an old row");
      deleted.whole_row = part == 'O';
      TRY(deleted.old_row, tuple(reader, *deleted.relation));
      return deleted;
    }
    case 'T': {
      Truncate truncate;
      truncate.xid = xid();
      const auto count = reader.id();
      const auto options = reader.byte();
      truncate.cascade = (options & 1) != 0;
      truncate.restart_identity = (options & 2) != 0;
      if (count > reader.left() / sizeof(std::uint32_t))
        return fail(errors::bad_replication, "a truncate of more tables than it names");
      for (std::uint32_t i = 0; i < count; ++i) {
        TRY(auto one, relation(reader.id()));
        truncate.relations.push_back(std::move(one));
      }
      return truncate;
    }
    case 'M': {
      Logical logical;
      logical.xid = xid();
      logical.transactional = (reader.byte() & 1) != 0;
      logical.lsn = reader.lsn();
      logical.prefix = reader.text();
      logical.content = reader.bytes();
      return logical;
    }
    case 'S': {
      if (streaming_) return fail(errors::bad_replication, "a streamed block inside another");
      StreamStart start;
      start.xid = reader.id();
      start.first = reader.byte() == 1;
      streaming_ = true;
      return start;
    }
    case 'E':
      if (!streaming_) return fail(errors::bad_replication, "the end of a streamed block that never began");
      streaming_ = false;
      return StreamStop{};
    case 'c': {
      StreamCommit streamed;
      streamed.xid = reader.id();
      reader.byte();
      streamed.commit.commit_lsn = reader.lsn();
      streamed.commit.end_lsn = reader.lsn();
      streamed.commit.committed_at = reader.time();
      return streamed;
    }
    case 'A': {
      StreamAbort abort;
      abort.xid = reader.id();
      abort.subxid = reader.id();
      if (reader.left() != 0) {  // version 4 with streaming 'parallel' says where and when
        reader.lsn();
        reader.time();
      }
      return abort;
    }
    case 'b':
    case 'P':
    case 'p': {
      Prepare prepare;
      prepare.begins = kind == 'b';
      prepare.streamed = kind == 'p';
      if (kind != 'b') reader.byte();
      prepare.prepare_lsn = reader.lsn();
      prepare.end_lsn = reader.lsn();
      prepare.at = reader.time();
      prepare.xid = reader.id();
      prepare.gid = reader.text();
      return prepare;
    }
    case 'K': {
      CommitPrepared commit;
      reader.byte();
      commit.commit_lsn = reader.lsn();
      commit.end_lsn = reader.lsn();
      commit.at = reader.time();
      commit.xid = reader.id();
      commit.gid = reader.text();
      return commit;
    }
    case 'r': {
      RollbackPrepared rollback;
      reader.byte();
      rollback.prepare_end_lsn = reader.lsn();
      rollback.rollback_end_lsn = reader.lsn();
      rollback.prepared_at = reader.time();
      rollback.rolled_back_at = reader.time();
      rollback.xid = reader.id();
      rollback.gid = reader.text();
      return rollback;
    }
    default:
      return fail(errors::bad_replication, "a message of an unknown kind");
  }
}

Result<std::shared_ptr<const Relation>> Decoder::relation(std::uint32_t oid) const {
  const auto known = relations_.find(oid);
  if (known == relations_.end())
    return fail(errors::bad_replication, "rows of a table that was not described");
  return known->second;
}

Result<RelationChanged> Decoder::read_relation(Reader& reader) {
  RelationChanged changed;
  if (streaming_) changed.xid = reader.id();
  auto relation = std::make_shared<Relation>();
  relation->oid = reader.id();
  relation->schema = reader.text();
  if (relation->schema.empty()) relation->schema = "pg_catalog";  // how the protocol abbreviates it
  relation->table = reader.text();
  relation->replica_identity = static_cast<char>(reader.byte());
  const auto count = reader.number<std::uint16_t>();
  if (count > kMaxColumns) return fail(errors::bad_replication, "a table of more columns than there can be");
  for (std::uint16_t i = 0; i < count && reader.ok(); ++i) {
    Column column;
    column.is_key = (reader.byte() & 1) != 0;
    column.name = reader.text();
    column.type_oid = reader.id();
    column.type_modifier = reader.number<std::int32_t>();
    relation->columns.push_back(std::move(column));
  }
  if (reader.ok()) relations_[relation->oid] = relation;
  changed.relation = std::move(relation);
  return changed;
}

Result<Tuple> Decoder::tuple(Reader& reader, const Relation& relation) const {
  const auto count = reader.number<std::uint16_t>();
  if (reader.ok() && count != relation.columns.size())
    return fail(errors::bad_replication, "a row of another shape than its table");
  Tuple row;
  row.reserve(relation.columns.size());
  for (std::uint16_t i = 0; i < count && reader.ok(); ++i) {
    switch (reader.byte()) {
      case 'n':
        row.push_back({ValueKind::null, {}});
        break;
      case 'u':
        row.push_back({ValueKind::unchanged, {}});
        break;
      case 't':
        row.push_back({ValueKind::text, reader.bytes()});
        break;
      case 'b':
        row.push_back({ValueKind::binary, reader.bytes()});
        break;
      default:
        return fail(errors::bad_replication, "a value of an unknown kind");
    }
  }
  return row;
}

}  // namespace pgoutput
}  // namespace intra365::postgres
