#include "cdc/batcher.hpp"

#include <algorithm>

#include "json/json.hpp"

namespace intra365::cdc {
namespace {

namespace pgoutput = postgres::pgoutput;

struct CursorBody {
  std::string commit, end;
  std::uint64_t index = 0;
  bool complete = false;
};
BOOST_DESCRIBE_STRUCT(CursorBody, (), (commit, end, index, complete))

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

}  // namespace

std::string Cursor::json() const {
  return json::encode(CursorBody{position.commit.text(), end.text(), position.index, complete});
}

Result<Cursor> Cursor::parse(std::string_view text) {
  const auto body = json::decode<CursorBody>(text, json::Unknown::ignore);
  if (!body) return fail(errors::bad_cursor);
  const auto commit = postgres::Lsn::parse(body->commit), end = postgres::Lsn::parse(body->end);
  if (!commit || !end) return fail(errors::bad_cursor);
  return Cursor{{*commit, body->index}, *end, body->complete};
}

Batcher::Batcher(BatcherOptions options, Cursor from)
    : options_(std::move(options)), from_(from), last_(from.position), taken_(from.end) {}

Result<void> Batcher::take(std::string_view bytes) {
  TRY(const auto message, decoder_.decode(bytes));
  if (const auto* begin = std::get_if<pgoutput::Begin>(&message)) {
    transaction_ = Transaction{begin->final_lsn, begin->committed_at, begin->xid};
    index_ = 0;
    split_ = !from_.complete && begin->final_lsn == from_.position.commit;
  } else if (const auto* commit = std::get_if<pgoutput::Commit>(&message)) {
    transaction_.reset();
    mark_due_ = mark_due_ || split_;
    taken_ = std::max(taken_, commit->end_lsn);
  } else if (!transaction_) {
    return {};  // a message outside of any transaction changes no row
  } else if (const auto* insert = std::get_if<pgoutput::Insert>(&message)) {
    add({"insert", insert->relation.get(), &insert->row, nullptr, false});
  } else if (const auto* update = std::get_if<pgoutput::Update>(&message)) {
    const auto* old = update->old_row ? &*update->old_row : update->old_key ? &*update->old_key : nullptr;
    add({"update", update->relation.get(), &update->row, old, update->old_row.has_value()});
  } else if (const auto* deleted = std::get_if<pgoutput::Delete>(&message)) {
    add({"delete", deleted->relation.get(), nullptr, &deleted->old_row, deleted->whole_row});
  } else if (const auto* truncate = std::get_if<pgoutput::Truncate>(&message)) {
    add_truncate(*truncate);
  } else if (const auto* logical = std::get_if<pgoutput::Logical>(&message)) {
    add_message(*logical);
  }
  return {};
}

/// PostgreSQL sends transactions in the order of their commits, so everything at or before the cursor is
/// known.
bool Batcher::covered(const Position& position) const {
  if (position.commit != from_.position.commit) return position.commit < from_.position.commit;
  return from_.complete || position.index <= from_.position.index;
}

void Batcher::add(const RowChange& change) {
  const Position position{transaction_->commit, ++index_};
  if (covered(position)) return;
  nats::Outgoing outgoing;
  outgoing.subject = subject_of(change);
  append_json(outgoing.payload, options_.source, *transaction_, index_, change);
  if (outgoing.payload.size() > options_.max_payload) {
    // Said without its values, never left out: whoever follows reads the row from the table.
    outgoing.payload.clear();
    auto key_only = *change.relation;
    pgoutput::Tuple row = change.row ? *change.row : *change.old;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!key_only.columns[i].is_key) row[i] = {pgoutput::ValueKind::unchanged, {}};
    }
    append_json(outgoing.payload, options_.source, *transaction_, index_,
                {change.operation, &key_only, &row, nullptr, false});
  }
  add(std::move(outgoing), position);
}

void Batcher::add(nats::Outgoing outgoing, const Position& position) {
  bytes_ += outgoing.subject.size() + outgoing.payload.size();
  pending_.push_back(std::move(outgoing));
  last_ = position;
}

void Batcher::add_message(const pgoutput::Logical& message) {
  const Position position{transaction_->commit, ++index_};
  if (!message.transactional || !options_.on_message || covered(position)) return;
  auto outgoing =
      options_.on_message(message, *transaction_, change_id(options_.source, *transaction_, index_));
  if (outgoing) add(*std::move(outgoing), position);
}

void Batcher::add_truncate(const pgoutput::Truncate& truncate) {
  for (const auto& relation : truncate.relations) {
    const Position position{transaction_->commit, ++index_};
    if (covered(position)) continue;
    nats::Outgoing outgoing;
    outgoing.subject = options_.subject_prefix + ".row." + relation->table + ".-.0";
    const pgoutput::Tuple nothing;
    append_json(outgoing.payload, options_.source, *transaction_, index_,
                {"truncate", relation.get(), nullptr, &nothing, false});
    add(std::move(outgoing), position);
  }
}

std::string Batcher::subject_of(const RowChange& change) const {
  const auto& relation = *change.relation;
  std::string_view tenant = "-";
  const auto& row = change.row ? *change.row : *change.old;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (relation.columns[i].name == options_.tenant_column && is_token(row[i].bytes)) tenant = row[i].bytes;
  }
  std::string subject = options_.subject_prefix;
  subject.append(".row.").append(is_token(relation.table) ? relation.table : "-").append(".").append(tenant);
  return subject.append(".").append(std::to_string(hash_of(key_text(change)) % options_.partitions));
}

Batch Batcher::cut() {
  Batch batch;
  batch.messages = std::move(pending_);
  pending_.clear();
  bytes_ = 0;
  batch.cursor.position = last_;
  batch.cursor.end = taken_;
  batch.cursor.complete = !transaction_ || transaction_->commit != last_.commit;
  split_ = !batch.cursor.complete;
  mark_due_ = false;
  return batch;
}

}  // namespace intra365::cdc
