#include "postgres/session.hpp"

#include "postgres/rows_builder.hpp"
#include "postgres/sqlstate.hpp"

namespace intra365::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxPrepared = 1024;  ///< per connection; statements beyond it are sent unprepared
constexpr auto kDrainLimit = 3s;            ///< after a cancel request; then the connection is closed
constexpr auto kCancelAgain = 200ms;        ///< between two requests to cancel one query
constexpr Query kBegin{"begin", "begin"};
constexpr Query kScope{"scope", "select set_config('intra365.tenant', $1, true)"};
constexpr Query kKeptScope{"scope", "select set_config('intra365.tenant', $1, false)"};
constexpr Query kRollback{"rollback", "rollback"};

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? text : "";
}

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    session_ = std::move(other.session_);
  }
  return *this;
}

void Lease::release() {
  if (const auto session = std::move(session_)) session->release();
  session_.reset();
}

Session::Session(asio::any_io_executor executor, SessionOwner& owner)
    : executor_(std::move(executor)), owner_(&owner), socket_(executor_), drain_timer_(executor_) {}

Session::~Session() = default;

Lease Session::lease() {
  leased_ = true;
  return Lease(shared_from_this());
}

void Session::release() {
  if (!leased_) return;
  leased_ = false;
  if (closed_) return;
  const auto self = shared_from_this();
  if (job_) abandon();
  if (!in_flight_ && !cancel_pending_) settle();
}

void Session::listen() {
  wait_readable();
}

// ---- sending ----

void Session::start(std::shared_ptr<Job> job) {
  const auto self = shared_from_this();
  job->session = self;
  steps_.clear();
  step_ = 0;
  stray_ends_ = 0;
  rows_.clear();
  error_.reset();
  last_result_ = std::chrono::steady_clock::now();
  scope_on_its_way_.reset();
  in_flight_ = true;
  script_ = job->kind == Job::Kind::script || job->kind == Job::Kind::copy;
  job_ = std::move(job);
  if (script_ ? send_script(*job_) : send_pipeline(*job_)) {
    flush();
  } else {
    lose("the connection was lost");
  }
}

bool Session::send_pipeline(const Job& job) {
  // What the server has prepared is not what we believe: forget it on both sides.
  if (job.retried && !deallocate_all()) return false;
  if (job.begin && !send(kBegin, {}, Step::Kind::prelude)) return false;
  if (job.tenant && !send_scope(job)) return false;
  for (const auto& statement : job.statements) {
    if (!send(statement.query, statement.parameters, Step::Kind::statement)) return false;
  }
  return PQpipelineSync(connection_.get()) == 1;
}

// INVARIANT: `scope_` is what the server has, or nothing (pool_test: a_kept_scope_…). A job that fails takes
// back what it has set, so it is unknown from the sending until the job has succeeded.
bool Session::send_scope(const Job& job) {
  // A longer transaction sets it for itself, and gives back what was there.
  const bool keep = direct_ && !job.begin && !leased_;
  if (keep && scope_ == job.tenant) return true;
  if (keep) {
    scope_.reset();
    scope_on_its_way_ = job.tenant;
  }
  Parameters tenant;
  tenant.add_text(*job.tenant);
  return send(keep ? kKeptScope : kScope, tenant, Step::Kind::prelude);
}

bool Session::send(const Query& query, const Parameters& parameters, Step::Kind kind) {
  const auto values = parameters.values();
  std::array<const char*, 16> few;
  std::vector<const char*> many;
  if (values.size() > few.size()) many.resize(values.size());
  const char** texts = many.empty() ? few.data() : many.data();
  for (std::size_t i = 0; i < values.size(); ++i) texts[i] = values[i] ? values[i]->c_str() : nullptr;
  const int count = static_cast<int>(values.size());

  PGconn* const connection = connection_.get();
  const auto name = prepare(query);
  if (!name) return false;
  steps_.push_back({kind, query.name, {}, {}});
  if (*name) return PQsendQueryPrepared(connection, *name, count, texts, nullptr, nullptr, 0) == 1;
  const std::string sql(query.sql);
  return PQsendQueryParams(connection, sql.c_str(), count, nullptr, texts, nullptr, nullptr, 0) == 1;
}

