#include "postgres/replication.hpp"

#include <sstream>

#include "postgres/replication_connection.hpp"

namespace intra365::postgres {
namespace {

/// A text inside single quotes.
std::string quoted_text(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c;
    if (c == '\'') quoted += c;
  }
  return quoted + "'";
}

/// A name inside double quotes, itself inside a string literal of the replication grammar.
std::string quoted_name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    quoted += c;
    if (c == '"' || c == '\'') quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

struct ReplicationStream::Impl : ReplicationConnection {
  Impl(ReplicationOptions options, OpenConnection opened)
      : ReplicationConnection(std::move(opened), options.status_interval), options(std::move(options)) {}

  std::string start_command(Lsn from) const {
    auto text = "START_REPLICATION SLOT " + options.slot + " LOGICAL " + from.text() + " (proto_version '" +
                std::to_string(options.protocol_version) + "', publication_names '" +
                quoted_name(options.publication) + "'";
    if (options.logical_messages) text += ", messages 'true'";
    if (options.streaming)
      text += options.protocol_version >= 4 ? ", streaming 'parallel'" : ", streaming 'on'";
    if (options.two_phase) text += ", two_phase 'on'";
    return text + ")";
  }

  Task<ReplicationTable> ask(std::string text) {
    return in_time(options.answer_time, command(std::move(text)));
  }

  bool has_failover_slots() const { return PQserverVersion(connection.get()) >= 170000; }

  ReplicationOptions options;
};

ReplicationStream::ReplicationStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplicationStream::~ReplicationStream() = default;

Task<std::unique_ptr<ReplicationStream>> ReplicationStream::connect(asio::any_io_executor executor,
                                                                    ReplicationOptions options,
                                                                    SteadyTime deadline) {
  if (!is_slot_name(options.slot)) co_return fail(errors::invalid_value, "slot: not a name for a slot");
  CO_TRY(auto opened, co_await ReplicationConnection::open(executor, options.dsn, "intra365-cdc", deadline));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(opened));
  co_return std::unique_ptr<ReplicationStream>(new ReplicationStream(std::move(impl)));
}

Task<SystemIdentity> ReplicationStream::identify() {
  return in_time(impl_->options.answer_time, impl_->identify());
}

Task<std::optional<CreatedSlot>> ReplicationStream::create_slot() {
  auto text = "CREATE_REPLICATION_SLOT " + impl_->options.slot + " LOGICAL pgoutput (SNAPSHOT 'export'";
  if (impl_->options.two_phase) text += ", TWO_PHASE true";
  if (impl_->has_failover_slots()) text += ", FAILOVER true";
  const auto table = co_await in_time(impl_->options.slot_patience, impl_->command(text + ")"));
  if (!table && table.error().is(errors::slot_exists)) co_return std::nullopt;
  if (!table) co_return fail(table.error());
  if (table->size() != 1 || table->front().size() < 3) co_return fail(errors::bad_replication, "no slot");
  CreatedSlot slot;
  CO_TRY(slot.consistent_point, Lsn::parse(table->front()[1]));
  slot.snapshot = table->front()[2];
  co_return slot;
}

Task<> ReplicationStream::keep_slot_on_standbys() {
  if (!impl_->has_failover_slots()) co_return Result<void>{};
  CO_TRY(const auto table, co_await impl_->ask("SELECT 1 FROM pg_replication_slots WHERE NOT failover AND "
                                               "slot_name = " +
                                               quoted_text(impl_->options.slot)));
  if (table.empty()) co_return Result<void>{};
  CO_CHECK(co_await impl_->ask("ALTER_REPLICATION_SLOT " + impl_->options.slot + " (FAILOVER true)"));
  co_return Result<void>{};
}

Task<Lsn> ReplicationStream::slot_position() {
  CO_TRY(const auto table,
         co_await impl_->ask("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = " +
                             quoted_text(impl_->options.slot)));
  if (table.size() != 1) co_return fail(errors::slot_missing, impl_->options.slot);
  co_return Lsn::parse(table[0][0]);
}

