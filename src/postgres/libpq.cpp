#include "postgres/libpq.hpp"

#include <fcntl.h>

#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

/// Not inherited by child processes.
Result<int> duplicate(int socket) {
  const int copy = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail(errors::unavailable, "out of file descriptors for database connections");
  return copy;
}

}  // namespace

Failure connection_failure(PGconn* connection) {
  return fail(errors::unavailable, "cannot connect to the database: " + one_line(PQerrorMessage(connection)));
}

Task<OpenConnection> open_connection(asio::any_io_executor executor, ConnectionTarget target) {
  CO_TRY(const auto resolved, co_await resolve_hosts(std::move(target)));
  std::vector<const char*> keywords, values;
  for (const auto& keyword : resolved.keywords) keywords.push_back(keyword.c_str());
  for (const auto& value : resolved.values) values.push_back(value.c_str());
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  ConnectionPtr owned(PQconnectStartParams(keywords.data(), values.data(), 0));
  PGconn* const connection = owned.get();
  if (!connection) co_return fail(errors::unavailable, "out of memory for a database connection");
  PQsetNoticeProcessor(
      connection, [](void*, const char*) {}, nullptr);

  auto need = PQstatus(connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (need == PGRES_POLLING_READING || need == PGRES_POLLING_WRITING) {
    // libpq may go on to another address or protocol with a new socket after each step.
    CO_TRY(const int descriptor, duplicate(PQsocket(connection)));
    asio::posix::stream_descriptor socket(executor, descriptor);
    const auto direction = need == PGRES_POLLING_READING ? asio::posix::descriptor_base::wait_read
                                                         : asio::posix::descriptor_base::wait_write;
    co_await socket.async_wait(direction, asio::use_awaitable);
    need = PQconnectPoll(connection);
  }
  if (need != PGRES_POLLING_OK || PQsetnonblocking(connection, 1) != 0)
    co_return connection_failure(connection);
  CO_TRY(const int descriptor, duplicate(PQsocket(connection)));
  co_return OpenConnection{std::move(owned), asio::posix::stream_descriptor(executor, descriptor)};
}

}  // namespace intra365::postgres
