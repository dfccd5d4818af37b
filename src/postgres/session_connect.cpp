// How a connection is set up once it is open.
#include "postgres/session.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

std::string_view parameter(PGconn* connection, const char* name) {
  const char* value = PQparameterStatus(connection, name);
  return value ? value : "";
}

}  // namespace

Task<> Session::connect(std::shared_ptr<Session> self, ConnectionTarget target) {
  CO_TRY(auto opened, co_await open_connection(self->executor_, std::move(target)));
  self->connection_ = std::move(opened.connection);
  self->socket_ = std::move(opened.socket);
  PGconn* const connection = self->connection_.get();

  // Text forms of times depend on these two. Set by a statement, not as a start-up option, because
  // PgBouncer refuses `options` but follows both of these.
  const bool direct = self->owner_ != nullptr && self->owner_->options().direct;
  if (direct || parameter(connection, "TimeZone") != "UTC" ||
      !parameter(connection, "DateStyle").starts_with("ISO")) {
    // Whoever lends connections gives their clients numbers of its own in place of the process's.
    if (!PQsendQuery(connection, direct
                                     ? "set timezone = 'UTC'; set datestyle = 'ISO'; select pg_backend_pid()"
                                     : "set timezone = 'UTC'; set datestyle = 'ISO'"))
      co_return connection_failure(connection);
    for (;;) {
      while (PQisBusy(connection)) {
        co_await self->socket_.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
        if (!PQconsumeInput(connection)) co_return connection_failure(connection);
      }
      const ResultPtr result(PQgetResult(connection));
      if (!result) break;
      const auto status = PQresultStatus(result.get());
      if (status == PGRES_TUPLES_OK && PQntuples(result.get()) == 1)
        self->direct_ = std::to_string(PQbackendPID(connection)) == PQgetvalue(result.get(), 0, 0);
      else if (status != PGRES_COMMAND_OK)
        co_return connection_failure(connection);
    }
  }
  if (!PQenterPipelineMode(connection)) co_return connection_failure(connection);
  co_return Result<void>{};
}

}  // namespace intra365::postgres
