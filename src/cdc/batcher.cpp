#include "cdc/batcher.hpp"

#include <algorithm>

#include "json/json.hpp"
#include "postgres/errors.hpp"

namespace intra365::cdc {
namespace {

namespace pgoutput = postgres::pgoutput;

struct CursorBody {
  std::string commit, end;
  std::uint64_t index = 0;
  bool complete = false;
  std::optional<bool> snapshot_due, gap_due;
  std::optional<std::uint64_t> timeline, branch;
};
BOOST_DESCRIBE_STRUCT(CursorBody, (), (commit, end, index, complete, snapshot_due, gap_due, timeline, branch))

template <class T>
std::optional<T> unless_none(T value) {
  return value == T() ? std::nullopt : std::optional(value);
}

constexpr std::size_t kLargestKeyValue = 1024;  ///< in a change that is told with its key only

/// FNV-1a: the same partition for the same key on every machine and in every version.
std::uint32_t hash_of(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

/// A table whose rows are told apart by these columns; as it is where it does not have all of them.
std::shared_ptr<const pgoutput::Relation> with_key(const std::shared_ptr<const pgoutput::Relation>& relation,
                                                   const std::vector<std::string>& key) {
  auto keyed = std::make_shared<pgoutput::Relation>(*relation);
  std::size_t found = 0;
  for (auto& column : keyed->columns) {
    column.is_key = std::ranges::find(key, column.name) != key.end();
    if (column.is_key) ++found;
  }
  if (found == 0 || found != key.size()) return relation;
  return keyed;
}

/// The row with what the log did not say again, as far as its old values are there: all or its key's.
pgoutput::Tuple filled(const pgoutput::Relation& relation, pgoutput::Tuple row, const pgoutput::Tuple& old,
                       bool old_is_whole) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const bool known = old_is_whole || relation.columns[i].is_key;
    if (known && row[i].kind == pgoutput::ValueKind::unchanged) row[i] = old[i];
  }
  return row;
}

bool same_key(const pgoutput::Relation& relation, const pgoutput::Tuple& row, const pgoutput::Tuple& old) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (relation.columns[i].is_key && (row[i].kind != old[i].kind || row[i].bytes != old[i].bytes))
      return false;
  }
  return true;
}

/// The same change with nothing but the key: said, never left out, so that the order of its key is kept.
std::string key_only(const RowChange& change, std::string_view source, const Transaction& transaction,
                     std::uint64_t index) {
  const auto& relation = *change.relation;
  pgoutput::Tuple row = change.row ? *change.row : *change.old;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!relation.columns[i].is_key || row[i].bytes.size() > kLargestKeyValue)
      row[i] = {pgoutput::ValueKind::unchanged, {}};
  }
  std::string text;
  append_json(text, source, transaction, index,
              {change.operation, &relation, &row, nullptr, false, change.part});
  return text;
}

}  // namespace

Cursor Cursor::in_front_of(postgres::Lsn position) {
  // A commit that begins at `position` is the first that the log tells from there on.
  return {{{position.value == 0 ? 0 : position.value - 1}, 0}, position, true};
}

std::string Cursor::json() const {
  return json::encode(CursorBody{position.commit.text(), end.text(), position.index, complete,
                                 unless_none(snapshot_due), unless_none(gap_due), unless_none(timeline),
                                 unless_none(branch)});
}

Result<Cursor> Cursor::parse(std::string_view text) {
  const auto body = json::decode<CursorBody>(text, json::Unknown::ignore);
  if (!body) return fail(errors::bad_cursor);
  const auto commit = postgres::Lsn::parse(body->commit), end = postgres::Lsn::parse(body->end);
  if (!commit || !end) return fail(errors::bad_cursor);
  return Cursor{{*commit, body->index},
                *end,
                body->complete,
                body->snapshot_due.value_or(false),
                body->timeline.value_or(0),
                body->branch.value_or(0),
                body->gap_due.value_or(false)};
}

Batcher::Batcher(BatcherOptions options, Cursor from)
    : options_(std::move(options)), from_(from), last_(from.position), taken_(from.end), cut_(from) {}

Result<void> Batcher::take(std::string_view bytes) {
  TRY(const auto message, decoder_.decode(bytes));
  return std::visit([this](const auto& one) { return on(one); }, message);
}

