// A pool of PostgreSQL connections for one shard. Asio-native: no threads, no locks. Connections are made on
// demand, mended by themselves, and run several statements in one round trip (pipeline mode).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/circuit_breaker.hpp"
#include "postgres/copy_rows.hpp"
#include "postgres/query.hpp"

namespace intra365::postgres {

struct PoolOptions {
  std::string dsn;  ///< libpq connection string; secrets stay inside the process
  std::size_t max_connections = 8;
  std::size_t max_waiting = 4096;  ///< beyond it `postgres.pool_full`
  bool prepare = true;             ///< off behind a PgBouncer below 1.21
  /// Nobody between us and the server lends a connection to several clients: the scope of a call then stays
  /// in the connection and is sent only where it changes. Does nothing where the server's process id shows
  /// that somebody is there.
  bool direct = false;
  std::chrono::milliseconds connect_timeout{5000};
  /// A server that takes connections and does not answer: calls then fail at once until it does again.
  CircuitBreakerOptions breaker;
  std::chrono::milliseconds reconnect_wait{50}, reconnect_wait_max{2000};
  /// Called after every statement: name, duration, error or nullptr. The duration runs from sending (or from
  /// the result before it in the same pipeline) to the result; for a call that failed, from its start. Must
  /// not throw nor call the pool.
  std::function<void(std::string_view query, std::chrono::nanoseconds duration, const Error* error)> on_query;
};

class Pool;

/// An open transaction, with one connection to itself. Rolled back when it goes without `commit`, also when
/// the deadline given to `begin` passes inside a statement. One statement or pipeline at a time. After a
/// failed statement only `rollback` is left.
class Transaction {
 public:
  /// One that has ended already, only as a place to assign to.
  Transaction();
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  ~Transaction();
  Task<Rows> query(Query query, Parameters parameters);
  /// All in one round trip; the first error fails the transaction.
  Task<std::vector<Rows>> pipeline(std::vector<Statement> statements);
  /// Plain SQL without parameters, possibly several statements. The connection is closed afterwards, because
  /// a script may leave session settings behind.
  Task<> execute(std::string sql);
  /// Stores many rows for the price of few; returns how many. `query` is `copy … (columns) from stdin`. Call
  /// it once for each piece that memory should hold.
  Task<std::uint64_t> copy(Query query, CopyRows rows);
  /// Fails when an earlier statement did: nothing is stored then. After `postgres.unavailable` or
  /// `postgres.timeout` the outcome is unknown.
  Task<> commit();
  Task<> rollback();

 private:
  friend class Pool;
  struct Impl;
  explicit Transaction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The rows of one large result, a piece at a time, so that memory holds one piece only. A transaction of its
/// own with its connection: end it soon. Ended by `next` with nothing, by an error, or when it goes.
class RowStream {
 public:
  /// One that has ended already, only as a place to assign to.
  RowStream() = default;
  /// The next piece; empty behind the last row.
  Task<Rows> next();

 private:
  friend class Pool;
  RowStream(Transaction transaction, std::size_t rows, Rows first);
  Transaction transaction_;
  std::size_t rows_per_piece_ = 1;
  std::optional<Rows> first_;  ///< came with the beginning
  bool ended_ = true;
};

/// Who a statement acts for: sets `intra365.tenant` for row-level security, for this transaction only.
struct Scope {
  // Constructors, because g++ 12 destroys aggregate temporaries twice in a co_await expression.
  Scope() = default;
  explicit Scope(std::string tenant) : tenant(std::move(tenant)) {}
  std::string tenant;  ///< empty: no tenant, only tables without one
};

/// Used on its executor's thread only; destroy it before the io_context. One call has one connection at a
/// time, callers wait in order of arrival. A call fails with `postgres.unavailable` as soon as it is known
/// that no connection can be made, and nothing that may have reached the server is sent a second time.
/// Cancelling a call (asio cancellation) or its deadline cancels the statement in the server.
class Pool {
 public:
  Pool(asio::any_io_executor executor, PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// One statement in a transaction of its own under `scope`; begin, scope, statement and commit travel in
  /// one round trip. Cancelled in the server when `deadline` passes.
  Task<Rows> query(Scope scope, Query query, Parameters parameters, SteadyTime deadline);
  /// Several statements, one transaction, one round trip; all or nothing. Returns once committed.
  Task<std::vector<Rows>> atomically(Scope scope, std::vector<Statement> statements, SteadyTime deadline);
  /// A result of any size in pieces of `rows_per_piece`, through a cursor in the server. `query` is a select.
  /// The deadline holds for the whole stream.
  Task<RowStream> stream(Scope scope, Query query, Parameters parameters, std::size_t rows_per_piece,
                         SteadyTime deadline);
  /// For transactions whose later statements depend on earlier rows.
  Task<Transaction> begin(Scope scope, SteadyTime deadline);
  /// Plain SQL without parameters, possibly several statements (migrations), as one transaction. The
  /// connection is closed afterwards, because a script may leave session settings behind.
  Task<> execute(std::string sql, SteadyTime deadline);

  /// True when a connection is up, or one can be made now.
  Task<> ping(SteadyTime deadline);
  /// Fails everything that waits or runs, and closes the connections. Later calls fail.
  void close();
  std::size_t open_connections() const;
  /// False while the server is known to be away: calls fail at once with `postgres.unavailable`.
  bool reachable() const;

 private:
  friend class Transaction;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::postgres