std::optional<const char*> Session::prepare(const Query& query) {
  if (!owner_->options().prepare) return nullptr;
  if (const auto known = prepared_.find(query.sql); known != prepared_.end()) return known->second.c_str();
  if (prepared_.size() >= kMaxPrepared) return nullptr;
  for (const auto& step : steps_) {  // on its way already, earlier in this pipeline
    if (step.kind == Step::Kind::prepare && step.prepared_sql == query.sql) {
      sending_name_ = step.prepared_name;
      return sending_name_.c_str();
    }
  }
  auto name = std::string(query.name.substr(0, 40)) + '_' + std::to_string(++prepared_count_);
  const auto& step =
      steps_.emplace_back(Step{Step::Kind::prepare, query.name, std::move(name), std::string(query.sql)});
  if (!PQsendPrepare(connection_.get(), step.prepared_name.c_str(), step.prepared_sql.c_str(), 0, nullptr)) {
    return std::nullopt;
  }
  sending_name_ = step.prepared_name;
  return sending_name_.c_str();
}

bool Session::deallocate_all() {
  prepared_.clear();
  steps_.push_back({Step::Kind::prelude, "deallocate", {}, {}});
  return PQsendQueryParams(connection_.get(), "deallocate all", 0, nullptr, nullptr, nullptr, nullptr, 0) ==
         1;
}

bool Session::send_script(const Job& job) {
  retire_ = retire_ || job.kind == Job::Kind::script;
  PGconn* const connection = connection_.get();
  return PQexitPipelineMode(connection) == 1 && PQsendQuery(connection, job.script.c_str()) == 1;
}

/// The server is ready for rows. All of them go to libpq at once, which sends them as the socket takes them;
/// what the server thinks of them comes as the result behind their end.
void Session::send_copied() {
  PGconn* const connection = connection_.get();
  if (!job_) {
    if (PQputCopyEnd(connection, "cancelled") != 1) return lose("the connection was lost");
  } else if (job_->kind != Job::Kind::copy) {
    return lose("COPY is not for this call");
  } else {
    const auto& rows = job_->copied;
    if (PQputCopyData(connection, rows.data(), static_cast<int>(rows.size())) != 1 ||
        PQputCopyEnd(connection, nullptr) != 1)
      return lose("the connection was lost");
  }
  flush();
}

void Session::flush() {
  if (writing_ || closed_) return;
  const int left = PQflush(connection_.get());
  if (left < 0) return lose("the connection was lost");
  if (left == 0) return;
  writing_ = true;
  socket_.async_wait(asio::posix::descriptor_base::wait_write,
                     [self = shared_from_this()](boost::system::error_code error) {
                       self->writing_ = false;
                       if (!error) self->flush();
                     });
}

// ---- receiving ----

void Session::wait_readable() {
  socket_.async_wait(
      asio::posix::descriptor_base::wait_read,
      [self = shared_from_this()](boost::system::error_code error) { self->on_readable(error); });
}

void Session::on_readable(boost::system::error_code error) {
  if (closed_) return;
  PGconn* const connection = connection_.get();
  const bool alive = !error && PQconsumeInput(connection) == 1;
  take_results();
  if (closed_) return;
  if (!alive || PQstatus(connection) == CONNECTION_BAD) return lose("the connection was lost");
  if (!in_flight_) {
    PQisBusy(connection);  // parses notices and parameter changes that come unasked
    while (auto* notify = PQnotifies(connection)) PQfreemem(notify);
  }
  flush();
  if (!closed_) wait_readable();
}