Result<void> Batcher::on(const pgoutput::Begin& begin) {
  transaction_ = Transaction{begin.final_lsn, begin.committed_at, begin.xid};
  index_ = 0;
  split_ = !from_.complete && begin.final_lsn == from_.position.commit;
  return {};
}

Result<void> Batcher::on(const pgoutput::Commit& commit) {
  transaction_.reset();
  mark_due_ = mark_due_ || split_;
  taken_ = std::max(taken_, commit.end_lsn);
  return {};
}

Result<void> Batcher::on(const pgoutput::RelationChanged&) {
  last_described_ = nullptr;
  return {};
}

Result<void> Batcher::on(const pgoutput::Insert& insert) {
  return add({"insert", &keyed(insert.relation), &insert.row, nullptr, false, {}});
}

Result<void> Batcher::on(const pgoutput::Update& update) {
  const auto& relation = keyed(update.relation);
  const auto* old = update.old_row ? &*update.old_row : update.old_key ? &*update.old_key : nullptr;
  if (!old) return add({"update", &relation, &update.row, nullptr, false, {}});
  const bool whole = update.old_row.has_value();
  const auto row = filled(relation, update.row, *old, whole);
  const RowChange change{"update", &relation, &row, old, whole, {}};
  return same_key(relation, row, *old) ? add(change) : add_move(change);
}

Result<void> Batcher::on(const pgoutput::Delete& deleted) {
  return add({"delete", &keyed(deleted.relation), nullptr, &deleted.old_row, deleted.whole_row, {}});
}

/// What is not understood must not be passed over: it would be confirmed as if it had been told.
template <class Other>
Result<void> Batcher::on(const Other&) {
  return fail(postgres::errors::bad_replication, "a part of a transaction that has not committed yet");
}

void Batcher::know_keys(Keys keys) {
  if (keys == keys_) return;
  keys_ = std::move(keys);
  keyed_.clear();
  last_described_ = nullptr;
}

/// The table with the key that tells its rows apart.
const pgoutput::Relation& Batcher::keyed(const std::shared_ptr<const pgoutput::Relation>& relation) {
  if (relation->replica_identity != 'f') return *relation;
  auto& known = keyed_[relation->oid];
  if (known.told != relation) {
    const auto key = keys_.find(relation->schema + "." + relation->table);
    known = {relation, key == keys_.end() ? relation : with_key(relation, key->second)};
    last_described_ = nullptr;
  }
  return *known.keyed;
}

/// PostgreSQL sends transactions in the order of their commits, so everything at or before the cursor is
/// known.
bool Batcher::covered(const Position& position) const {
  if (position.commit != from_.position.commit) return position.commit < from_.position.commit;
  return from_.complete || position.index <= from_.position.index;
}

Result<void> Batcher::add(const RowChange& change) {
  if (!transaction_) return fail(postgres::errors::bad_replication, "a row outside of any transaction");
  const Position position{transaction_->commit, ++index_};
  if (covered(position)) return {};
  describe(*change.relation, position);
  auto outgoing = message_of(change, position);
  add(std::move(outgoing), position);
  return {};
}

/// An update that gives a row another key: who follows the old key sees it go, who follows the new one sees
/// it come. Both stand at one position: positions must not depend on what the catalogue says is the key,
/// which may be something else when the log is read again.
Result<void> Batcher::add_move(const RowChange& update) {
  if (!transaction_) return fail(postgres::errors::bad_replication, "a row outside of any transaction");
  const Position position{transaction_->commit, ++index_};
  if (covered(position)) return {};
  describe(*update.relation, position);
  std::vector<nats::Outgoing> both;
  both.push_back(
      message_of({"delete", update.relation, nullptr, update.old, update.old_is_whole, "d"}, position));
  both.push_back(
      message_of({"insert", update.relation, update.row, update.old, update.old_is_whole, "i"}, position));
  add_together(std::move(both), position);
  return {};
}

/// What is too large for a message is set aside.
nats::Outgoing Batcher::message_of(const RowChange& change, const Position& position) {
  nats::Outgoing outgoing;
  outgoing.subject = subject_of(".row.", change);
  append_json(outgoing.payload, options_.source, *transaction_, position.index, change);
  if (outgoing.payload.size() > options_.max_payload)
    set_aside(outgoing, position, change_id(options_.source, *transaction_, position.index, change.part),
              key_only(change, options_.source, *transaction_, position.index));
  return outgoing;
}

