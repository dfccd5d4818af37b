// Point reads through the pool, the work of `pgbench -S -M prepared`, on the same tables so that both can be
// run side by side: INTRA365_BENCH_DSN names a database that `pgbench -i` has filled. Each of ours also sets
// the tenant, which pgbench does not.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <random>

#include "postgres/convert.hpp"
#include "postgres/pool.hpp"

namespace intra365::postgres {
namespace {

constexpr Query kRead{"account_read", "select abalance from pgbench_accounts where aid = $1"};
constexpr int kAccounts = 100'000;

struct Run {
  std::size_t left = 0, failed = 0;
  std::minstd_rand random{42};
};

asio::awaitable<void> read_accounts(Pool& pool, Run& run) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (run.left > 0) {
    --run.left;
    auto id = postgres::bind(static_cast<int>(run.random() % kAccounts) + 1);
    Scope scope("bench");
    const auto rows = co_await pool.query(std::move(scope), kRead, std::move(id), deadline);
    if (!rows || rows->size() != 1) ++run.failed;
  }
}

/// Arguments: connections, callers at once.
void point_reads(benchmark::State& state) {
  const char* dsn = std::getenv("INTRA365_BENCH_DSN");
  if (!dsn) return state.SkipWithError("INTRA365_BENCH_DSN is not set");
  asio::io_context io(1);
  PoolOptions options;
  options.dsn = dsn;
  options.max_connections = static_cast<std::size_t>(state.range(0));
  Pool pool(io.get_executor(), options);
  constexpr std::size_t kReads = 20'000;
  Run run;
  for (auto _ : state) {
    run.left = kReads;
    for (std::int64_t i = 0; i < state.range(1); ++i)
      asio::co_spawn(io, read_accounts(pool, run), asio::detached);
    io.restart();
    while (run.left > 0) io.run_one();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kReads));
  if (run.failed > 0) state.SkipWithError("reads failed");
  pool.close();
  io.restart();
  io.run_for(std::chrono::milliseconds(200));
}
BENCHMARK(point_reads)
    ->Args({1, 1})
    ->Args({16, 16})
    ->Args({16, 64})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(4);

}  // namespace
}  // namespace intra365::postgres
