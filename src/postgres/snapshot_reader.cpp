#include "postgres/snapshot_reader.hpp"

#include <charconv>
#include <cstring>

#include "postgres/errors.hpp"
#include "postgres/replication_connection.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

constexpr std::size_t kRowsAtOnce = 500;

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    out += c;
    if (c == quote) out += c;
  }
  return out + quote;
}

/// Which columns name a row: as the table's replica identity says.
constexpr const char* kTables =
    "SELECT c.oid, n.nspname, c.relname, c.relreplident, coalesce(t.rowfilter, ''), a.attname, a.atttypid, "
    "a.atttypmod, c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND "
    "a.attnum = ANY (i.indkey) AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN "
    "i.indisreplident ELSE false END) FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = "
    "t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename JOIN pg_attribute a "
    "ON a.attrelid = c.oid AND a.attname = ANY (t.attnames) WHERE t.pubname = ";

template <class Number>
Number number_in(const std::string& text) {
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

struct SnapshotReader::Impl : ReplicationConnection {
  Impl(OpenConnection opened, std::chrono::milliseconds answer_time)
      : ReplicationConnection(std::move(opened), std::chrono::seconds(1)), answer_time(answer_time) {}

  static Task<std::unique_ptr<Impl>> open(asio::any_io_executor executor, std::string dsn, std::string slot,
                                          std::chrono::milliseconds patience,
                                          std::chrono::milliseconds answer_time);
  Task<ReplicationTable> ask(std::string text) { return in_time(answer_time, command(std::move(text))); }
  Task<> ask_for_rows();
  Task<std::vector<pgoutput::Tuple>> fetch(std::size_t bytes);

  std::chrono::milliseconds answer_time;
  Lsn point;
  Timestamp taken_at{};
  int column_count = 0;
  /// The server sends rows as we take them, so that there are never more of them here than were fetched.
  bool sending = false, at_end = false;
  std::size_t sent = 0;         ///< of those that were asked for last
  std::vector<ResultPtr> rows;  ///< one in each
};

SnapshotReader::SnapshotReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SnapshotReader::~SnapshotReader() = default;

Task<std::unique_ptr<SnapshotReader>> SnapshotReader::open(asio::any_io_executor executor, std::string dsn,
                                                           std::string slot,
                                                           std::chrono::milliseconds patience,
                                                           std::chrono::milliseconds answer_time) {
  if (!is_slot_name(slot)) co_return fail(errors::invalid_value, "slot: not a name for a slot");
  auto opened = co_await in_time(
      patience, Impl::open(executor, std::move(dsn), std::move(slot), patience, answer_time));
  if (opened) co_return std::unique_ptr<SnapshotReader>(new SnapshotReader(*std::move(opened)));
  if (opened.error().is(errors::serialization) || opened.error().is(errors::timeout))
    co_return fail(errors::timeout, "transactions that began before the snapshot are still open");
  co_return fail(std::move(opened).error());
}

Task<std::unique_ptr<SnapshotReader::Impl>> SnapshotReader::Impl::open(
    asio::any_io_executor executor, std::string dsn, std::string slot, std::chrono::milliseconds patience,
    std::chrono::milliseconds answer_time) {
  // The server itself gives up waiting: a connection that went away in the meantime would wait on.
  const auto settings = "-c lock_timeout=" + std::to_string(patience.count());
  CO_TRY(auto opened,
         co_await ReplicationConnection::open(executor, dsn, "intra365-snapshot",
                                              std::chrono::steady_clock::now() + patience, settings));
  auto impl = std::make_unique<Impl>(std::move(opened), answer_time);
  CO_CHECK(co_await impl->command("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ"));
  CO_TRY(const auto made, co_await impl->command("CREATE_REPLICATION_SLOT " + slot +
                                                 " TEMPORARY LOGICAL pgoutput (SNAPSHOT 'use')"));
  if (made.size() != 1 || made.front().size() < 3) co_return fail(errors::bad_replication, "no slot");
  CO_TRY(impl->point, Lsn::parse(made.front()[1]));
  impl->taken_at = std::chrono::time_point_cast<Timestamp::duration>(std::chrono::system_clock::now());
  co_return impl;
}

Lsn SnapshotReader::point() const {
  return impl_->point;
}
Timestamp SnapshotReader::taken_at() const {
  return impl_->taken_at;
}

Task<std::vector<SnapshotReader::Table>> SnapshotReader::tables(const std::string& publication) {
  CO_TRY(const auto table,
         co_await impl_->ask(kTables + quoted(publication, '\'') + " ORDER BY c.oid, a.attnum"));
  std::vector<Table> tables;
  std::shared_ptr<pgoutput::Relation> relation;
  for (const auto& row : table) {
    const auto oid = number_in<std::uint32_t>(row.at(0));
    if (!relation || relation->oid != oid) {
      relation = std::make_shared<pgoutput::Relation>();
      relation->oid = oid;
      relation->schema = row.at(1);
      relation->table = row.at(2);
      relation->replica_identity = row.at(3).empty() ? 'd' : row.at(3).front();
      tables.push_back({relation, row.at(4)});
    }
    pgoutput::Column column;
    column.name = row.at(5);
    column.type_oid = number_in<std::uint32_t>(row.at(6));
    column.type_modifier = number_in<std::int32_t>(row.at(7));
    column.is_key = row.at(8) == "t";
    relation->columns.push_back(std::move(column));
  }
  co_return tables;
}

Task<> SnapshotReader::select(const Table& table) {
  std::string columns;
  for (const auto& column : table.relation->columns)
    columns += (columns.empty() ? "" : ", ") + quoted(column.name, '"');
  impl_->column_count = static_cast<int>(table.relation->columns.size());
  auto statement = "DECLARE rows NO SCROLL CURSOR FOR SELECT " + columns + " FROM " +
                   quoted(table.relation->schema, '"') + "." + quoted(table.relation->table, '"');
  if (!table.row_filter.empty()) statement += " WHERE " + table.row_filter;
  CO_CHECK(co_await impl_->ask("CLOSE ALL"));
  CO_CHECK(co_await impl_->ask(std::move(statement)));
  impl_->at_end = false;
  co_return Result<void>{};
}

Task<std::vector<pgoutput::Tuple>> SnapshotReader::fetch(std::size_t bytes) {
  return in_time(impl_->answer_time, impl_->fetch(bytes));
}

Task<> SnapshotReader::Impl::ask_for_rows() {
  const auto text = "FETCH FORWARD " + std::to_string(kRowsAtOnce) + " FROM rows";
  if (!PQsendQuery(connection.get(), text.c_str()) || !PQsetSingleRowMode(connection.get())) co_return lost();
  CO_CHECK(co_await flush());
  sending = true;
  sent = 0;
  co_return Result<void>{};
}

Task<std::vector<pgoutput::Tuple>> SnapshotReader::Impl::fetch(std::size_t bytes) {
  rows.clear();
  std::size_t size = 0;
  while (!at_end && rows.size() < kRowsAtOnce && (rows.empty() || size < bytes)) {
    if (!sending) CO_CHECK(co_await ask_for_rows());
    CO_TRY(auto result, co_await next_result());
    if (!result) {
      sending = false;
      at_end = sent < kRowsAtOnce;
      continue;
    }
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) continue;  // the end of what was asked for
    if (status != PGRES_SINGLE_TUPLE) co_return fail(replication_refused(result.get()));
    if (PQnfields(result.get()) != column_count)
      co_return fail(errors::bad_replication, "a snapshot's rows have other columns than its table");
    for (int column = 0; column < column_count; ++column)
      size += static_cast<std::size_t>(PQgetlength(result.get(), 0, column));
    rows.push_back(std::move(result));
    ++sent;
  }
  std::vector<pgoutput::Tuple> tuples(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto* read = rows[row].get();
    tuples[row].reserve(static_cast<std::size_t>(column_count));
    for (int column = 0; column < column_count; ++column) {
      const std::string_view value(PQgetvalue(read, 0, column),
                                   static_cast<std::size_t>(PQgetlength(read, 0, column)));
      if (PQgetisnull(read, 0, column))
        tuples[row].push_back({pgoutput::ValueKind::null, {}});
      else
        tuples[row].push_back({pgoutput::ValueKind::text, value});
    }
  }
  co_return tuples;
}

}  // namespace intra365::postgres
