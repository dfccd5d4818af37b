// How a connection comes up: libpq's connection poll, driven by the loop.
#include <fcntl.h>

#include "postgres/session.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

/// A descriptor of our own for libpq's socket. Not inherited by child processes.
Result<int> duplicate(int socket) {
  const int copy = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail(errors::unavailable, "out of file descriptors for database connections");
  return copy;
}

Failure cannot_connect(PGconn* connection) {
  return fail(errors::unavailable, "cannot connect to the database: " + one_line(PQerrorMessage(connection)));
}

std::string_view parameter(PGconn* connection, const char* name) {
  const char* value = PQparameterStatus(connection, name);
  return value ? value : "";
}

}  // namespace

Task<> Session::connect(std::shared_ptr<Session> self, ConnectionTarget target) {
  CO_TRY(const auto resolved, co_await resolve_hosts(std::move(target)));
  std::vector<const char*> keywords, values;
  for (const auto& keyword : resolved.keywords) keywords.push_back(keyword.c_str());
  for (const auto& value : resolved.values) values.push_back(value.c_str());
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  self->connection_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
  PGconn* const connection = self->connection_.get();
  if (!connection) co_return fail(errors::unavailable, "out of memory for a database connection");
  PQsetNoticeProcessor(
      connection, [](void*, const char*) {}, nullptr);

  auto need = PQstatus(connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (need == PGRES_POLLING_READING || need == PGRES_POLLING_WRITING) {
    // libpq may go on to another address or protocol with a new socket after each step.
    CO_TRY(const int descriptor, duplicate(PQsocket(connection)));
    asio::posix::stream_descriptor socket(self->executor_, descriptor);
    const auto direction = need == PGRES_POLLING_READING ? asio::posix::descriptor_base::wait_read
                                                         : asio::posix::descriptor_base::wait_write;
    co_await socket.async_wait(direction, asio::use_awaitable);
    need = PQconnectPoll(connection);
  }
  if (need != PGRES_POLLING_OK) co_return cannot_connect(connection);

  if (PQsetnonblocking(connection, 1) != 0) co_return cannot_connect(connection);
  CO_TRY(const int descriptor, duplicate(PQsocket(connection)));
  self->socket_.assign(descriptor);

  // Text forms of times depend on these two. Set by a statement, not as a start-up option, because
  // PgBouncer refuses `options` but follows both of these.
  if (parameter(connection, "TimeZone") != "UTC" || !parameter(connection, "DateStyle").starts_with("ISO")) {
    if (!PQsendQuery(connection, "set timezone = 'UTC'; set datestyle = 'ISO'"))
      co_return cannot_connect(connection);
    for (;;) {
      while (PQisBusy(connection)) {
        co_await self->socket_.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
        if (!PQconsumeInput(connection)) co_return cannot_connect(connection);
      }
      const ResultPtr result(PQgetResult(connection));
      if (!result) break;
      if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) co_return cannot_connect(connection);
    }
  }
  if (!PQenterPipelineMode(connection)) co_return cannot_connect(connection);
  co_return Result<void>{};
}

}  // namespace intra365::postgres
