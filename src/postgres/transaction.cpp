// Transactions that stay open between calls. `begin` travels with the first statement.
#include "postgres/pool_impl.hpp"

namespace intra365::postgres {

namespace {
constexpr Query kCommit{"commit", "commit"};

Failure ended() {
  return fail(errors::query_failed, "the transaction has ended already");
}
}  // namespace

struct Transaction::Impl {
  std::shared_ptr<Pool::Impl> pool;
  Lease lease;
  std::string tenant;
  SteadyTime deadline;
  bool begun = false;
  bool failed = false;

  std::shared_ptr<Job> job(Job::Kind kind) const { return pool->job(kind, deadline); }
  Result<void> usable() const {
    if (!lease.session()) return ended();
    if (failed) return fail(errors::query_failed, "an earlier statement failed the transaction");
    return {};
  }
  Task<std::vector<Rows>> run(std::shared_ptr<Job> job) {
    CO_CHECK(usable());
    if (!begun) {
      job->begin = true;
      job->tenant = tenant;
    }
    auto outcome = co_await pool->run_on(lease.session(), std::move(job));
    begun = true;
    failed = !outcome;
    co_return outcome;
  }
  /// What travels by the simple protocol cannot bring the beginning along.
  Task<> open() {
    CO_CHECK(usable());
    if (begun) co_return Result<void>{};
    CO_CHECK(co_await run(job(Job::Kind::pipeline)));
    co_return Result<void>{};
  }
};

Transaction::Transaction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transaction::Transaction() = default;
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&&) noexcept = default;
Transaction::~Transaction() = default;  // the lease rolls back what is open

Task<Transaction> Pool::begin(Scope scope, SteadyTime deadline) {
  const auto impl = impl_;
  auto job = impl->job(Job::Kind::lease, deadline);
  CO_CHECK(co_await impl->run(job));
  auto state = std::make_unique<Transaction::Impl>();
  state->pool = impl;
  state->lease = std::move(job->lease);
  state->tenant = std::move(scope.tenant);
  state->deadline = deadline;
  co_return Transaction(std::move(state));
}

Task<Rows> Transaction::query(Query query, Parameters parameters) {
  if (!impl_) co_return ended();
  auto job = impl_->job(Job::Kind::pipeline);
  job->statements.push_back({query, std::move(parameters)});
  CO_TRY(auto rows, co_await impl_->run(std::move(job)));
  co_return std::move(rows.front());
}

Task<std::vector<Rows>> Transaction::pipeline(std::vector<Statement> statements) {
  if (!impl_) co_return ended();
  if (statements.empty()) co_return std::vector<Rows>{};
  auto job = impl_->job(Job::Kind::pipeline);
  job->statements = std::move(statements);
  co_return co_await impl_->run(std::move(job));
}

Task<> Transaction::execute(std::string sql) {
  if (!impl_) co_return ended();
  CO_CHECK(co_await impl_->open());
  auto job = impl_->job(Job::Kind::script);
  job->script = std::move(sql);
  CO_CHECK(co_await impl_->run(std::move(job)));
  if (impl_->lease.session()->transaction_status() != PQTRANS_INTRANS) {
    impl_->failed = true;
    co_return fail(errors::query_failed, "a script ended the transaction it ran in");
  }
  co_return Result<void>{};
}

Task<std::uint64_t> Transaction::copy(Query query, CopyRows rows) {
  if (!impl_) co_return ended();
  if (rows.empty()) co_return std::uint64_t{0};
  CO_CHECK(co_await impl_->open());
  auto job = impl_->job(Job::Kind::copy);
  job->statements.push_back({query, {}});
  job->script = std::string(query.sql);
  job->copied = std::move(rows.text_);
  CO_TRY(const auto stored, co_await impl_->run(std::move(job)));
  co_return stored.empty() ? 0 : stored.back().affected();
}

Task<> Transaction::commit() {
  if (!impl_) co_return ended();
  CO_CHECK(impl_->usable());
  if (impl_->begun) {
    auto job = impl_->job(Job::Kind::pipeline);
    job->statements.push_back({kCommit, {}});
    CO_CHECK(co_await impl_->run(std::move(job)));
  }
  impl_->lease.release();
  co_return Result<void>{};
}

Task<> Transaction::rollback() {
  if (impl_) impl_->lease.release();
  co_return Result<void>{};
}

}  // namespace intra365::postgres
