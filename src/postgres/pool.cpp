#include "postgres/pool.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>

#include "postgres/pool_impl.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

constexpr std::size_t kMaxParameters = 65'535;  // the protocol counts them in 16 bits
constexpr std::size_t kMaxStatements = 10'000;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// Text with a NUL byte would be cut short on its way through libpq.
bool storable(const Parameters& parameters) {
  const auto values = parameters.values();
  return values.size() <= kMaxParameters && std::ranges::none_of(values, [](const auto& value) {
           return value && value->find('\0') != std::string::npos;
         });
}

/// Waits for `job`, which `start` hands to the pool. Cancelling the wait calls `cancel`.
template <class Start, class Cancel>
Task<std::vector<Rows>> wait_for(std::shared_ptr<Job> job, asio::any_io_executor executor, Start start,
                                 Cancel cancel) {
  const auto initiate = [](auto handler, std::shared_ptr<Job> job, asio::any_io_executor executor,
                           Start start, Cancel cancel) {
    if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected()) {
      slot.assign([weak = std::weak_ptr<Job>(job), cancel](asio::cancellation_type) {
        if (const auto job = weak.lock()) cancel(job);
      });
    }
    job->done = [handler = std::move(handler), executor](Job::Outcome outcome) mutable {
      const auto target = asio::get_associated_executor(handler, executor);
      asio::post(target, [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
        if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected()) slot.clear();
        std::move(handler)(std::move(outcome));
      });
    };
    start(job);
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Job::Outcome)>(
      initiate, asio::use_awaitable, std::move(job), std::move(executor), std::move(start),
      std::move(cancel));
}

}  // namespace

Pool::Impl::Impl(asio::any_io_executor executor, PoolOptions options)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      back_off_timer_(executor_),
      breaker_(options_.breaker),
      trial_timer_(executor_),
      canceller_(executor_) {
  options_.max_connections = std::max<std::size_t>(options_.max_connections, 1);
}

Pool::Impl::~Impl() {
  close();
}

std::shared_ptr<Job> Pool::Impl::job(Job::Kind kind, SteadyTime deadline) const {
  return std::make_shared<Job>(executor_, kind, deadline);
}

// ---- calls ----

Task<std::vector<Rows>> Pool::Impl::run(std::shared_ptr<Job> job) {
  return wait_for(
      std::move(job), executor_,
      [self = shared_from_this()](const std::shared_ptr<Job>& job) { self->submit(job); },
      [self = shared_from_this()](const std::shared_ptr<Job>& job) {
        self->give_up(job, Error(intra365::errors::cancelled));
      });
}

Task<std::vector<Rows>> Pool::Impl::run_on(std::shared_ptr<Session> session, std::shared_ptr<Job> job) {
  return wait_for(
      std::move(job), executor_,
      [self = shared_from_this(), session = std::move(session)](const std::shared_ptr<Job>& job) {
        self->submit_to(session, job);
      },
      [self = shared_from_this()](const std::shared_ptr<Job>& job) {
        self->give_up(job, Error(intra365::errors::cancelled));
      });
}

bool Pool::Impl::refuse(Job& job) const {
  job.submitted = now();
  std::optional<Error> error;
  if (closed_) {
    error = connection_lost(job.name(), "the pool is closed");
  } else if (job.deadline <= job.submitted) {
    error = Error(errors::timeout,
                  "query " + std::string(job.name()) + ": its deadline had passed before it was sent");
  } else if (job.statements.size() > kMaxStatements) {
    error = Error(errors::query_failed, "more statements in one pipeline than may be");
  } else if (job.copied.size() > CopyRows::kMaxBytes) {
    error =
        Error(errors::invalid_value, "query " + std::string(job.name()) + ": more rows than one copy takes");
  } else if (job.script.find('\0') != std::string::npos || job.copied.find('\0') != std::string::npos ||
             (job.tenant && job.tenant->find('\0') != std::string::npos)) {
    error = Error(errors::invalid_value, "query " + std::string(job.name()) + ": text with a NUL byte");
  } else {
    for (const auto& statement : job.statements) {
      if (storable(statement.parameters)) continue;
      error = Error(errors::invalid_value, "query " + std::string(statement.query.name) +
                                               ": a parameter with a NUL byte, or too many parameters");
      break;
    }
  }
  if (!error) return false;
  observe_failure(job, *error);
  job.finish(fail(std::move(*error)));
  return true;
}

void Pool::Impl::submit(const std::shared_ptr<Job>& job) {
  if (refuse(*job)) return;
  if (breaker_.state() == CircuitBreaker::State::closed && !idle_.empty()) {
    // The last one used, or the last that has the scope already.
    auto chosen = idle_.rbegin();
    if (options_.direct && job->tenant) {
      const auto same =
          std::find_if(chosen, idle_.rend(), [&](const Session* one) { return one->scope() == job->tenant; });
      if (same != idle_.rend()) chosen = same;
    }
    auto* session = *chosen;
    idle_.erase(std::next(chosen).base());
    arm(job);
    return assign(*session, job);
  }
  std::optional<Error> error;
  if (away()) {
    error = connection_lost(job->name(), last_error_.detail);
  } else if (waiting_.size() >= options_.max_waiting) {
    error = Error(errors::pool_full);
  }
  if (error) {
    observe_failure(*job, *error);
    return job->finish(fail(std::move(*error)));
  }
  job->position = waiting_.insert(waiting_.end(), job);
  job->waiting = true;
  arm(job);
  grow();
}