Task<std::optional<Lsn>> ReplicationStream::left_timeline_at(std::uint64_t before, std::uint64_t now) {
  if (now < 2) co_return std::nullopt;  // the first has no history
  CO_TRY(const auto table, co_await impl_->ask("TIMELINE_HISTORY " + std::to_string(now)));
  if (table.size() != 1 || table[0].size() != 2)
    co_return fail(errors::bad_replication, "no timeline history");
  // Lines of: timeline, where it was left, why.
  std::istringstream lines(table[0][1]);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::uint64_t timeline = 0;
    std::string left_at;
    if (!(words >> timeline >> left_at) || timeline != before) continue;
    CO_TRY(const auto position, Lsn::parse(left_at));
    co_return position;
  }
  co_return std::nullopt;
}

Task<> ReplicationStream::drop_slot() {
  CO_CHECK(co_await impl_->ask("DROP_REPLICATION_SLOT " + impl_->options.slot + " WAIT"));
  co_return Result<void>{};
}

Task<SlotState> ReplicationStream::slot_state() {
  CO_TRY(const auto table,
         co_await impl_->ask("SELECT wal_status FROM pg_replication_slots WHERE slot_name = " +
                             quoted_text(impl_->options.slot)));
  if (table.empty()) co_return SlotState::missing;
  co_return table[0][0] == "lost" ? SlotState::lost : SlotState::usable;
}

Task<std::optional<std::vector<PublishedTable>>> ReplicationStream::published() {
  const auto name = quoted_text(impl_->options.publication);
  // A publication for all tables has no entry for each of them.
  CO_TRY(const auto table,
         co_await impl_->ask(
             "SELECT t.schemaname || '.' || t.tablename, coalesce(e.oid::text, '') || ' ' || "
             "coalesce(e.prattrs::text, '') || ' ' || coalesce(t.rowfilter, ''), coalesce(a.attname, '') "
             "FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname "
             "LEFT JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.schemaname) || '.' || "
             "quote_ident(t.tablename)) "
             "LEFT JOIN pg_publication_rel e ON e.prpubid = p.oid AND e.prrelid = c.oid "
             "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
             "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) "
             "WHERE p.pubname = " +
             name + " ORDER BY 1, a.attnum"));
  if (table.empty()) co_return std::nullopt;
  std::vector<PublishedTable> tables;
  for (const auto& row : table) {
    if (row[0].empty()) continue;
    if (tables.empty() || tables.back().name != row[0]) tables.push_back({row[0], row[1], {}});
    if (!row[2].empty()) tables.back().key.push_back(row[2]);
  }
  co_return tables;
}

Task<> ReplicationStream::start(Lsn from) {
  CO_CHECK(co_await impl_->ask(impl_->start_command(from)));
  impl_->confirmed = from;
  impl_->status_due = std::chrono::steady_clock::now();
  co_return Result<void>{};
}

Result<std::optional<ReplicationFrame>> ReplicationStream::try_next() {
  TRY(const auto piece, impl_->try_next());
  if (!piece) return std::nullopt;
  return ReplicationFrame{piece->start, piece->server_end, piece->payload};
}

Task<> ReplicationStream::wait(SteadyTime until) {
  return impl_->wait(until);
}

Result<void> ReplicationStream::keep_alive() {
  if (std::chrono::steady_clock::now() < impl_->status_due) return {};
  return impl_->send_status();
}

void ReplicationStream::interrupt() {
  impl_->timer.cancel();
}

void ReplicationStream::confirm(Lsn position) {
  impl_->confirmed = std::max(impl_->confirmed, position);
}
Lsn ReplicationStream::confirmed() const {
  return impl_->confirmed;
}
Lsn ReplicationStream::server_end() const {
  return impl_->server_end;
}
bool ReplicationStream::drained() const {
  return impl_->received >= impl_->server_end;
}

}  // namespace intra365::postgres