void Batcher::add(nats::Outgoing outgoing, const Position& position, bool counts) {
  bytes_ += outgoing.subject.size() + outgoing.payload.size();
  pending_.push_back({std::move(outgoing), position, !transaction_, counts});
  last_ = position;
}

/// Messages that tell one change: stored with one batch, or a crash between two would tell it half, then
/// again.
void Batcher::add_together(std::vector<nats::Outgoing> messages, const Position& position) {
  const auto first = pending_.size();
  for (auto& one : messages) {
    add(std::move(one), position, pending_.size() == first);
    pending_.back().together = 0;
  }
  pending_[first].together = messages.size();
}

/// Puts what is too large for a message into parts; returns how many, 0 where it is too large even for that.
/// Parts stand before what they belong to, and may come again after a crash between two of them.
std::size_t Batcher::put_aside(std::string_view whole, const Position& position, const std::string& id) {
  if (whole.size() > options_.max_aside || options_.aside_subject.empty()) {
    ++counts_.left_out;
    return 0;
  }
  const auto parts =
      std::max<std::size_t>(1, (whole.size() + options_.max_payload - 1) / options_.max_payload);
  for (std::size_t part = 0; part < parts; ++part) {
    nats::Outgoing piece;
    piece.subject = options_.aside_subject;
    piece.headers.add("Intra365-Change", id);
    piece.headers.add("Intra365-Part", std::to_string(part + 1) + "/" + std::to_string(parts));
    piece.payload = whole.substr(part * options_.max_payload, options_.max_payload);
    add(std::move(piece), position, false);
  }
  return parts;
}

/// Puts `instead` in the place of what is too large. Where the whole lies aside, a header says so.
void Batcher::set_aside(nats::Outgoing& outgoing, const Position& position, const std::string& id,
                        std::string instead) {
  const auto whole = std::exchange(outgoing.payload, std::move(instead));
  const auto parts = put_aside(whole, position, id);
  if (parts == 0) return;
  ++counts_.set_aside;
  outgoing.headers.add("Intra365-Aside", std::to_string(parts));
}

/// What cannot be told on a subject of its own, with a word of what it is; who looks for it finds it by its
/// id. Returns in how many parts it lies there.
std::size_t Batcher::add_aside(std::string_view whole, const Position& position, const std::string& id,
                               std::string_view operation) {
  const auto parts = put_aside(whole, position, id);
  nats::Outgoing word;
  word.subject = options_.aside_subject;
  word.payload = "{\"id\":\"" + id + "\",\"operation\":\"";
  word.payload.append(parts > 0 ? operation : "left_out").append("\"}");
  if (parts > 0) word.headers.add("Intra365-Aside", std::to_string(parts));
  add(std::move(word), position);
  return parts;
}

/// Says how a table looks, in front of the first row that looks so. A reader that starts over says it again.
void Batcher::describe(const pgoutput::Relation& relation, const Position& position) {
  if (&relation == last_described_) return;
  last_described_ = &relation;
  std::string text = "{\"id\":";
  json::detail::append_string(text, change_id(options_.source, *transaction_, position.index));
  text += ",\"operation\":\"schema\"";
  const auto words = describe_json(relation);
  auto& known = described_[relation.oid];
  if (known == words) return;
  if (!known.empty()) ++counts_.schema_changes;
  known = words;
  nats::Outgoing outgoing;
  outgoing.subject = options_.subject_prefix + ".schema." + (is_token(relation.table) ? relation.table : "-");
  outgoing.payload = text + "," + words + "}";
  add(std::move(outgoing), position, false);
}

Result<void> Batcher::on(const pgoutput::Logical& message) {
  if (!transaction_) return {};  // it changes nothing, and belongs to nobody's transaction
  const Position position{transaction_->commit, ++index_};
  if (!message.transactional || !options_.on_message || covered(position)) return {};
  const auto id = change_id(options_.source, *transaction_, index_);
  auto told = options_.on_message(message, *transaction_, id);
  if (!told) {
    ++counts_.malformed;
    add_aside(message.content, position, id, "malformed");
  } else if (*told && (*told)->payload.size() > options_.max_payload) {
    if (add_aside((*told)->payload, position, id, "aside") > 0) ++counts_.set_aside;
  } else if (*told) {
    add(**std::move(told), position);
  }
  return {};
}