void Pool::Impl::submit_to(const std::shared_ptr<Session>& session, const std::shared_ptr<Job>& job) {
  if (refuse(*job)) return;
  if (session->closed() || session->busy()) {
    auto error = session->closed()
                     ? connection_lost(job->name(), "the connection of the transaction was lost")
                     : Error(errors::query_failed, "a transaction runs one call at a time");
    observe_failure(*job, error);
    return job->finish(fail(std::move(error)));
  }
  arm(job);
  assign(*session, job);
}

void Pool::Impl::arm(const std::shared_ptr<Job>& job) {
  if (job->deadline == SteadyTime::max()) return;
  job->timer.expires_at(job->deadline);
  job->timer.async_wait(
      [weak = std::weak_ptr<Job>(job), self = shared_from_this()](boost::system::error_code error) {
        const auto late = weak.lock();
        if (error || !late || !late->done) return;
        self->give_up(late, Error(errors::timeout,
                                  "query " + std::string(late->name()) +
                                      (late->waiting ? ": no connection became free in time"
                                                     : ": not answered in time, cancelled in the server")));
      });
}

void Pool::Impl::assign(Session& session, const std::shared_ptr<Job>& job) {
  if (job->kind == Job::Kind::lease) {
    job->lease = session.lease();
    return job->finish({});
  }
  session.start(job);
}

void Pool::Impl::give_up(const std::shared_ptr<Job>& job, Error error) {
  if (!job->done) return;
  unqueue(*job);
  const bool unanswered = job->session != nullptr && error.is(errors::timeout);
  if (const auto session = job->session) session->abandon();
  observe_failure(*job, error);
  job->finish(fail(std::move(error)));
  if (unanswered && breaker_.unanswered(now())) open_circuit();
}

void Pool::Impl::observe_failure(const Job& job, const Error& error) const {
  if (options_.on_query && job.kind != Job::Kind::lease)
    options_.on_query(job.name(), now() - job.submitted, &error);
}

void Pool::Impl::unqueue(Job& job) {
  if (!job.waiting) return;
  job.waiting = false;
  waiting_.erase(job.position);
}

// ---- connections ----

void Pool::Impl::session_ready(Session& session) {
  if (waiting_.empty()) return idle_.push_back(&session);
  const auto job = waiting_.front();
  unqueue(*job);
  assign(session, job);
}

void Pool::Impl::session_closed(Session& session) {
  std::erase(idle_, &session);
  std::erase_if(sessions_, [&](const auto& owned) { return owned.get() == &session; });
  if (closed_) return;
  grow();
  // Without any connection left, one is made again before somebody asks for it.
  if (sessions_.empty() && connecting_ == 0 && !backing_off_) connect();
}

void Pool::Impl::grow() {
  if (backing_off_ || closed_) return;
  while (connecting_ < waiting_.size() && sessions_.size() + connecting_ < options_.max_connections)
    connect();
}

void Pool::Impl::connect() {
  ++connecting_;
  asio::co_spawn(executor_, connect_one(shared_from_this()), asio::detached);
}

Task<std::shared_ptr<Session>> Pool::Impl::new_session() {
  auto session = std::make_shared<Session>(executor_, *this);
  CO_TRY(auto target, parse_dsn(options_.dsn));
  const auto outcome =
      co_await with_deadline(now() + options_.connect_timeout, Session::connect(session, std::move(target)));
  if (outcome) co_return session;
  if (outcome.error().is(intra365::errors::deadline))
    co_return fail(errors::unavailable, "the database did not answer within the time to connect");
  if (outcome.error().is(errors::unavailable)) co_return fail(outcome.error());
  co_return fail(errors::unavailable, "cannot connect to the database: " + one_line(outcome.error().detail));
}

asio::awaitable<void> Pool::Impl::connect_one(std::shared_ptr<Impl> self) {
  auto connected = co_await self->new_session();
  --self->connecting_;
  if (self->closed_) {
    if (connected) (*connected)->close("the pool is closed");
    co_return;
  }
  if (!connected) {
    self->connect_failed(std::move(connected.error()));
    co_return;
  }
  const auto session = *std::move(connected);
  self->failures_ = 0;
  self->backing_off_ = false;
  self->back_off_timer_.cancel();
  self->sessions_.push_back(session);
  session->listen();
  self->session_ready(*session);
  self->grow();
}

void Pool::Impl::connect_failed(Error error) {
  last_error_ = std::move(error);
  // Whoever waits is told now: the next attempt may be far away, and a caller can do something else.
  if (sessions_.empty() && connecting_ == 0) fail_waiting(last_error_);
  if (!backing_off_) back_off();
}

