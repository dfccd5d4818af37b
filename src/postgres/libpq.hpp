// Owning handles of libpq, and how a connection comes up driven by the loop; for this folder only.
#pragma once
#include <libpq-fe.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>

#include "postgres/conninfo.hpp"

namespace intra365::postgres {

struct ConnectionDeleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using ConnectionPtr = std::unique_ptr<PGconn, ConnectionDeleter>;

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ResultDeleter>;

/// A connection in non-blocking mode with a descriptor of our own for its socket, so that each closes its
/// own.
struct OpenConnection {
  ConnectionPtr connection;
  asio::posix::stream_descriptor socket;
};

/// Connects without blocking the loop. Fails with `postgres.unavailable`.
Task<OpenConnection> open_connection(asio::any_io_executor executor, ConnectionTarget target);

/// `postgres.unavailable` with libpq's message on one line; libpq never puts a password there.
Failure connection_failure(PGconn* connection);

}  // namespace intra365::postgres
