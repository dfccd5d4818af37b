// One connection: a state machine over libpq's non-blocking calls; for this folder only.
#pragma once
#include <unordered_map>

#include "postgres/canceller.hpp"
#include "postgres/job.hpp"
#include "postgres/libpq.hpp"
#include "postgres/pool.hpp"

namespace intra365::postgres {

/// What a session tells the pool that owns it.
class SessionOwner {
 public:
  /// Idle, outside any transaction, without an owner: the next job may start at once.
  virtual void session_ready(Session& session) = 0;
  virtual void session_closed(Session& session) = 0;
  virtual void server_answered() = 0;
  /// Sends the cancel request away from the loop; calls `session.cancel_sent()` when it has ended.
  virtual void send_cancel(CancelHandle cancel, std::weak_ptr<Session> session) = 0;
  virtual const PoolOptions& options() const = 0;

 protected:
  ~SessionOwner() = default;
};

/// Lives on the pool's thread, shared by the pool and the handlers in flight. One read wait is always
/// outstanding, so a connection that dies while idle is noticed at once. Runs one job at a time. A job may
/// be abandoned while it runs: the server is asked to cancel, and the connection is used again only after
/// its last result came and the cancel request has ended; otherwise it is closed.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(asio::any_io_executor executor, SessionOwner& owner);
  ~Session();

  /// Connects and sets up the session. Static and by value, because it outlives the caller.
  static Task<> connect(std::shared_ptr<Session> self, ConnectionTarget target);

  /// Begins to watch the connection. Once, after `connect`.
  void listen();
  void start(std::shared_ptr<Job> job);
  /// The running job's caller has gone: cancel in the server, drain, then settle.
  void abandon();
  void cancel_sent();

  /// Hands the idle connection to one owner until `release`, which rolls back what is open.
  Lease lease();
  void release();

  /// Closes without a word to the pool; a job in flight fails with `postgres.unavailable`.
  void close(std::string_view reason);
  bool closed() const { return closed_; }
  bool busy() const { return in_flight_; }
  /// The tenant that is set in the connection; nullopt: none is known to be.
  const std::optional<std::string>& scope() const { return scope_; }
  PGTransactionStatusType transaction_status() const { return PQtransactionStatus(connection_.get()); }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  /// One command of the pipeline in flight, in the order of the answers.
  struct Step {
    enum class Kind { prepare, prelude, statement };
    Kind kind;
    std::string_view name;      ///< of the query; valid while the job is there
    std::string prepared_name;  ///< for prepare: the statement's name in the server
    std::string prepared_sql;   ///< for prepare: the cache key, kept because the job may go first
  };

  bool send_pipeline(const Job& job);
  bool send(const Query& query, const Parameters& parameters, Step::Kind kind);
  bool deallocate_all();
  /// The statement's name in the server, prepared in this pipeline where it is new; nullptr when it is to be
  /// sent unprepared, nullopt when the connection is lost.
  std::optional<const char*> prepare(const Query& query);
  /// Sets the tenant in front of the job's statements, where it is not set already.
  bool send_scope(const Job& job);
  bool send_script(const Job& job);
  void send_copied();
  void flush();
  void wait_readable();
  void on_readable(boost::system::error_code error);
  void take_results();
  void take_result(ResultPtr result);
  void keep(std::string_view query, ResultPtr result);
  void refused(const PGresult* result);
  void report_failure(std::string_view query, const Error& error) const;
  bool should_retry(const Job& job) const;
  void end_of_job();
  void settle();
  void roll_back();
  void settle_if_drained();
  void request_cancel(SteadyTime until);
  void lose(std::string_view reason);
  void shut();

  asio::any_io_executor executor_;
  SessionOwner* owner_;  ///< null once closed
  ConnectionPtr connection_;
  asio::posix::stream_descriptor socket_;  ///< a duplicate of libpq's socket, so that each closes its own
  asio::steady_timer drain_timer_;
  /// SQL to the statement's name in the server.
  std::unordered_map<std::string, std::string, TextHash, std::equal_to<>> prepared_;
  std::size_t prepared_count_ = 0;
  bool direct_ = false;  ///< nobody else's statements come to this server process
  std::optional<std::string> scope_;
  std::optional<std::string> scope_on_its_way_;  ///< set by the job in flight, if it does not fail
  std::string sending_name_;                     ///< a copy that stays where it is while `steps_` grows

  std::shared_ptr<Job> job_;  ///< null while draining or rolling back
  std::vector<Step> steps_;
  std::size_t step_ = 0;
  std::vector<Rows> rows_;
  std::optional<Error> error_;  ///< the first the server reported for the job in flight
  std::string error_sqlstate_;
  SteadyTime last_result_{};
  bool in_flight_ = false;
  bool script_ = false;  ///< the job in flight uses the simple protocol: a script, or a copy
  bool rolling_back_ = false;
  bool retire_ = false;  ///< close when the owner lets go: a script may have left settings behind
  bool leased_ = false;
  bool draining_ = false;
  bool cancel_pending_ = false;
  bool writing_ = false;
  bool closed_ = false;
  int stray_ends_ = 0;
};

}  // namespace intra365::postgres
