// Durable publishing and the mirrored bucket. Needs a server with JetStream at $INTRA365_NATS_URL; what its
// sync_interval is decides what the numbers mean.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "nats/jetstream.hpp"
#include "nats/key_value.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;

SteadyTime soon() {
  return std::chrono::steady_clock::now() + 30s;
}

class Bench {
 public:
  explicit Bench(benchmark::State& state) : state_(state) {}
  template <class Body>
  void run(Body body) {
    const char* url = std::getenv("INTRA365_NATS_URL");
    if (!url) return state_.SkipWithError("INTRA365_NATS_URL is not set");
    asio::io_context context{1};
    Options options;
    options.urls = {url};
    Connection connection(context.get_executor(), options);
    JetStream jetstream(connection, 30s);
    asio::co_spawn(context, contain(all(body, connection, jetstream)),
                   [&](std::exception_ptr, Result<void> ended) {
                     if (!ended) state_.SkipWithError(ended.error().detail.c_str());
                     context.stop();
                   });
    context.run();
  }

 private:
  template <class Body>
  static Task<> all(Body& body, Connection& connection, JetStream& jetstream) {
    CO_CHECK(co_await connection.connect(soon()));
    co_return co_await body(jetstream);
  }
  benchmark::State& state_;
};

Task<> make_stream(JetStream& jetstream) {
  (void)co_await jetstream.delete_stream("bench");
  StreamConfig config;
  config.name = "bench";
  config.subjects.push_back("bench.>");
  config.allow_atomic = true;
  CO_CHECK(co_await jetstream.ensure_stream(config));
  co_return Result<void>();
}

std::vector<Outgoing> batch_of(std::size_t size) {
  std::vector<Outgoing> batch(size);
  for (std::size_t i = 0; i < size; ++i) {
    batch[i].subject = "bench.a." + std::to_string(i % 100);
    batch[i].payload.assign(256, 'x');
  }
  return batch;
}

/// `range(0)` messages of 256 bytes in a batch, `range(1)` batches at once.
void publish_batch(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto at_once = static_cast<std::size_t>(state.range(1));
  Bench(state).run([&](JetStream& jetstream) -> Task<> {
    CO_CHECK(co_await make_stream(jetstream));
    const auto batch = batch_of(size);
    asio::steady_timer ended(jetstream.connection().executor());
    for (auto _ : state) {
      std::size_t left = at_once;
      Result<void> outcome;
      for (std::size_t i = 0; i < at_once; ++i) {
        asio::co_spawn(jetstream.connection().executor(), jetstream.publish_batch(batch),
                       [&](std::exception_ptr, Result<PublishAck> ack) {
                         if (!ack) outcome = fail(ack.error());
                         if (--left == 0) ended.cancel();
                       });
      }
      ended.expires_at(SteadyTime::max());
      boost::system::error_code ignored;
      co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      CO_CHECK(outcome);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(size * at_once));
    co_return co_await jetstream.delete_stream("bench");
  });
}
BENCHMARK(publish_batch)
    ->Args({1, 1})
    ->Args({100, 1})
    ->Args({1000, 1})
    ->Args({1000, 4})
    ->Args({1000, 16})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void find(benchmark::State& state) {
  const auto keys = static_cast<int>(state.range(0));
  Bench(state).run([&](JetStream& jetstream) -> Task<> {
    BucketConfig config;
    config.name = "bench";
    config.storage = "memory";
    CO_CHECK(co_await KeyValue::ensure(jetstream, config));
    std::vector<std::string> names;
    for (int i = 0; i < keys; ++i) {
      names.push_back("user-" + std::to_string(i) + ".mate-" + std::to_string(i * 7));
      CO_CHECK(jetstream.connection().publish("$KV.bench." + names.back(), "some value of a bucket"));
      if (i % 1000 == 999) CO_CHECK(co_await jetstream.connection().flush(soon()));
    }
    CO_CHECK(co_await jetstream.connection().flush(soon()));
    WatchedBucket mirror(jetstream, "bench");
    const auto began = std::chrono::steady_clock::now();
    CO_CHECK(co_await mirror.start(soon()));
    state.counters["load_ms"] =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
    std::size_t at = 0, found = 0;
    for (auto _ : state) {
      found += mirror.find(names[at]) != nullptr;
      at = (at + 7919) % names.size();
    }
    if (found != static_cast<std::size_t>(state.iterations())) state.SkipWithError("a key is missing");
    co_return co_await jetstream.delete_stream("KV_bench");
  });
}
BENCHMARK(find)->Arg(1000)->Arg(100'000);

}  // namespace
}  // namespace intra365::nats
