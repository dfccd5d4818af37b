// NOTIFY, heard on a connection of its own: for work that should begin when another process says so, in the
// transaction that makes it true. A hint, not a log: what is notified while nobody is connected is lost.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/errors.hpp"

namespace intra365::postgres {

struct Notification {
  std::string channel, payload;
};

/// Owned by one shard, on its thread only. Straight to the server, or through a pooler in session mode: one
/// that lends connections for a transaction forgets LISTEN.
class Listener {
 public:
  /// `dsn` as for a pool. A channel is any text of at most 63 bytes.
  Listener(asio::any_io_executor executor, std::string dsn, std::vector<std::string> channels);
  ~Listener();

  /// The next notification. Nothing, when it has begun to listen: at first, and after each time that the
  /// connection was lost. Whoever gets nothing reads all that the notifications stand for. Connects by itself
  /// and waits until it is cancelled; fails only for a channel that cannot be.
  Task<std::optional<Notification>> next();
  /// Why the last attempt to connect has failed; nothing while it is connected.
  const std::optional<Error>& trouble() const { return trouble_; }

 private:
  struct Connection;
  Task<> connect();

  asio::any_io_executor executor_;
  std::string dsn_;
  std::vector<std::string> channels_;
  std::unique_ptr<Connection> connection_;
  int failures_ = 0;  ///< to connect, in a row
  std::optional<Error> trouble_;
};

}  // namespace intra365::postgres
