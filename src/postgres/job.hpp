// One call on its way through the pool; for this folder only.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/query.hpp"

namespace intra365::postgres {

class Session;

/// A connection that somebody has to himself; given back to the pool when the lease goes.
class Lease {
 public:
  Lease() = default;
  explicit Lease(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  Lease(Lease&& other) noexcept : session_(std::move(other.session_)) {}
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  void release();
  const std::shared_ptr<Session>& session() const { return session_; }

 private:
  std::shared_ptr<Session> session_;
};

/// What a call wants from a connection, and where its outcome goes. Everything of a `pipeline` travels up to
/// one Sync, which makes it one implicit transaction unless `begin` opens a longer one.
struct Job {
  enum class Kind {
    pipeline,  ///< prelude and statements, in one round trip
    script,    ///< plain SQL by the simple protocol
    copy,      ///< one COPY … FROM STDIN by the simple protocol, and its rows
    lease,     ///< a connection to itself, nothing is sent
  };
  using Outcome = Result<std::vector<Rows>>;

  Job(const asio::any_io_executor& executor, Kind kind, SteadyTime deadline)
      : kind(kind), deadline(deadline), timer(executor) {}

  /// Ends the call, once; later calls do nothing. The caller resumes from the loop, never from in here.
  void finish(Outcome outcome) {
    if (!done) return;
    timer.cancel();
    auto call = std::move(done);
    done = nullptr;
    call(std::move(outcome));
  }
  /// The statement that a failure of the whole call is counted under.
  std::string_view name() const {
    if (kind == Kind::script) return "script";
    return statements.empty() ? std::string_view("begin") : statements.front().query.name;
  }

  Kind kind;
  bool begin = false;                 ///< opens an explicit transaction in front of the statements
  std::optional<std::string> tenant;  ///< sets `intra365.tenant` in front of the statements
  std::vector<Statement> statements;
  std::string script;
  std::string copied;  ///< the rows of a copy
  SteadyTime deadline;
  SteadyTime submitted{};

  bool retried = false;
  std::string failed_query;                            ///< the statement the server refused
  std::shared_ptr<Session> session;                    ///< while it runs there
  Lease lease;                                         ///< the outcome of Kind::lease
  std::list<std::shared_ptr<Job>>::iterator position;  ///< among the waiting, while `waiting`
  bool waiting = false;
  asio::steady_timer timer;
  std::move_only_function<void(Outcome)> done;  ///< empty once finished
};

}  // namespace intra365::postgres
