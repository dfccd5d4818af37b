// Consent: decisions in-process among 10 thousand to 10 million consents; and, on a running platform,
// verification over NATS beside an echo on the same path, durable grants, and how long a revocation takes to
// reach the last enforcement point.
//
//   consent_bench [--json] [--seconds N] [--sizes 10000,…] [--only index|platform]
#include <cstring>

#include "bench/consent_platform.hpp"
#include "bench/process.hpp"
#include "bench/report.hpp"
#include "guard/consent_index.hpp"

namespace {

std::size_t allocations = 0;

}  // namespace

// Counts what a decision allocates; the replacement is this program's only.
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

struct Options {
  bool json = false, index = true, platform = true;
  double seconds = 3;
  std::vector<std::size_t> sizes{10'000, 100'000, 1'000'000, 10'000'000};
};

const Timestamp kNow = *parse_rfc3339("2026-06-01T12:00:00Z");
constexpr const char* kPurposes[] = {"analytics", "personalization", "medical-analysis", "support",
                                     "billing"};
constexpr const char* kScopes[] = {"profile",       "profile.read",  "health.records", "health.steps",
                                   "calendar.read", "mail.send",     "image.analyze",  "location",
                                   "contacts.read", "payments.read", "photos",         "documents.read"};

/// A person of a tenant has ten consents, each for another of 1,000 Mates.
consent::Consent consent_number(std::size_t n) {
  char id[40];
  std::snprintf(id, sizeof id, "0198c3a4-%04zx-7%03zx-8%03zx-%012zx", n >> 16 & 0xffff, n >> 4 & 0xfff,
                n & 0xfff, n * 2654435761 & 0xffffffffffff);
  consent::Consent one;
  one.consent_id = ConsentId::trusted(id);
  one.user_id = UserId::trusted("user-" + std::to_string(n / 10));
  one.mate_id = MateId::trusted("mate-" + std::to_string((n * 7919) % 1000));
  one.purposes = {Purpose::trusted(kPurposes[n % 5])};
  one.scopes = {Scope::trusted(kScopes[n % 12]), Scope::trusted(kScopes[(n + 5) % 12])};
  one.granted = n % 10 != 9;
  one.granted_at = kNow;
  if (n % 3 == 0) one.expires_at = kNow + std::chrono::hours(1);
  one.epoch = n;
  return one;
}

void index_rows(std::size_t size, const Options& options, bench::Report& report) {
  guard::ConsentIndex index;
  const auto begun = std::chrono::steady_clock::now();
  double making = 0;
  constexpr std::size_t kBatch = 10'000;
  for (std::size_t n = 0; n < size; n += kBatch) {
    const auto making_from = std::chrono::steady_clock::now();
    std::vector<consent::Consent> batch;
    for (std::size_t i = n; i < std::min(n + kBatch, size); ++i) batch.push_back(consent_number(i));
    making += bench::seconds_since(making_from);
    for (const auto& one : batch) index.apply(one);
  }
  const auto load = bench::seconds_since(begun) - making;

  struct Question {
    UserId user;
    MateId mate;
    std::vector<Scope> scopes;
    Purpose purpose;
  };
  std::vector<Question> questions;
  for (std::size_t i = 0; i < 100'000; ++i) {
    const auto one = consent_number(i * 7'368'787 % size);
    questions.push_back({one.user_id,
                         i % 8 == 0 ? MateId::trusted("mate-none") : one.mate_id,
                         {Scope::trusted(one.scopes[0].str() + (i % 2 == 0 ? "" : ".more"))},
                         one.purposes[0]});
  }
  std::vector<float> latencies;
  std::size_t allowed = 0, decided = 0;
  Question one = questions.front();
  for (const auto& other : questions) one = other;  // room for the longest
  const auto before = allocations;
  latencies.reserve(4'000'000);
  const auto reserved = allocations - before;
  const auto end = bench::in(options.seconds / 2);
  for (std::size_t i = 0; std::chrono::steady_clock::now() < end && latencies.size() < latencies.capacity();
       ++i) {
    // As if it had just been read from a message: the question is in the cache, the records are not.
    one = questions[i % questions.size()];
    const auto from = std::chrono::steady_clock::now();
    allowed += index.decide(one.user, one.mate, one.scopes, one.purpose, kNow).allowed();
    latencies.push_back(
        std::chrono::duration<float, std::nano>(std::chrono::steady_clock::now() - from).count());
    ++decided;
  }
  const auto grown = allocations - before - reserved;
  if (allowed == 0 || allowed == decided) {
    std::fprintf(stderr, "consent_bench: all answers are alike\n");
    std::_Exit(1);
  }
  const auto id = [&](const char* what) { return std::to_string(size) + "." + what; };
  const bool judged = size == 1'000'000;
  const auto aim = [&](double value) { return judged ? std::optional(value) : std::nullopt; };
  report.add({id("verify.p50"), "ns", "lower", bench::percentile(latencies, 0.5), {}, aim(500), {}});
  report.add({id("verify.p99"), "ns", "lower", bench::percentile(latencies, 0.99), {}, {}, {}});
  report.add({id("allocations"), "per 1000", "lower", double(grown) * 1000 / double(decided), {}, 0.0, {}});
  report.add({id("memory"), "B/consent", "lower", double(index.bytes()) / double(size), {}, aim(200), {}});
  report.add({id("load"), "s", "lower", load, {}, aim(5), {}});
}

Options read_options(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view one(arguments[i]);
    if (one == "--json") options.json = true;
    if (i + 1 >= count) continue;
    if (one == "--seconds") options.seconds = std::atof(arguments[++i]);
    if (one == "--only") {
      const std::string_view part(arguments[++i]);
      options.index = part == "index";
      options.platform = part == "platform";
    }
    if (one == "--sizes") {
      options.sizes.clear();
      for (char* at = arguments[++i]; *at != 0; at += *at == ',')
        options.sizes.push_back(std::strtoul(at, &at, 10));
    }
  }
  return options;
}

}  // namespace

int main(int count, char** arguments) {
  const auto options = read_options(count, arguments);
  bench::Report report{"consent", bench::machine(), {}};
  if (options.index) {
    for (const auto size : options.sizes) index_rows(size, options, report);
  }
  if (options.platform) bench::consent_on_platform(options.seconds, report);
  report.print(options.json);
  return 0;
}
