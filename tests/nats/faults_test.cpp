// A cluster loses nodes, leaders and networks while a publisher counts acknowledgements and a consumer
// checks: what was acknowledged is stored, once, and delivered.
#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "nats/jetstream_consume.hpp"
#include "nats/jetstream_headers.hpp"
#include "nats/jetstream_ordered.hpp"
#include "tests/nats/cluster.hpp"

namespace intra365::nats {
namespace {

using namespace std::chrono_literals;
using intra365::testing::NatsCluster;

SteadyTime in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

Options options_for(const NatsCluster& cluster, std::string name) {
  Options options;
  options.urls = cluster.urls();
  options.name = std::move(name);
  options.use_discovered = false;
  options.connect_timeout = 1000ms;
  options.ping_interval = 300ms;
  options.reconnect_wait = 10ms;
  options.reconnect_wait_max = 200ms;
  return options;
}

/// Publishes numbers, each until it is acknowledged, a few at a time.
struct Publisher {
  static constexpr int kLanes = 8;

  asio::awaitable<void> lane() {
    while (!stopping) {
      const auto number = next++;
      PublishOptions once;
      once.message_id = "m" + std::to_string(number);
      const auto headers = with_options({}, once);
      const auto payload = std::to_string(number);
      for (;;) {
        const auto ack = co_await jetstream.publish("f.numbers", payload, *headers);
        if (ack) {
          acknowledged.insert(number);
          if (ack->duplicate) ++duplicates;
          break;
        }
        ++failures;
        co_await sleep_for(20ms);
      }
    }
    --running;
  }

