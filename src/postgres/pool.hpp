// A pool of PostgreSQL connections for one shard. Asio-native: no threads, no locks. Connections are made on
// demand, mended by themselves, and run several statements in one round trip (pipeline mode).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/query.hpp"

namespace intra365::postgres {

struct PoolOptions {
  std::string dsn;                 ///< libpq connection string; secrets stay inside the process
  std::size_t max_connections = 8;
  std::size_t max_waiting = 4096;  ///< beyond it `postgres.pool_full`
  bool prepare = true;             ///< off behind a PgBouncer below 1.21
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds reconnect_wait{50}, reconnect_wait_max{2000};
  /// Called after every statement: name, duration, error or nullptr.
  std::function<void(std::string_view query, std::chrono::nanoseconds duration, const Error* error)> on_query;
};

class Pool;

/// An open transaction. Rolled back when it goes without `commit`.
class Transaction {
 public:
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  ~Transaction();
  Task<Rows> query(Query query, Parameters parameters);
  /// All in one round trip; the first error fails the transaction.
  Task<std::vector<Rows>> pipeline(std::vector<Statement> statements);
  Task<> commit();
  Task<> rollback();

 private:
  friend class Pool;
  struct Impl;
  explicit Transaction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Who a statement acts for: sets `intra365.tenant` for row-level security, for this transaction only.
struct Scope {
  std::string tenant;  ///< empty: no tenant, only tables without one
};

class Pool {
 public:
  Pool(asio::any_io_executor executor, PoolOptions options);
  ~Pool();

  /// One statement in a transaction of its own under `scope`; begin, scope, statement and commit travel in
  /// one round trip. Cancelled in the server when `deadline` passes.
  Task<Rows> query(Scope scope, Query query, Parameters parameters, SteadyTime deadline);
  /// Several statements, one transaction, one round trip; all or nothing. Returns once committed.
  Task<std::vector<Rows>> atomically(Scope scope, std::vector<Statement> statements, SteadyTime deadline);
  /// For transactions whose later statements depend on earlier rows.
  Task<Transaction> begin(Scope scope, SteadyTime deadline);
  /// Plain SQL without parameters, possibly several statements (migrations).
  Task<> execute(std::string sql, SteadyTime deadline);

  /// True when a connection is up, or one can be made now.
  Task<> ping(SteadyTime deadline);
  void close();
  std::size_t open_connections() const;

 private:
  friend class Transaction;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::postgres
