#include "postgres/replication_connection.hpp"

#include <algorithm>
#include <charconv>

#include "postgres/errors.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

/// 2000-01-01, where PostgreSQL's clock begins.
constexpr auto kEpoch = std::chrono::seconds(946'684'800);

template <class T>
void put(std::string& into, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
    into += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xff);
}

std::uint64_t read_number(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

Timestamp read_time(std::string_view bytes) {
  const auto since = std::chrono::microseconds(static_cast<std::int64_t>(read_number(bytes)));
  return Timestamp(std::chrono::duration_cast<Timestamp::duration>(since + kEpoch));
}

}  // namespace

bool is_slot_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Error replication_refused(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view sqlstate = state ? state : "";
  const auto message = one_line(PQresultErrorMessage(result));
  if (sqlstate == "42710") return Error(errors::slot_exists);
  if (sqlstate == "55006") return Error(errors::slot_busy);
  if (sqlstate == "42704" || sqlstate == "55000") return Error(errors::slot_missing, message);
  if (sqlstate == "58P01") return Error(errors::log_removed, message);
  return Error(error_code(sqlstate), message);
}

Task<OpenConnection> ReplicationConnection::open(asio::any_io_executor executor, const std::string& dsn,
                                                 const char* application_name, SteadyTime deadline,
                                                 const std::string& settings) {
  CO_TRY(auto target, parse_dsn(dsn));
  target.set("replication", "database");
  target.set_default("application_name", application_name);
  // Texts of times depend on these two; a replication connection never goes through a pooler that minds.
  target.set("options", "-c timezone=UTC -c datestyle=ISO " + settings);
  co_return co_await with_deadline(deadline, open_connection(executor, std::move(target)));
}

void ReplicationConnection::forget() {
  if (buffer != nullptr) PQfreemem(buffer);
  buffer = nullptr;
}

Failure ReplicationConnection::lost() const {
  const auto* message = PQerrorMessage(connection.get());
  return fail(errors::unavailable, "the replication connection was lost: " + one_line(message));
}

Task<> ReplicationConnection::flush() {
  for (;;) {
    const int left = PQflush(connection.get());
    if (left < 0) co_return lost();
    if (left == 0) co_return Result<void>{};
    co_await socket.async_wait(asio::posix::descriptor_base::wait_write, asio::use_awaitable);
  }
}

Task<ResultPtr> ReplicationConnection::next_result() {
  while (PQisBusy(connection.get())) {
    co_await socket.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
    if (!PQconsumeInput(connection.get())) co_return lost();
  }
  co_return ResultPtr(PQgetResult(connection.get()));
}

Task<ReplicationTable> ReplicationConnection::command(std::string text) {
  if (!PQsendQuery(connection.get(), text.c_str())) co_return lost();
  CO_CHECK(co_await flush());
  ReplicationTable table;
  std::optional<Error> error;
  for (;;) {
    CO_TRY(const auto result, co_await next_result());
    if (!result) break;
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COPY_BOTH) co_return table;  // the stream has begun; there is no end to wait for
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) error = replication_refused(result.get());
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      auto& values = table.emplace_back();
      for (int column = 0; column < PQnfields(result.get()); ++column)
        values.emplace_back(PQgetvalue(result.get(), row, column),
                            static_cast<std::size_t>(PQgetlength(result.get(), row, column)));
    }
  }
  if (error) co_return fail(*std::move(error));
  co_return table;
}

Task<SystemIdentity> ReplicationConnection::identify() {
  CO_TRY(const auto table, co_await command("IDENTIFY_SYSTEM"));
  if (table.size() != 1 || table[0].size() < 4) co_return fail(errors::bad_replication, "no identity");
  SystemIdentity identity;
  identity.system_id = table[0][0];
  std::from_chars(table[0][1].data(), table[0][1].data() + table[0][1].size(), identity.timeline);
  CO_TRY(identity.end, Lsn::parse(table[0][2]));
  identity.database = table[0][3];
  co_return identity;
}

Result<void> ReplicationConnection::send_status(bool answer) {
  std::string status = "r";
  put(status, confirmed.value);
  put(status, confirmed.value);
  put(status, confirmed.value);
  put(status, std::chrono::duration_cast<std::chrono::microseconds>(
                  std::chrono::system_clock::now().time_since_epoch() - kEpoch)
                  .count());
  status += answer ? '\1' : '\0';
  const int sent = PQputCopyData(connection.get(), status.data(), static_cast<int>(status.size()));
  if (sent < 0 || PQflush(connection.get()) < 0) return lost();
  if (sent == 0) return {};  // the socket is full; the next status says the same or more
  status_due = std::chrono::steady_clock::now() + status_interval;
  told = confirmed;
  return {};
}

Error ReplicationConnection::end_of_stream() {
  const ResultPtr result(PQgetResult(connection.get()));
  if (result && PQresultStatus(result.get()) == PGRES_FATAL_ERROR) return replication_refused(result.get());
  return Error(errors::unavailable, "the server ended the replication stream");
}

Result<std::optional<LogPiece>> ReplicationConnection::take(std::string_view message) {
  if (message.size() >= 25 && message[0] == 'w') {
    LogPiece piece{Lsn{read_number(message.substr(1))}, Lsn{read_number(message.substr(9))},
                   message.substr(25)};
    server_end = std::max(server_end, piece.server_end);
    received = std::max(received, piece.start);
    server_time = read_time(message.substr(17));
    return piece;
  }
  if (message.size() == 18 && message[0] == 'k') {
    server_end = std::max(server_end, Lsn{read_number(message.substr(1))});
    received = server_end;
    server_time = read_time(message.substr(9));
    if (message[17] != 0) CHECK(send_status());
    return std::nullopt;
  }
  return fail(errors::bad_replication, "neither data nor keepalive");
}

Result<std::optional<LogPiece>> ReplicationConnection::try_next() {
  for (;;) {
    forget();
    const int size = PQgetCopyData(connection.get(), &buffer, 1);
    if (size == 0) return std::nullopt;
    if (size == -1) return fail(end_of_stream());
    if (size < 0) return lost();
    TRY(auto piece, take({buffer, static_cast<std::size_t>(size)}));
    if (piece) return piece;
  }
}

Task<> ReplicationConnection::wait(SteadyTime until) {
  if (std::chrono::steady_clock::now() >= status_due || told < confirmed)
    CO_CHECK(send_status(ask_for_answers));
  using namespace asio::experimental::awaitable_operators;
  timer.expires_at(std::min(until, status_due));
  boost::system::error_code read_error, timer_error;
  const auto first = co_await (socket.async_wait(asio::posix::descriptor_base::wait_read,
                                                 asio::redirect_error(asio::use_awaitable, read_error)) ||
                               timer.async_wait(asio::redirect_error(asio::use_awaitable, timer_error)));
  if (first.index() == 0 && read_error) co_return fail(errors::unavailable, read_error.message());
  if (!PQconsumeInput(connection.get())) co_return lost();
  co_return Result<void>{};
}

}  // namespace intra365::postgres