/// Full jitter: anything between nothing and a ceiling that doubles, so that many shards do not knock
/// together.
void Pool::Impl::back_off() {
  backing_off_ = true;
  const auto doublings = std::min<std::size_t>(failures_++, 16);
  const auto ceiling =
      std::min(options_.reconnect_wait * (std::int64_t{1} << doublings), options_.reconnect_wait_max);
  std::uniform_int_distribution<std::int64_t> wait(1, std::max<std::int64_t>(1, ceiling.count()));
  back_off_timer_.expires_after(std::chrono::milliseconds(wait(random_)));
  back_off_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_) return;
    self->backing_off_ = false;
    if (self->sessions_.empty() && self->connecting_ == 0) {
      self->connect();
    } else {
      self->grow();
    }
  });
}

/// The server takes what we send and says nothing: whoever waits is told now, and nobody else has to wait for
/// a deadline of his own.
void Pool::Impl::open_circuit() {
  last_error_ = Error(errors::unavailable, "the database has not answered for a while; it is tried again");
  fail_waiting(last_error_);
  wait_for_trial();
}

void Pool::Impl::wait_for_trial() {
  trial_timer_.expires_after(breaker_.open_for());
  trial_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_ || self->breaker_.state() != CircuitBreaker::State::open) return;
    self->breaker_.try_again();
    asio::co_spawn(self->executor_, try_again(self), asio::detached);
  });
}

/// A new connection needs answers of the server; whether it is wanted afterwards is another question.
asio::awaitable<void> Pool::Impl::try_again(std::shared_ptr<Impl> self) {
  const auto connected = co_await self->new_session();
  if (connected && (self->closed_ || self->sessions_.size() >= self->options_.max_connections)) {
    (*connected)->close("not needed");
  } else if (connected) {
    self->sessions_.push_back(*connected);
    (*connected)->listen();
    self->session_ready(**connected);
  }
  if (self->closed_) co_return;
  if (connected) {
    self->server_answered();
  } else if (self->breaker_.state() == CircuitBreaker::State::half_open) {
    self->last_error_ = connected.error();
    self->breaker_.still_away();
    self->wait_for_trial();
  }
}

void Pool::Impl::server_answered() {
  breaker_.answered(now());
}

void Pool::Impl::fail_waiting(const Error& error) {
  auto waiting = std::exchange(waiting_, {});
  for (const auto& job : waiting) {
    job->waiting = false;
    auto lost = connection_lost(job->name(), error.detail);
    observe_failure(*job, lost);
    job->finish(fail(std::move(lost)));
  }
}

void Pool::Impl::send_cancel(CancelHandle cancel, std::weak_ptr<Session> session) {
  canceller_.send(std::move(cancel), [session = std::move(session)] {
    if (const auto alive = session.lock()) alive->cancel_sent();
  });
}

void Pool::Impl::close() {
  if (std::exchange(closed_, true)) return;
  back_off_timer_.cancel();
  trial_timer_.cancel();
  fail_waiting(Error(errors::unavailable, "the pool is closed"));
  idle_.clear();
  const auto sessions = std::exchange(sessions_, {});
  for (const auto& session : sessions) session->close("the pool is closed");
}

// ---- the pool's face ----

Pool::Pool(asio::any_io_executor executor, PoolOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {}

Pool::~Pool() {
  impl_->close();
}

Task<Rows> Pool::query(Scope scope, Query query, Parameters parameters, SteadyTime deadline) {
  const auto impl = impl_;
  auto job = impl->job(Job::Kind::pipeline, deadline);
  job->tenant = std::move(scope.tenant);
  job->statements.push_back({query, std::move(parameters)});
  CO_TRY(auto rows, co_await impl->run(std::move(job)));
  co_return std::move(rows.front());
}

Task<std::vector<Rows>> Pool::atomically(Scope scope, std::vector<Statement> statements,
                                         SteadyTime deadline) {
  if (statements.empty()) co_return std::vector<Rows>{};
  const auto impl = impl_;
  auto job = impl->job(Job::Kind::pipeline, deadline);
  job->tenant = std::move(scope.tenant);
  job->statements = std::move(statements);
  co_return co_await impl->run(std::move(job));
}

Task<> Pool::execute(std::string sql, SteadyTime deadline) {
  const auto impl = impl_;
  auto job = impl->job(Job::Kind::script, deadline);
  job->script = std::move(sql);
  CO_CHECK(co_await impl->run(std::move(job)));
  co_return Result<void>{};
}

Task<> Pool::ping(SteadyTime deadline) {
  if (!reachable()) co_return fail(errors::unavailable, "the database does not answer");
  // When every connection is at work the database is up, and asking would only lengthen the queue.
  if (impl_->has_connections() && !impl_->has_idle()) co_return Result<void>{};
  CO_CHECK(co_await query(Scope{}, Query{"ping", "select 1"}, Parameters{}, deadline));
  co_return Result<void>{};
}

void Pool::close() {
  impl_->close();
}
bool Pool::reachable() const {
  return !impl_->away();
}
std::size_t Pool::open_connections() const {
  return impl_->connections();
}

}  // namespace intra365::postgres