  JetStream& jetstream;
  std::uint64_t next = 0, failures = 0, duplicates = 0;
  std::set<std::uint64_t> acknowledged;
  bool stopping = false;
  int running = kLanes;
};

struct Checker {
  asio::awaitable<void> run() {
    while (!stopping) {
      const auto delivered = co_await consumer.next(in(200ms));
      if (!delivered) continue;
      seen.insert(std::stoull(std::string(delivered->message.payload())));
      ++deliveries;
      jetstream.acknowledge(*delivered);
    }
    done = true;
  }
  JetStream& jetstream;
  PullConsumer consumer{jetstream, "f", "checker"};
  std::set<std::uint64_t> seen;
  std::uint64_t deliveries = 0;
  bool stopping = false, done = false;
};

Task<> set_up(JetStream& jetstream) {
  StreamConfig config;
  config.name = "f";
  config.subjects = {"f.>"};
  config.num_replicas = 3;
  ConsumerConfig durable;
  durable.durable_name = "checker";
  durable.ack_wait = 2s;
  durable.max_ack_pending = 1000;
  Result<void> ready = fail(errors::timeout);
  const auto until = in(30s);
  // The cluster elects its leader first.
  while (!ready && std::chrono::steady_clock::now() < until) {
    const auto made = co_await jetstream.ensure_stream(config);
    if (made) ready = co_await jetstream.ensure_consumer("f", durable);
    if (!ready) co_await sleep_for(100ms);
  }
  co_return ready;
}

Task<std::size_t> leader_of(JetStream& jetstream) {
  const auto until = in(20s);
  for (;;) {
    const auto info = co_await jetstream.stream_info("f");
    if (info && info->cluster.leader.size() == 2) co_return std::size_t(info->cluster.leader[1] - '0');
    if (std::chrono::steady_clock::now() > until) co_return fail(errors::timeout, "no leader");
    co_await sleep_for(50ms);
  }
}

/// Until `count` more have been acknowledged: the stream works again.
Task<> progress(Publisher& publisher, std::size_t count) {
  const auto wanted = publisher.acknowledged.size() + count;
  const auto until = in(40s);
  while (publisher.acknowledged.size() < wanted) {
    if (std::chrono::steady_clock::now() > until) co_return fail(errors::timeout, "the publisher is stuck");
    co_await sleep_for(10ms);
  }
  co_return Result<void>();
}

Task<> break_things(NatsCluster& cluster, JetStream& jetstream, Publisher& publisher) {
  const auto told = [&](const char* what) {
    std::cout << what << ": " << publisher.acknowledged.size() << " acknowledged, " << publisher.failures
              << " failures so far\n";
  };
  CO_CHECK(co_await progress(publisher, 500));
  told("quiet");
  for (std::size_t i = 0; i < NatsCluster::kNodes; ++i) cluster.front(i).cut();
  CO_CHECK(co_await progress(publisher, 500));
  told("connections cut");
  CO_CHECK(co_await jetstream.step_down("f"));
  CO_CHECK(co_await progress(publisher, 500));
  told("leader stepped down");
  CO_TRY(const auto killed, co_await leader_of(jetstream));
  cluster.node(killed).kill();
  CO_CHECK(co_await progress(publisher, 300));
  cluster.node(killed).restart();
  CO_CHECK(co_await progress(publisher, 300));
  told("leader killed and started again");
  CO_TRY(const auto paused, co_await leader_of(jetstream));
  cluster.node(paused).pause();
  CO_CHECK(co_await progress(publisher, 300));
  cluster.node(paused).resume();
  CO_CHECK(co_await progress(publisher, 300));
  told("leader paused");
  CO_TRY(const auto isolated, co_await leader_of(jetstream));
  cluster.isolate(isolated);
  CO_CHECK(co_await progress(publisher, 300));
  cluster.rejoin(isolated);
  CO_CHECK(co_await progress(publisher, 300));
  told("leader cut off from everybody");
  CO_TRY(const auto lame, co_await leader_of(jetstream));
  ::kill(cluster.node(lame).pid(), SIGUSR2);
  CO_CHECK(co_await progress(publisher, 300));
  cluster.node(lame).restart();
  CO_CHECK(co_await progress(publisher, 300));
  told("lame duck");
  co_return Result<void>();
}

/// What the stream holds, in order. An ordered consumer lives on one replica, which may have just come back
/// and not know the newest messages yet: it has read everything when it has read as much as the leader holds.
Task<std::vector<std::uint64_t>> read_all(JetStream& jetstream) {
  const auto until = in(30s);
  // For a moment after a change of leaders a server says that JetStream is not available.
  auto held = co_await jetstream.stream_info("f");
  while (!held && held.error().kind == ErrorKind::unavailable && std::chrono::steady_clock::now() < until) {
    co_await sleep_for(100ms);
    held = co_await jetstream.stream_info("f");
  }
  if (!held) co_return fail(held.error());
  OrderedConsumer ordered(jetstream, "f");
  std::vector<std::uint64_t> numbers;
  while (numbers.size() < held->state.messages && std::chrono::steady_clock::now() < until) {
    const auto next = co_await ordered.next(in(1s));
    if (!next && next.error().kind != ErrorKind::unavailable && !next.error().is(errors::timeout))
      co_return fail(next.error());
    if (next && *next) numbers.push_back(std::stoull(std::string((*next)->message.payload())));
  }
  co_return numbers;
}

TEST(Faults, nothing_acknowledged_is_lost_and_nothing_is_stored_twice) {
  NatsCluster cluster;
  asio::io_context io(1);
  Connection publishing(io.get_executor(), options_for(cluster, "publisher"));
  Connection consuming(io.get_executor(), options_for(cluster, "consumer"));
  Connection managing(io.get_executor(), options_for(cluster, "manager"));
  JetStream to(publishing, 2000ms), from(consuming, 2000ms), manager(managing, 5000ms);
  Publisher publisher{to};
  Checker checker{from};
  Result<void> broken = fail(errors::timeout, "the test did not end");

  const auto story = [&]() -> Task<> {
    CO_CHECK(co_await publishing.connect(in(20s)));
    CO_CHECK(co_await consuming.connect(in(20s)));
    CO_CHECK(co_await managing.connect(in(20s)));
    CO_CHECK(co_await set_up(manager));
    for (int i = 0; i < Publisher::kLanes; ++i) asio::co_spawn(io, publisher.lane(), asio::detached);
    asio::co_spawn(io, checker.run(), asio::detached);
    auto outcome = co_await break_things(cluster, manager, publisher);
    publisher.stopping = true;
    const auto until = in(40s);
    while ((publisher.running > 0 || checker.seen.size() < publisher.acknowledged.size()) &&
           std::chrono::steady_clock::now() < until)
      co_await sleep_for(20ms);
    checker.stopping = true;
    while (!checker.done) co_await sleep_for(20ms);
    CO_CHECK(outcome);
    CO_TRY(const auto stored, co_await read_all(manager));
    const std::set<std::uint64_t> unique(stored.begin(), stored.end());
    EXPECT_EQ(unique.size(), stored.size()) << "stored twice under deduplication";
    for (const auto number : publisher.acknowledged) {
      EXPECT_TRUE(unique.contains(number)) << number << " was acknowledged and is lost";
      EXPECT_TRUE(checker.seen.contains(number)) << number << " was not delivered";
    }
    std::cout << publisher.acknowledged.size() << " acknowledged (" << publisher.duplicates
              << " by a repeated attempt, " << publisher.failures << " attempts failed), " << stored.size()
              << " stored, " << checker.deliveries << " deliveries, consumer recovered "
              << checker.consumer.counters().recoveries << " times, " << publishing.statistics().reconnects
              << " reconnects\n";
    co_return Result<void>();
  };
  asio::co_spawn(io, contain(story()), [&](std::exception_ptr, Result<void> result) {
    broken = std::move(result);
    io.stop();
  });
  io.run_for(240s);
  EXPECT_TRUE(broken) << broken.error().code << ": " << broken.error().detail;
  for (const auto* connection : {&publishing, &consuming, &managing})
    EXPECT_GE(connection->statistics().reconnects, 1u) << "every connection was cut once";
}

}  // namespace
}  // namespace intra365::nats
