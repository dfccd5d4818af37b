#include "postgres/replication.hpp"

#include <algorithm>
#include <charconv>

#include "postgres/libpq.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

/// 2000-01-01, where PostgreSQL's clock begins.
constexpr auto kEpoch = std::chrono::seconds(946'684'800);

using Table = std::vector<std::vector<std::string>>;

bool is_slot_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
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

Error refused(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view sqlstate = state ? state : "";
  const auto message = one_line(PQresultErrorMessage(result));
  if (sqlstate == "42710") return Error(errors::slot_exists);
  if (sqlstate == "55006") return Error(errors::slot_busy);
  if (sqlstate == "42704" || sqlstate == "55000") return Error(errors::slot_missing, message);
  return Error(error_code(sqlstate), message);
}

}  // namespace

struct ReplicationStream::Impl {
  Impl(ReplicationOptions options, OpenConnection opened)
      : options(std::move(options)),
        connection(std::move(opened.connection)),
        socket(std::move(opened.socket)),
        timer(socket.get_executor()) {}
  ~Impl() { forget(); }

  void forget() {
    if (buffer != nullptr) PQfreemem(buffer);
    buffer = nullptr;
  }

  Failure lost() const {
    const auto* message = PQerrorMessage(connection.get());
    return fail(errors::unavailable, "the replication connection was lost: " + one_line(message));
  }

  Task<> flush() {
    for (;;) {
      const int left = PQflush(connection.get());
      if (left < 0) co_return lost();
      if (left == 0) co_return Result<void>{};
      co_await socket.async_wait(asio::posix::descriptor_base::wait_write, asio::use_awaitable);
    }
  }

  Task<ResultPtr> next_result() {
    while (PQisBusy(connection.get())) {
      co_await socket.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
      if (!PQconsumeInput(connection.get())) co_return lost();
    }
    co_return ResultPtr(PQgetResult(connection.get()));
  }

  /// One command of the replication grammar and its rows.
  Task<Table> command(std::string text) {
    if (!PQsendQuery(connection.get(), text.c_str())) co_return lost();
    CO_CHECK(co_await flush());
    Table table;
    std::optional<Error> error;
    for (;;) {
      CO_TRY(const auto result, co_await next_result());
      if (!result) break;
      const auto status = PQresultStatus(result.get());
      if (status == PGRES_COPY_BOTH) co_return table;  // the stream has begun; there is no end to wait for
      if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) error = refused(result.get());
      for (int row = 0; row < PQntuples(result.get()); ++row) {
        auto& values = table.emplace_back();
        for (int column = 0; column < PQnfields(result.get()); ++column)
          values.emplace_back(PQgetvalue(result.get(), row, column));
      }
    }
    if (error) co_return fail(*std::move(error));
    co_return table;
  }

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

  Result<void> send_status() {
    std::string status = "r";
    put(status, confirmed.value);
    put(status, confirmed.value);
    put(status, confirmed.value);
    put(status, std::chrono::duration_cast<std::chrono::microseconds>(
                    std::chrono::system_clock::now().time_since_epoch() - kEpoch)
                    .count());
    status += '\0';
    const int sent = PQputCopyData(connection.get(), status.data(), static_cast<int>(status.size()));
    if (sent < 0 || PQflush(connection.get()) < 0) return lost();
    if (sent == 0) return {};  // the socket is full; the next status says the same or more
    status_due = std::chrono::steady_clock::now() + options.status_interval;
    told = confirmed;
    return {};
  }

  /// Why the stream ended, when PQgetCopyData says that it did.
  Error end_of_stream() {
    const ResultPtr result(PQgetResult(connection.get()));
    if (result && PQresultStatus(result.get()) == PGRES_FATAL_ERROR) return refused(result.get());
    return Error(errors::unavailable, "the server ended the replication stream");
  }

  Result<std::optional<ReplicationFrame>> take(std::string_view message) {
    if (message.size() >= 25 && message[0] == 'w') {
      ReplicationFrame frame{Lsn{read_number(message.substr(1))}, Lsn{read_number(message.substr(9))},
                             message.substr(25)};
      server_end = std::max(server_end, frame.server_end);
      received = std::max(received, frame.start);
      return frame;
    }
    if (message.size() == 18 && message[0] == 'k') {
      server_end = std::max(server_end, Lsn{read_number(message.substr(1))});
      received = server_end;
      if (message[17] != 0) CHECK(send_status());
      return std::nullopt;
    }
    return fail(errors::bad_replication, "neither data nor keepalive");
  }

  ReplicationOptions options;
  ConnectionPtr connection;
  asio::posix::stream_descriptor socket;
  asio::steady_timer timer;
  char* buffer = nullptr;  ///< the frame that the caller looks at
  Lsn confirmed, told, server_end, received;
  SteadyTime status_due{};
};