std::optional<postgres::Lsn> Batcher::begins(std::string_view message) {
  if (message.size() < 9 || message.front() != 'B') return std::nullopt;
  postgres::Lsn commit;
  for (const char byte : message.substr(1, 8))
    commit.value = commit.value << 8 | static_cast<unsigned char>(byte);
  return commit;
}

void Batcher::add_snapshot_row(const std::shared_ptr<const pgoutput::Relation>& relation,
                               const pgoutput::Tuple& row, const Transaction& at, std::uint64_t number) {
  const RowChange change{"read", &keyed(relation), &row, nullptr, false, {}};
  nats::Outgoing outgoing;
  outgoing.subject = subject_of(".snapshot.row.", change);
  const auto source = options_.source + ".snapshot";
  append_json(outgoing.payload, source, at, number, change);
  if (outgoing.payload.size() > options_.max_payload)
    set_aside(outgoing, last_, change_id(source, at, number), key_only(change, source, at, number));
  add(std::move(outgoing), last_);
}

void Batcher::add_mark(std::string subject, std::string payload) {
  nats::Outgoing outgoing;
  outgoing.subject = std::move(subject);
  outgoing.payload = std::move(payload);
  add(std::move(outgoing), last_, false);
}

Result<void> Batcher::on(const pgoutput::Truncate& truncate) {
  if (!transaction_) return fail(postgres::errors::bad_replication, "a truncate outside of any transaction");
  for (const auto& relation : truncate.relations) {
    const Position position{transaction_->commit, ++index_};
    if (covered(position)) continue;
    const pgoutput::Tuple nothing;
    nats::Outgoing outgoing;
    append_json(outgoing.payload, options_.source, *transaction_, index_,
                {"truncate", relation.get(), nullptr, &nothing, false, {}});
    // Whoever reads one partition has to see it between the rows of that partition.
    std::vector<nats::Outgoing> everywhere(options_.partitions, outgoing);
    for (std::uint32_t partition = 0; partition < options_.partitions; ++partition)
      everywhere[partition].subject = subject_at(".row.", *relation, "-", partition);
    add_together(std::move(everywhere), position);
  }
  return {};
}

std::string Batcher::subject_at(std::string_view kind, const pgoutput::Relation& relation,
                                std::string_view tenant, std::uint32_t partition) const {
  std::string subject = options_.subject_prefix;
  subject.append(kind).append(is_token(relation.table) ? relation.table : "-").append(".").append(tenant);
  return subject.append(".").append(std::to_string(partition));
}

std::string Batcher::subject_of(std::string_view kind, const RowChange& change) const {
  const auto& relation = *change.relation;
  std::string_view tenant = "-";
  const auto& row = change.row ? *change.row : *change.old;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (relation.columns[i].name == options_.tenant_column && is_token(row[i].bytes)) tenant = row[i].bytes;
  }
  return subject_at(kind, relation, tenant, hash_of(key_text(relation, row)) % options_.partitions);
}

Batch Batcher::cut() {
  Batch batch;
  std::size_t bytes = 0;
  Position last = cut_.position, before = cut_.position;  // of what is in, and of what is in to its end
  while (!pending_.empty() && batch.messages.size() < options_.max_messages) {
    auto& [message, position, outside, counts, together] = pending_.front();
    const bool fits = batch.messages.size() + together <= options_.max_messages && bytes < options_.max_bytes;
    if (!fits && together > 0 && !batch.messages.empty()) break;
    if (position != last) before = std::exchange(last, position);
    bytes += message.subject.size() + message.payload.size();
    if (counts) ++batch.changes;
    batch.messages.push_back(std::move(message));
    pending_.pop_front();
  }
  bytes_ -= bytes;
  if (pending_.empty()) {
    batch.cursor.position = last_;
    batch.cursor.end = taken_;
    batch.cursor.complete = !transaction_ || transaction_->commit != last_.commit;
    split_ = !batch.cursor.complete;
    mark_due_ = false;
  } else {
    // What does not fit any more stays for the next; until it is in, nothing behind may be confirmed.
    const auto& next = pending_.front();
    batch.cursor.position = !next.outside && next.position == last ? before : last;
    batch.cursor.complete = next.outside || next.position.commit != batch.cursor.position.commit;
    batch.cursor.end = cut_.end;
  }
  cut_ = batch.cursor;
  return batch;
}

}  // namespace intra365::cdc