void Session::take_results() {
  PGconn* const connection = connection_.get();
  while (!closed_ && in_flight_ && !PQisBusy(connection)) {
    ResultPtr result(PQgetResult(connection));
    if (result) {
      take_result(std::move(result));
      continue;
    }
    // The end of one command's results; of a script, the end of everything.
    if (script_) {
      end_of_job();
    } else if (step_ < steps_.size()) {
      ++step_;
    } else if (++stray_ends_ > 2) {
      return lose("the connection lost its place in the pipeline");
    }
  }
}

void Session::take_result(ResultPtr result) {
  const auto status = PQresultStatus(result.get());
  if (status == PGRES_PIPELINE_SYNC || status == PGRES_FATAL_ERROR) owner_->server_answered();
  switch (status) {
    case PGRES_PIPELINE_SYNC:
      return end_of_job();
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
      break;
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
      return refused(result.get());
    case PGRES_PIPELINE_ABORTED:
    case PGRES_NONFATAL_ERROR:
      return;
    case PGRES_COPY_IN:
      return send_copied();
    default:
      return lose("COPY TO is not for this pool");
  }
  if (job_ && job_->kind == Job::Kind::copy) return keep(job_->name(), std::move(result));
  if (script_ || step_ >= steps_.size()) return;
  const auto& step = steps_[step_];
  if (step.kind == Step::Kind::prepare) {
    prepared_.insert_or_assign(step.prepared_sql, step.prepared_name);
    return;
  }
  if (step.kind == Step::Kind::statement && job_) keep(step.name, std::move(result));
}

void Session::keep(std::string_view query, ResultPtr result) {
  rows_.push_back(RowsBuilder::take(result.release()));
  if (!owner_->options().on_query) return;
  const auto now = std::chrono::steady_clock::now();
  owner_->options().on_query(query, now - last_result_, nullptr);
  last_result_ = now;
}

void Session::refused(const PGresult* result) {
  const auto sqlstate = field(result, PG_DIAG_SQLSTATE);
  if (sqlstate.empty() || error_)
    return;  // libpq's own: the connection is gone, which the caller of this sees
  // Behind the last step stands the Sync, where deferred constraints and the commit itself can fail. While
  // nobody waits for the job any more, the names of its statements may be gone too.
  std::string_view name = "commit";
  if (!job_) {
    name = "abandoned";
  } else if (script_) {
    name = job_->name();
  } else if (step_ < steps_.size()) {
    name = steps_[step_].name;
  }
  error_ = server_error(
      name, {sqlstate, field(result, PG_DIAG_MESSAGE_PRIMARY), field(result, PG_DIAG_CONSTRAINT_NAME)});
  error_sqlstate_ = sqlstate;
  if (job_) job_->failed_query = name;
}

void Session::report_failure(std::string_view query, const Error& error) const {
  if (!owner_->options().on_query) return;
  owner_->options().on_query(query, std::chrono::steady_clock::now() - last_result_, &error);
}

// ---- ends ----

/// The statement's plan or name is stale in this connection. The whole implicit transaction was rolled back,
/// so it can be sent again; a longer transaction cannot.
bool Session::should_retry(const Job& job) const {
  if (!error_ || job.retried || script_) return false;
  const bool stale = error_sqlstate_ == "26000" || error_sqlstate_ == "0A000" || error_sqlstate_ == "42P05";
  return stale && transaction_status() == PQTRANS_IDLE;
}

