// Decisions of the policy engine, in-process, at 10 to 100,000 policies, beside other engines on the same
// policies and questions in the same run. A peer whose toolchain is missing is skipped, and named.
//
//   policy_bench [--json] [--seconds N] [--sizes 10,100,…] [--without-peers]
//   policy_bench --differential N    compares N decisions on random sets with Cedar's, one by one
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <new>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "bench/policy_peers.hpp"
#include "bench/policy_workload.hpp"
#include "bench/report.hpp"
#include "policy/reference.hpp"
#include "policy/snapshot.hpp"

namespace {

std::size_t allocations = 0;

}  // namespace

// Counts what the decision path allocates; the replacement is this program's only.
void* operator new(std::size_t size) {
  ++allocations;
  if (auto* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace intra365;
using policy::Snapshot;
using Nanoseconds = std::chrono::duration<double, std::nano>;

constexpr std::size_t kLargestForPeers = 10'000;

struct Options {
  bool json = false, peers = true;
  double seconds = 1;
  std::size_t differential = 0;
  std::vector<std::size_t> sizes{10, 100, 1000, 10'000, 100'000};
};

/// The cheapest clock there is: on x86 the time stamp counter, whose reading costs about 10 ns.
std::uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

double now_ns() {
  return Nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double ns_per_tick() {
  const auto begin_ns = now_ns();
  const auto begin = ticks();
  while (now_ns() - begin_ns < 5e7) continue;
  return (now_ns() - begin_ns) / double(ticks() - begin);
}

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "policy_bench: %s\n", why.c_str());
  std::exit(1);
}

std::vector<policy::Question> questions_of(const bench::Workload& workload) {
  std::vector<policy::Question> questions;
  for (const auto& one : workload.questions)
    questions.push_back({one.subject, one.action, one.resource, one.attributes.if_object()});
  return questions;
}

/// A wrong answer given fast is worth nothing: before any clock starts, every answer is checked against the
/// plain evaluator, as long as that ends within a minute.
std::size_t check(const bench::Workload& workload, const Snapshot& snapshot,
                  const std::vector<policy::Question>& all) {
  policy::Scratch scratch;
  const auto most = workload.policies.size() > 10'000
                        ? std::size_t{20}
                        : std::min<std::size_t>(all.size(), 400'000 / workload.policies.size() + 20);
  std::size_t allowed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool ours = snapshot.decide(all[i], scratch).allowed();
    allowed += ours;
    if (i < most && ours != policy::reference::decide(workload.policies, all[i]).allowed)
      stop("question " + std::to_string(i) + " is answered wrongly");
  }
  return allowed;
}

void measure(std::size_t size, const Options& options, bench::Report& report) {
  const auto workload = bench::make_workload(size);
  const auto text = json::encode(workload);
  const auto id = [&](const char* what) { return std::to_string(size) + "." + what; };

  // Load and compile, from JSON text.
  std::vector<double> loads;
  Snapshot::Pointer snapshot;
  for (int round = 0; round < (size > 10'000 ? 3 : 9); ++round) {
    const auto begin = now_ns();
    auto read = json::decode<bench::Workload>(text, json::Unknown::ignore);
    if (!read) stop(read.error().detail);
    const auto parsed = now_ns();
    auto compiled = Snapshot::compile(std::move(read->policies));
    if (!compiled) stop(compiled.error().detail);
    loads.push_back(now_ns() - parsed);
    (void)begin;
    snapshot = *compiled;
  }
  std::ranges::sort(loads);

  const auto questions = questions_of(workload);
  const auto allowed = check(workload, *snapshot, questions);
  std::fprintf(stderr, "%zu policies: %zu of %zu questions allowed\n", size, allowed, questions.size());

  // Publish one, again and again: every change makes a snapshot that could serve.
  std::vector<double> publishes;
  auto changing = snapshot;
  for (std::size_t i = 0; i < 1200; ++i) {
    auto one = workload.policies[i % workload.policies.size()];
    one.version = i + 2;
    const auto begin = now_ns();
    auto next = changing->with(std::move(one));
    publishes.push_back(now_ns() - begin);
    if (!next) stop(next.error().detail);
    changing = *next;
  }
  std::ranges::sort(publishes);

  policy::Scratch scratch;
  std::size_t yes = 0;
  for (const auto& one : questions) yes += snapshot->decide(one, scratch).allowed();  // warm

  const double tick = ns_per_tick();
  std::vector<std::uint64_t> singles;
  singles.reserve(4'000'000);
  const auto end = now_ns() + options.seconds * 1e9;
  while (now_ns() < end && singles.size() + questions.size() < singles.capacity()) {
    for (const auto& one : questions) {
      const auto begin = ticks();
      yes += snapshot->decide(one, scratch).allowed();
      singles.push_back(ticks() - begin);
    }
  }
  std::ranges::sort(singles);
  const auto percentile = [&](double part) {
    return tick * double(singles[static_cast<std::size_t>(part * double(singles.size() - 1))]);
  };

  const auto allocated = allocations;
  const auto started = now_ns();
  std::size_t decisions = 0;
  while (now_ns() - started < options.seconds * 1e9) {
    for (const auto& one : questions) yes += snapshot->decide(one, scratch).allowed();
    decisions += questions.size();
  }
  const double throughput = double(decisions) / (now_ns() - started) * 1e9;
  const auto grown = allocations - allocated;
  if (yes == 0) stop("nothing was ever allowed");

  std::map<std::string, double> p50s, p99s, throughputs, compiles;
  if (options.peers && size <= kLargestForPeers) {
    const bench::WorkloadFile file(workload);
    for (const std::string peer : {"cedar", "casbin", "opa"}) {
      const auto result = bench::run_peer(peer, file, options.seconds);
      if (!result) continue;
      if (result->complete && result->allowed != allowed)
        stop(peer + " allows " + std::to_string(result->allowed) + " questions, we " +
             std::to_string(allowed));
      p50s[peer] = result->p50;
      p99s[peer] = result->p99;
      throughputs[peer] = result->throughput;
      compiles[peer] = result->compile_ms;
    }
  } else if (options.peers) {
    std::fprintf(stderr, "%zu policies: without peers, which walk every policy or compile for minutes\n",
                 size);
  }

  const bool judged = size == 10'000;
  const auto aim = [&](double value) { return judged ? std::optional(value) : std::nullopt; };
  report.add({id("p50"), "ns", "lower", percentile(0.5), p50s, aim(300), {}});
  report.add({id("p99"), "ns", "lower", percentile(0.99), p99s, aim(2000), {}});
  report.add({id("throughput"), "1/s", "higher", throughput, throughputs, {}, {}});
  report.add({id("allocations"), "per 1000", "lower", double(grown) * 1000 / double(decisions), {}, 0.0, {}});
  report.add({id("compile"), "ms", "lower", loads[loads.size() / 2] / 1e6, compiles, aim(250), {}});
  report.add(
      {id("publish_one"), "ms", "lower", publishes[publishes.size() * 99 / 100] / 1e6, {}, aim(5), {}});
  report.add({id("publish_one_max"), "ms", "lower", publishes.back() / 1e6, {}, {}, {}});
}

/// Every decision of random sets, beside Cedar's. Exits with 1 at the first difference, which it shows.
void compare_with_cedar(std::size_t decisions) {
  policy::Scratch scratch;
  std::size_t compared = 0, allowed = 0;
  for (std::uint64_t seed = 1; compared < decisions; ++seed) {
    const auto workload = bench::make_random_workload(seed);
    const bench::WorkloadFile file(workload);
    const auto theirs = bench::cedar_answers(file);
    if (!theirs) stop("Cedar is not built here, or has failed");
    const auto snapshot = Snapshot::compile(workload.policies);
    if (!snapshot) stop(snapshot.error().detail);
    const auto questions = questions_of(workload);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const bool ours = (*snapshot)->decide(questions[i], scratch).allowed();
      if (theirs->size() != questions.size() || ours != (theirs->at(i) == '1'))
        stop("seed " + std::to_string(seed) + ", question " + json::encode(workload.questions[i]) +
             ": we say " + (ours ? "allow" : "deny"));
      allowed += ours;
    }
    compared += questions.size();
  }
  std::printf("%zu decisions agree with Cedar, %zu of them allow\n", compared, allowed);
}

Options read_options(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view one(arguments[i]);
    if (one == "--json") {
      options.json = true;
    } else if (one == "--without-peers") {
      options.peers = false;
    } else if (one == "--differential" && i + 1 < count) {
      options.differential = std::strtoul(arguments[++i], nullptr, 10);
    } else if (one == "--seconds" && i + 1 < count) {
      options.seconds = std::atof(arguments[++i]);
    } else if (one == "--sizes" && i + 1 < count) {
      options.sizes.clear();
      for (const char* at = arguments[++i]; *at != 0;) {
        char* rest = nullptr;
        options.sizes.push_back(std::strtoul(at, &rest, 10));
        if (rest == at || options.sizes.back() == 0) stop("--sizes takes numbers and commas");
        at = *rest == ',' ? rest + 1 : rest;
      }
    } else {
      stop("unknown option " + std::string(one));
    }
  }
  return options;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(count, arguments);
  if (options.peers) {
    bench::build_peers();
    std::fprintf(stderr, "cerbos: skipped; it is a server, and is compared with the gateway's AuthZEN\n");
  }
  if (options.differential > 0) {
    compare_with_cedar(options.differential);
    return 0;
  }
  bench::Report report{"policy", bench::machine(), {}};
  for (const auto size : options.sizes) measure(size, options, report);
  const auto throughput = [&](const std::string& size) {
    const auto row = std::ranges::find(report.rows, size + ".throughput", &bench::Row::id);
    return row == report.rows.end() ? 0.0 : row->ours;
  };
  if (const auto small = throughput("100"), large = throughput("10000"); small > 0 && large > 0)
    report.add({"loss_100_to_10000", "x", "lower", small / large, {}, 1.6, {}});
  report.print(options.json);
}
