#include "postgres/listener.hpp"

#include <algorithm>

#include "async/task.hpp"
#include "postgres/libpq.hpp"

namespace intra365::postgres {
namespace {

using namespace std::chrono_literals;

constexpr auto kConnectTime = 10s;
constexpr std::size_t kMaxChannel = 63;
constexpr int kMostDoublings = 6;
constexpr auto kRetry = 50ms;  ///< doubled with each failure, up to 3.2 s

struct NotifyDeleter {
  void operator()(PGnotify* notify) const { PQfreemem(notify); }
};

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text + '"';
}

bool is_channel(const std::string& name) {
  return !name.empty() && name.size() <= kMaxChannel && name.find('\0') == std::string::npos;
}

}  // namespace

struct Listener::Connection {
  explicit Connection(OpenConnection opened) : open(std::move(opened)) {}
  OpenConnection open;

  PGconn* get() const { return open.connection.get(); }
  auto readable() {
    return open.socket.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
  }
};

Listener::Listener(asio::any_io_executor executor, std::string dsn, std::vector<std::string> channels)
    : executor_(std::move(executor)), dsn_(std::move(dsn)), channels_(std::move(channels)) {}
Listener::~Listener() = default;

Task<> Listener::connect() {
  CO_TRY(auto target, parse_dsn(dsn_));
  CO_TRY(auto opened, co_await open_connection(executor_, std::move(target)));
  auto connection = std::make_unique<Connection>(std::move(opened));
  std::string sql;
  for (const auto& channel : channels_) sql += "listen " + quoted(channel) + ";";
  if (!PQsendQuery(connection->get(), sql.c_str())) co_return connection_failure(connection->get());
  while (PQflush(connection->get()) > 0)
    co_await connection->open.socket.async_wait(asio::posix::descriptor_base::wait_write,
                                                asio::use_awaitable);
  for (;;) {
    while (PQisBusy(connection->get())) {
      co_await connection->readable();
      if (!PQconsumeInput(connection->get())) co_return connection_failure(connection->get());
    }
    const ResultPtr result(PQgetResult(connection->get()));
    if (!result) break;
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) co_return connection_failure(connection->get());
  }
  connection_ = std::move(connection);
  co_return Result<void>{};
}

Task<std::optional<Notification>> Listener::next() {
  if (channels_.empty() || !std::ranges::all_of(channels_, is_channel))
    co_return fail(errors::invalid_value, "a channel has 1 to 63 bytes");
  for (;;) {
    if (!connection_) {
      const auto connected =
          co_await with_deadline(std::chrono::steady_clock::now() + kConnectTime, connect());
      if (connected) {
        failures_ = 0;
        trouble_.reset();
        co_return std::nullopt;
      }
      trouble_ = connected.error();
      co_await sleep_for(kRetry * (1 << std::min(failures_++, kMostDoublings)));
      continue;
    }
    if (const std::unique_ptr<PGnotify, NotifyDeleter> notify(PQnotifies(connection_->get())); notify)
      co_return Notification{notify->relname, notify->extra};
    co_await connection_->readable();
    if (!PQconsumeInput(connection_->get())) connection_.reset();
  }
}

}  // namespace intra365::postgres