void Session::end_of_job() {
  in_flight_ = false;
  if (script_ && !PQenterPipelineMode(connection_.get())) return lose("the connection was lost");
  script_ = false;
  if (rolling_back_) {
    rolling_back_ = false;
    drain_timer_.cancel();
    if (transaction_status() != PQTRANS_IDLE) return lose("the transaction could not be rolled back");
    return settle();
  }
  if (!job_) return settle_if_drained();

  auto job = std::move(job_);
  if (should_retry(*job)) {
    job->retried = true;
    return start(std::move(job));
  }
  auto rows = std::move(rows_);
  auto error = std::move(error_);
  error_.reset();
  if (!error && scope_on_its_way_) scope_ = std::exchange(scope_on_its_way_, std::nullopt);
  job->session.reset();
  if (error && leased_ && (error_sqlstate_ == "26000" || error_sqlstate_ == "0A000")) {
    // Inside a transaction it cannot be sent again here; the caller may run the transaction again.
    prepared_.clear();
    retire_ = true;
    error->kind = errors::serialization.kind;
    error->code = errors::serialization.code;
  }
  if (error) report_failure(job->failed_query, *error);
  if (!leased_) settle();
  if (error) {
    job->finish(fail(std::move(*error)));
  } else {
    job->finish(std::move(rows));
  }
}

void Session::settle() {
  if (closed_) return;
  if (retire_) {
    auto* owner = owner_;
    const auto self = shared_from_this();
    shut();
    return owner->session_closed(*self);
  }
  if (transaction_status() != PQTRANS_IDLE) return roll_back();
  owner_->session_ready(*this);
}

void Session::roll_back() {
  steps_.clear();
  step_ = 0;
  stray_ends_ = 0;
  error_.reset();
  in_flight_ = rolling_back_ = true;
  drain_timer_.expires_after(kDrainLimit);
  drain_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (!error && self && self->rolling_back_) self->lose("the rollback was not answered");
  });
  if (!send(kRollback, {}, Step::Kind::prelude) || !PQpipelineSync(connection_.get()))
    return lose("the connection was lost");
  flush();
}

void Session::abandon() {
  if (!job_ || closed_) return;
  job_->session.reset();
  job_.reset();
  draining_ = true;
  request_cancel(std::chrono::steady_clock::now() + kDrainLimit);
}

/// The server ignores a request that arrives before it has begun the query, so it is asked again until the
/// query has ended.
void Session::request_cancel(SteadyTime until) {
  if (in_flight_ && !cancel_pending_) {
    CancelHandle cancel(PQgetCancel(connection_.get()));
    if (!cancel) return lose("the connection was lost");
    cancel_pending_ = true;
    owner_->send_cancel(std::move(cancel), weak_from_this());
  }
  drain_timer_.expires_at(std::min(until, std::chrono::steady_clock::now() + kCancelAgain));
  drain_timer_.async_wait([weak = weak_from_this(), until](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || !self->draining_ || self->closed_) return;
    if (std::chrono::steady_clock::now() >= until) return self->lose("the cancelled query did not end");
    self->request_cancel(until);
  });
}

void Session::cancel_sent() {
  cancel_pending_ = false;
  if (!closed_) settle_if_drained();
}

void Session::settle_if_drained() {
  // A cancel request that is still on its way could hit the next query on this connection.
  if (in_flight_ || cancel_pending_) return;
  draining_ = false;
  drain_timer_.cancel();
  error_.reset();
  if (!leased_) settle();
}

void Session::lose(std::string_view reason) {
  if (closed_) return;
  const auto self = shared_from_this();
  auto* owner = owner_;
  close(reason);
  owner->session_closed(*this);
}

void Session::close(std::string_view reason) {
  if (closed_) return;
  auto job = std::move(job_);
  // An error the server had reported before is the better answer, and it means that nothing was committed.
  auto error = error_ ? std::move(*error_) : connection_lost(job ? job->name() : "none", reason);
  if (job)
    report_failure(job->failed_query.empty() ? job->name() : std::string_view(job->failed_query), error);
  shut();
  if (!job) return;
  job->session.reset();
  job->finish(fail(std::move(error)));
}

void Session::shut() {
  closed_ = true;
  owner_ = nullptr;
  in_flight_ = draining_ = rolling_back_ = false;
  boost::system::error_code ignored;
  socket_.close(ignored);
  drain_timer_.cancel();
  connection_.reset();
}

}  // namespace intra365::postgres
