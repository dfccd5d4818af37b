// https://www.postgresql.org/docs/current/protocol-replication.html: BASE_BACKUP, START_REPLICATION PHYSICAL.
#include "postgres/physical.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "postgres/replication_connection.hpp"

namespace intra365::postgres {
namespace {

bool is_setting_name(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

/// A string literal of the replication grammar.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += c;
    result += c;
  }
  return result + "'";
}

/// A text that ends with a zero byte; takes it off `bytes`.
Result<std::string_view> take_text(std::string_view& bytes) {
  const auto end = bytes.find('\0');
  if (end == std::string_view::npos) return fail(errors::bad_replication, "base backup: a name without end");
  const auto text = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  return text;
}

/// One message of the backup's stream.
Result<void> deliver(BaseBackupSink& sink, std::string_view message) {
  if (message.empty()) return fail(errors::bad_replication, "base backup: an empty message");
  const char kind = message.front();
  message.remove_prefix(1);
  if (kind == 'd') return sink.data(message);
  if (kind == 'm') return sink.begin_manifest();
  if (kind == 'p') return {};
  if (kind != 'n') return fail(errors::bad_replication, "base backup: a message of an unknown kind");
  TRY(const auto name, take_text(message));
  TRY(const auto tablespace, take_text(message));
  return sink.begin_archive(name, tablespace);
}

/// The position in a result of one row (position, timeline).
Result<Lsn> position_of(const PGresult* result, std::uint64_t* timeline) {
  if (PQntuples(result) != 1 || PQnfields(result) < 2)
    return fail(errors::bad_replication, "base backup: no position");
  if (timeline != nullptr) {
    const char* text = PQgetvalue(result, 0, 1);
    std::from_chars(text, text + std::strlen(text), *timeline);
  }
  return Lsn::parse(PQgetvalue(result, 0, 0));
}

}  // namespace

struct PhysicalLog::Impl : ReplicationConnection {
  Impl(PhysicalOptions options, OpenConnection opened)
      : ReplicationConnection(std::move(opened), options.status_interval), options(std::move(options)) {
    ask_for_answers = true;
  }

  /// The COPY of a base backup, to its end.
  Task<> receive(BaseBackupSink& sink) {
    for (;;) {
      forget();
      const int size = PQgetCopyData(connection.get(), &buffer, 1);
      if (size == -1) co_return Result<void>{};
      if (size < -1) co_return lost();
      if (size > 0) {
        CO_CHECK(deliver(sink, {buffer, static_cast<std::size_t>(size)}));
        continue;
      }
      co_await socket.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
      if (!PQconsumeInput(connection.get())) co_return lost();
    }
  }

  PhysicalOptions options;
};

PhysicalLog::PhysicalLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PhysicalLog::~PhysicalLog() = default;

Task<std::unique_ptr<PhysicalLog>> PhysicalLog::connect(asio::any_io_executor executor,
                                                        PhysicalOptions options, SteadyTime deadline) {
  if (!is_slot_name(options.slot)) co_return fail(errors::invalid_value, "slot: not a name for a slot");
  CO_TRY(auto opened,
         co_await ReplicationConnection::open(executor, options.dsn, "intra365-backup", deadline));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(opened));
  co_return std::unique_ptr<PhysicalLog>(new PhysicalLog(std::move(impl)));
}

Task<SystemIdentity> PhysicalLog::identify() {
  return impl_->identify();
}

Task<std::string> PhysicalLog::setting(std::string name) {
  if (!is_setting_name(name)) co_return fail(errors::invalid_value, "not the name of a setting");
  CO_TRY(auto table, co_await impl_->command("SHOW " + name));
  if (table.size() != 1 || table[0].empty()) co_return fail(errors::bad_replication, "no setting");
  co_return std::move(table[0][0]);
}

Task<Timestamp> PhysicalLog::clock() {
  CO_TRY(const auto table,
         co_await impl_->command("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"));
  std::int64_t microseconds = 0;
  if (table.size() == 1 && !table[0].empty())
    std::from_chars(table[0][0].data(), table[0][0].data() + table[0][0].size(), microseconds);
  if (microseconds <= 0) co_return fail(errors::bad_replication, "no clock");
  co_return Timestamp(std::chrono::microseconds(microseconds));
}

Task<bool> PhysicalLog::create_slot() {
  const auto made =
      co_await impl_->command("CREATE_REPLICATION_SLOT " + impl_->options.slot + " PHYSICAL (RESERVE_WAL)");
  if (made) co_return true;
  if (made.error().is(errors::slot_exists)) co_return false;
  co_return fail(made.error());
}

Task<> PhysicalLog::drop_slot() {
  CO_CHECK(co_await impl_->command("DROP_REPLICATION_SLOT " + impl_->options.slot + " WAIT"));
  co_return Result<void>{};
}

Task<std::string> PhysicalLog::history(std::uint64_t timeline) {
  CO_TRY(auto table, co_await impl_->command("TIMELINE_HISTORY " + std::to_string(timeline)));
  if (table.size() != 1 || table[0].size() < 2) co_return fail(errors::bad_replication, "no history");
  co_return std::move(table[0][1]);
}

Task<BaseBackup> PhysicalLog::base_backup(BaseBackupSink& sink, std::string label) {
  const auto text = "BASE_BACKUP (LABEL " + quoted(label) +
                    ", CHECKPOINT 'fast', WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')";
  if (!PQsendQuery(impl_->connection.get(), text.c_str())) co_return impl_->lost();
  CO_CHECK(co_await impl_->flush());
  BaseBackup backup;
  std::optional<Error> error;
  // Results come in this order: where it starts, the tablespaces, the files, where it ends.
  int tables = 0;
  for (;;) {
    CO_TRY(auto result, co_await impl_->next_result());
    if (!result) break;
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COPY_OUT) {
      CO_CHECK(co_await impl_->receive(sink));
    } else if (status == PGRES_TUPLES_OK) {
      ++tables;
      if (tables == 1) {
        CO_TRY(backup.start, position_of(result.get(), &backup.timeline));
      } else if (tables == 3) {
        CO_TRY(backup.end, position_of(result.get(), nullptr));
      }
    } else if (status != PGRES_COMMAND_OK && !error) {
      error = replication_refused(result.get());
    }
  }
  if (error) co_return fail(*std::move(error));
  if (tables != 3 || backup.timeline == 0) co_return fail(errors::bad_replication, "base backup: not whole");
  co_return backup;
}

Task<> PhysicalLog::start(Lsn from, std::uint64_t timeline) {
  CO_CHECK(co_await impl_->command("START_REPLICATION SLOT " + impl_->options.slot + " PHYSICAL " +
                                   from.text() + " TIMELINE " + std::to_string(timeline)));
  impl_->confirmed = from;
  impl_->status_due = std::chrono::steady_clock::now();
  co_return Result<void>{};
}

Result<std::optional<LogBytes>> PhysicalLog::try_next() {
  TRY(const auto piece, impl_->try_next());
  if (!piece) return std::nullopt;
  return LogBytes{piece->start, piece->payload};
}

Task<> PhysicalLog::wait(SteadyTime until) {
  return impl_->wait(until);
}
void PhysicalLog::confirm(Lsn position) {
  impl_->confirmed = std::max(impl_->confirmed, position);
}
Lsn PhysicalLog::server_end() const {
  return impl_->server_end;
}
Timestamp PhysicalLog::server_time() const {
  return impl_->server_time;
}

}  // namespace intra365::postgres
