// The pool behind pool.hpp; for this folder only.
#pragma once
#include <random>

#include "postgres/session.hpp"

namespace intra365::postgres {

struct Pool::Impl final : SessionOwner, std::enable_shared_from_this<Pool::Impl> {
  Impl(asio::any_io_executor executor, PoolOptions options);
  ~Impl();

  std::shared_ptr<Job> job(Job::Kind kind, SteadyTime deadline) const;
  /// Runs `job` on a free connection, or waits for one.
  Task<std::vector<Rows>> run(std::shared_ptr<Job> job);
  /// Runs `job` on the connection that its transaction holds.
  Task<std::vector<Rows>> run_on(std::shared_ptr<Session> session, std::shared_ptr<Job> job);
  void close();
  bool away() const {
    return breaker_.state() != CircuitBreaker::State::closed ||
           (sessions_.empty() && (backing_off_ || failures_ > 0));
  }
  bool has_connections() const { return !sessions_.empty(); }
  bool has_idle() const { return !idle_.empty(); }
  std::size_t connections() const { return sessions_.size(); }

  void session_ready(Session& session) override;
  void session_closed(Session& session) override;
  void server_answered() override;
  void send_cancel(CancelHandle cancel, std::weak_ptr<Session> session) override;
  const PoolOptions& options() const override { return options_; }

 private:
  /// Finishes `job` at once when it cannot or need not run at all.
  bool refuse(Job& job) const;
  void submit(const std::shared_ptr<Job>& job);
  void submit_to(const std::shared_ptr<Session>& session, const std::shared_ptr<Job>& job);
  void arm(const std::shared_ptr<Job>& job);
  void assign(Session& session, const std::shared_ptr<Job>& job);
  /// Ends a call that waits or runs: its deadline passed, or its caller was cancelled.
  void give_up(const std::shared_ptr<Job>& job, Error error);
  void observe_failure(const Job& job, const Error& error) const;
  void unqueue(Job& job);

  void grow();
  void connect();
  static asio::awaitable<void> connect_one(std::shared_ptr<Impl> self);
  void connect_failed(Error error);
  void back_off();
  void open_circuit();
  void wait_for_trial();
  static asio::awaitable<void> try_again(std::shared_ptr<Impl> self);
  Task<std::shared_ptr<Session>> new_session();
  void fail_waiting(const Error& error);

  asio::any_io_executor executor_;
  PoolOptions options_;
  std::vector<std::shared_ptr<Session>> sessions_;
  std::vector<Session*> idle_;  ///< the last used first, so that it is warm
  std::list<std::shared_ptr<Job>> waiting_;
  std::size_t connecting_ = 0;
  std::size_t failures_ = 0;  ///< connection attempts that failed in a row
  bool backing_off_ = false;
  bool closed_ = false;
  Error last_error_;
  asio::steady_timer back_off_timer_;
  CircuitBreaker breaker_;
  asio::steady_timer trial_timer_;
  std::minstd_rand random_{std::random_device{}()};
  Canceller canceller_;
};

}  // namespace intra365::postgres