ReplicationStream::ReplicationStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplicationStream::~ReplicationStream() = default;

Task<std::unique_ptr<ReplicationStream>> ReplicationStream::connect(asio::any_io_executor executor,
                                                                    ReplicationOptions options,
                                                                    SteadyTime deadline) {
  if (!is_slot_name(options.slot)) co_return fail(errors::invalid_value, "slot: not a name for a slot");
  CO_TRY(auto target, parse_dsn(options.dsn));
  target.set("replication", "database");
  target.set_default("application_name", "intra365-cdc");
  // Texts of times depend on these two; a replication connection never goes through a pooler that minds.
  target.set("options", "-c timezone=UTC -c datestyle=ISO");
  CO_TRY(auto opened, co_await with_deadline(deadline, open_connection(executor, std::move(target))));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(opened));
  co_return std::unique_ptr<ReplicationStream>(new ReplicationStream(std::move(impl)));
}

Task<SystemIdentity> ReplicationStream::identify() {
  CO_TRY(const auto table, co_await impl_->command("IDENTIFY_SYSTEM"));
  if (table.size() != 1 || table[0].size() < 4) co_return fail(errors::bad_replication, "no identity");
  SystemIdentity identity;
  identity.system_id = table[0][0];
  std::from_chars(table[0][1].data(), table[0][1].data() + table[0][1].size(), identity.timeline);
  CO_TRY(identity.end, Lsn::parse(table[0][2]));
  identity.database = table[0][3];
  co_return identity;
}

Task<std::optional<CreatedSlot>> ReplicationStream::create_slot(bool failover) {
  auto text = "CREATE_REPLICATION_SLOT " + impl_->options.slot + " LOGICAL pgoutput (SNAPSHOT 'export'";
  if (impl_->options.two_phase) text += ", TWO_PHASE true";
  if (failover) text += ", FAILOVER true";
  const auto table = co_await impl_->command(text + ")");
  if (!table && table.error().is(errors::slot_exists)) co_return std::nullopt;
  if (!table) co_return fail(table.error());
  if (table->size() != 1 || table->front().size() < 3) co_return fail(errors::bad_replication, "no slot");
  CreatedSlot slot;
  CO_TRY(slot.consistent_point, Lsn::parse(table->front()[1]));
  slot.snapshot = table->front()[2];
  co_return slot;
}

Task<> ReplicationStream::drop_slot() {
  CO_CHECK(co_await impl_->command("DROP_REPLICATION_SLOT " + impl_->options.slot + " WAIT"));
  co_return Result<void>{};
}

Task<> ReplicationStream::start(Lsn from) {
  CO_CHECK(co_await impl_->command(impl_->start_command(from)));
  impl_->confirmed = from;
  impl_->status_due = std::chrono::steady_clock::now();
  co_return Result<void>{};
}

Result<std::optional<ReplicationFrame>> ReplicationStream::try_next() {
  for (;;) {
    impl_->forget();
    const int size = PQgetCopyData(impl_->connection.get(), &impl_->buffer, 1);
    if (size == 0) return std::nullopt;
    if (size == -1) return fail(impl_->end_of_stream());
    if (size < 0) return impl_->lost();
    TRY(auto frame, impl_->take({impl_->buffer, static_cast<std::size_t>(size)}));
    if (frame) return frame;
  }
}

Task<> ReplicationStream::wait(SteadyTime until) {
  if (std::chrono::steady_clock::now() >= impl_->status_due || impl_->told < impl_->confirmed)
    CO_CHECK(impl_->send_status());
  using namespace asio::experimental::awaitable_operators;
  impl_->timer.expires_at(std::min(until, impl_->status_due));
  boost::system::error_code read_error, timer_error;
  const auto first =
      co_await (impl_->socket.async_wait(asio::posix::descriptor_base::wait_read,
                                         asio::redirect_error(asio::use_awaitable, read_error)) ||
                impl_->timer.async_wait(asio::redirect_error(asio::use_awaitable, timer_error)));
  if (first.index() == 0 && read_error) co_return fail(errors::unavailable, read_error.message());
  if (!PQconsumeInput(impl_->connection.get())) co_return impl_->lost();
  co_return Result<void>{};
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
