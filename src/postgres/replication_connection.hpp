// What logical and physical replication share: a connection that speaks the replication grammar, the stream
// of pieces of the log that it turns into, and the state we tell the server. For this folder only.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/libpq.hpp"
#include "postgres/lsn.hpp"
#include "postgres/replication.hpp"

namespace intra365::postgres {

/// Rows of a replication command, as text.
using ReplicationTable = std::vector<std::vector<std::string>>;

/// What the server refused, with the codes of replication.
Error replication_refused(const PGresult* result);
/// True for [a-z0-9_]{1,63}.
bool is_slot_name(std::string_view name);

/// What the server answers within `time`; else `postgres.timeout`, and the connection is of no use any more.
template <class T>
Task<T> in_time(std::chrono::milliseconds time, Task<T> answer) {
  auto answered = co_await with_deadline(std::chrono::steady_clock::now() + time, std::move(answer));
  if (!answered && answered.error().is(intra365::errors::deadline))
    co_return fail(errors::timeout, "the server does not answer");
  co_return answered;
}

/// One piece of the log as the server sends it.
struct LogPiece {
  Lsn start, server_end;
  std::string_view payload;  ///< valid until the next piece is taken
};

/// Owned by one shard; not thread-safe.
struct ReplicationConnection {
  ReplicationConnection(OpenConnection opened, std::chrono::milliseconds status_interval)
      : connection(std::move(opened.connection)),
        socket(std::move(opened.socket)),
        timer(socket.get_executor()),
        status_interval(status_interval) {}
  ~ReplicationConnection() { forget(); }
  ReplicationConnection(const ReplicationConnection&) = delete;
  ReplicationConnection& operator=(const ReplicationConnection&) = delete;

  /// Connects to the server of `dsn` as one that replicates. `settings`: more of them, as `-c name=value`.
  static Task<OpenConnection> open(asio::any_io_executor executor, const std::string& dsn,
                                   const char* application_name, SteadyTime deadline,
                                   const std::string& settings = {});

  /// Frees the piece that the caller looks at.
  void forget();
  Failure lost() const;
  Task<> flush();
  Task<ResultPtr> next_result();
  /// One command and its rows; returns as soon as the stream has begun, where the command begins one.
  Task<ReplicationTable> command(std::string text);
  Task<SystemIdentity> identify();
  /// Tells the server what is durable here; `answer` asks it to say at once where its log ends.
  Result<void> send_status(bool answer = false);
  /// Why the stream ended, when PQgetCopyData says that it did.
  Error end_of_stream();
  /// The next piece that has arrived, without waiting; nullopt when there is none.
  Result<std::optional<LogPiece>> try_next();
  /// Waits until something has arrived or `until` has passed; tells our state meanwhile.
  Task<> wait(SteadyTime until);

  ConnectionPtr connection;
  asio::posix::stream_descriptor socket;
  asio::steady_timer timer;
  std::chrono::milliseconds status_interval;
  bool ask_for_answers = false;  ///< each status asks where the server's log ends
  char* buffer = nullptr;
  Lsn confirmed, told, server_end, received;
  Timestamp server_time{};  ///< of the server's last word, by its clock
  SteadyTime status_due{};

 private:
  Result<std::optional<LogPiece>> take(std::string_view message);
};

}  // namespace intra365::postgres
