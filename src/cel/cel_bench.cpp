// What an evaluation costs, and that it does not allocate.
#include <benchmark/benchmark.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <new>

#include "cel/program.hpp"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace intra365::cel {
namespace {

const auto& document() {
  static const auto value = boost::json::parse(R"({
    "user": {"id": "u-4711", "age": 42, "roles": ["nurse", "night-shift"], "country": "NL"},
    "mate": {"id": "health-advisor", "trust": 0.92},
    "context": {"device": "tablet", "time": "2026-02-03T10:00:00Z", "ip": "10.1.2.3"}
  })");
  return value.get_object();
}

void evaluate(benchmark::State& state, const char* source) {
  const auto program = compile(source);
  Arena arena;
  const JsonActivation variables(document());
  if (!program || !program->evaluate(variables, arena).is_true()) return state.SkipWithError("not true");
  const auto before = allocations.load();
  for (auto _ : state) benchmark::DoNotOptimize(program->evaluate(variables, arena));
  state.counters["allocations"] =
      static_cast<double>(allocations.load() - before) / static_cast<double>(state.iterations());
}

void compile_once(benchmark::State& state, const char* source) {
  for (auto _ : state) benchmark::DoNotOptimize(compile(source));
}

BENCHMARK_CAPTURE(evaluate, compare_a_number, "user.age >= 18");
BENCHMARK_CAPTURE(evaluate, three_conditions,
                  "user.age >= 18 && context.device in ['phone', 'tablet'] && mate.trust > 0.9");
BENCHMARK_CAPTURE(evaluate, any_of_a_list, "user.roles.exists(r, r == 'nurse' || r == 'doctor')");
BENCHMARK_CAPTURE(evaluate, a_pattern, "context.ip.matches('^10[.]')");
BENCHMARK_CAPTURE(evaluate, a_time, "timestamp(context.time).getHours('Europe/Amsterdam') == 11");
BENCHMARK_CAPTURE(compile_once, three_conditions,
                  "user.age >= 18 && context.device in ['phone', 'tablet'] && mate.trust > 0.9");

}  // namespace
}  // namespace intra365::cel
