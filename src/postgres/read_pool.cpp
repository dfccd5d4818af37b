#include "postgres/read_pool.hpp"

#include <algorithm>

namespace intra365::postgres {
namespace {

constexpr std::size_t kMaxSamples = 4096;
constexpr auto kTired = std::chrono::milliseconds(100);
/// One that does not answer costs a caller half of its time each time it is asked: at most 100 ms * 2^6.
constexpr int kMaxDoublings = 6;

// Not where the log is written to: a transaction that does not wait for the disk is visible before that.
constexpr Query kEnd{"read_pool_end",
                     "select pg_current_wal_insert_lsn()::text, "
                     "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int::text"};
/// The last timeline that the standby has surely replayed. It may be a while behind; the primary answers
/// meanwhile.
constexpr Query kTimeline{"read_pool_timeline",
                          "select greatest((pg_control_recovery()).min_recovery_end_timeline, "
                          "(pg_control_checkpoint()).timeline_id)::text"};
// Null where it was promoted: then it follows nobody any more.
constexpr Query kReplayed{"read_pool_replayed",
                          "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()::text end"};

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

Result<Lsn> lsn_in(const Rows& rows) {
  return Lsn::parse(rows.value(0, 0).value_or(""));
}

/// A standby cancels reads that stand in the way of its replay; another server may have what this one lacks.
bool worth_asking_elsewhere(const Error& error) {
  return error.is(errors::unavailable) || error.is(errors::serialization) || error.is(errors::timeout) ||
         error.is(errors::pool_full);
}

}  // namespace

ReadPool::ReadPool(asio::any_io_executor executor, Pool& primary, ReadPoolOptions options)
    : primary_(primary), options_(std::move(options)) {
  for (auto& one : options_.standbys) {
    Standby standby;
    standby.pool = std::make_unique<Pool>(executor, one);
    standbys_.push_back(std::move(standby));
  }
}

ReadPool::~ReadPool() = default;

Task<Lsn> ReadPool::position(SteadyTime deadline) {
  Scope none;
  CO_TRY(const auto rows, co_await primary_.query(none, kEnd, {}, deadline));
  const auto timeline = rows.value(0, 1).value_or("");
  if (timeline != timeline_) {
    // Another server is the primary now. Its log is no continuation of what standbys of the old one may have.
    timeline_ = timeline;
    samples_.clear();
  }
  co_return lsn_in(rows);
}

Task<> ReadPool::watch() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto asked = now();
    const auto end = co_await position(asked + std::chrono::seconds(1));
    if (end) samples_.push_back({asked, *end});
    if (samples_.size() > kMaxSamples) samples_.pop_front();
    co_await sleep_for(options_.poll);
  }
  co_return Result<void>{};
}

std::optional<Lsn> ReadPool::needed(const Freshness& freshness, SteadyTime now) const {
  // Whatever was committed before `since` is in front of the log's end as it was at any time after it.
  const auto since = now - freshness.at_most;
  const auto sample = std::ranges::lower_bound(samples_, since, {}, [](const Sample& one) { return one.at; });
  if (sample == samples_.end()) return std::nullopt;
  return std::max(sample->end, freshness.at_least);
}

ReadPool::Standby* ReadPool::next_standby(SteadyTime now) {
  for (std::size_t tried = 0; tried < standbys_.size(); ++tried) {
    auto& standby = standbys_[turn_++ % standbys_.size()];
    if (standby.tired_until <= now && standby.pool->reachable()) return &standby;
  }
  return nullptr;
}

Task<std::optional<Rows>> ReadPool::ask(Standby& standby, Scope scope, Query query, Parameters parameters,
                                        Lsn needed, SteadyTime deadline) {
  std::vector<Statement> statements;
  const bool is_known = standby.timeline == timeline_;
  if (!is_known) statements.push_back({kTimeline, {}});
  // In this order: what is replayed then is visible to the statement behind it.
  statements.push_back({kReplayed, {}});
  statements.push_back({query, std::move(parameters)});
  auto rows = co_await standby.pool->atomically(std::move(scope), std::move(statements), deadline);
  if (!rows && !worth_asking_elsewhere(rows.error())) co_return fail(std::move(rows).error());
  standby.failures = rows ? 0 : std::min(standby.failures + 1, kMaxDoublings);
  if (rows) {
    const auto timeline = is_known ? timeline_ : rows->front().value(0, 0).value_or("");
    if (timeline == timeline_) standby.timeline = timeline_;
    const auto replayed = lsn_in(rows->at(rows->size() - 2));
    if (timeline == timeline_ && replayed && *replayed >= needed) co_return std::move(rows->back());
    ++counts_.behind;
  }
  standby.tired_until = now() + kTired * (1 << standby.failures);
  co_return std::optional<Rows>();
}

Task<Rows> ReadPool::query(Scope scope, Query query, Parameters parameters, Freshness freshness,
                           SteadyTime deadline) {
  const auto begun = now();
  const auto reached = needed(freshness, begun);
  auto* standby = reached ? next_standby(begun) : nullptr;
  if (standby != nullptr) {
    // Half of the time, so that the primary can still answer.
    const auto patience = begun + (deadline - begun) / 2;
    CO_TRY(auto rows, co_await ask(*standby, scope, query, parameters, *reached, patience));
    if (rows) {
      ++counts_.standby;
      co_return *std::move(rows);
    }
  }
  ++counts_.primary;
  co_return co_await primary_.query(std::move(scope), query, std::move(parameters), deadline);
}

}  // namespace intra365::postgres
