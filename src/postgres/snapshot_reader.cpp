#include "postgres/snapshot_reader.hpp"

#include <charconv>
#include <cstring>

#include "postgres/errors.hpp"
#include "postgres/replication_connection.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

constexpr auto kConnectTime = std::chrono::seconds(10);

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
  explicit Impl(OpenConnection opened) : ReplicationConnection(std::move(opened), std::chrono::seconds(1)) {}

  Lsn point;
  Timestamp taken_at{};
  std::string columns;
  std::size_t column_count = 0;
  ResultPtr rows;
};

SnapshotReader::SnapshotReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SnapshotReader::~SnapshotReader() = default;

Task<std::unique_ptr<SnapshotReader>> SnapshotReader::open(asio::any_io_executor executor, std::string dsn,
                                                           std::string slot,
                                                           std::chrono::milliseconds patience) {
  if (!is_slot_name(slot)) co_return fail(errors::invalid_value, "slot: not a name for a slot");
  // The server itself gives up waiting: a connection that went away in the meantime would wait on.
  const auto settings = "-c lock_timeout=" + std::to_string(patience.count());
  CO_TRY(auto opened,
         co_await ReplicationConnection::open(executor, dsn, "intra365-snapshot",
                                              std::chrono::steady_clock::now() + kConnectTime, settings));
  auto impl = std::make_unique<Impl>(std::move(opened));
  CO_CHECK(co_await impl->command("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ"));
  const auto made = co_await impl->command("CREATE_REPLICATION_SLOT " + slot +
                                           " TEMPORARY LOGICAL pgoutput (SNAPSHOT 'use')");
  if (!made && made.error().is(errors::serialization))
    co_return fail(errors::timeout, "transactions that began before the snapshot are still open");
  if (!made) co_return fail(made.error());
  if (made->size() != 1 || made->front().size() < 3) co_return fail(errors::bad_replication, "no slot");
  CO_TRY(impl->point, Lsn::parse(made->front()[1]));
  impl->taken_at = std::chrono::time_point_cast<Timestamp::duration>(std::chrono::system_clock::now());
  co_return std::unique_ptr<SnapshotReader>(new SnapshotReader(std::move(impl)));
}

Lsn SnapshotReader::point() const {
  return impl_->point;
}
Timestamp SnapshotReader::taken_at() const {
  return impl_->taken_at;
}

Task<std::vector<SnapshotReader::Table>> SnapshotReader::tables(const std::string& publication) {
  CO_TRY(const auto table,
         co_await impl_->command(kTables + quoted(publication, '\'') + " ORDER BY c.oid, a.attnum"));
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
  impl_->column_count = table.relation->columns.size();
  auto statement = "DECLARE rows NO SCROLL CURSOR FOR SELECT " + columns + " FROM " +
                   quoted(table.relation->schema, '"') + "." + quoted(table.relation->table, '"');
  if (!table.row_filter.empty()) statement += " WHERE " + table.row_filter;
  CO_CHECK(co_await impl_->command("CLOSE ALL"));
  CO_CHECK(co_await impl_->command(std::move(statement)));
  co_return Result<void>{};
}

Task<std::vector<pgoutput::Tuple>> SnapshotReader::fetch(std::size_t rows) {
  const auto command = "FETCH FORWARD " + std::to_string(rows) + " FROM rows";
  if (!PQsendQuery(impl_->connection.get(), command.c_str())) co_return impl_->lost();
  CO_CHECK(co_await impl_->flush());
  std::optional<Error> error;
  for (;;) {
    CO_TRY(auto result, co_await impl_->next_result());
    if (!result) break;
    if (PQresultStatus(result.get()) == PGRES_TUPLES_OK)
      impl_->rows = std::move(result);
    else
      error = replication_refused(result.get());
  }
  if (error) co_return fail(*std::move(error));
  const auto* read = impl_->rows.get();
  if (read == nullptr || PQnfields(read) != static_cast<int>(impl_->column_count))
    co_return fail(errors::bad_replication, "a snapshot's rows have other columns than its table");
  std::vector<pgoutput::Tuple> tuples(static_cast<std::size_t>(PQntuples(read)));
  for (int row = 0; row < PQntuples(read); ++row) {
    auto& tuple = tuples[static_cast<std::size_t>(row)];
    tuple.reserve(impl_->column_count);
    for (int column = 0; column < PQnfields(read); ++column) {
      if (PQgetisnull(read, row, column)) {
        tuple.push_back({pgoutput::ValueKind::null, {}});
      } else {
        tuple.push_back(
            {pgoutput::ValueKind::text,
             {PQgetvalue(read, row, column), static_cast<std::size_t>(PQgetlength(read, row, column))}});
      }
    }
  }
  co_return tuples;
}

}  // namespace intra365::postgres
