#include "contract/trace.hpp"

#include <algorithm>
#include <random>

#include "base/ids.hpp"

namespace intra365 {
namespace {

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

/// Trace ids need to be unique, not secret: a generator seeded once saves a system call per message.
std::string random_hex(std::size_t digits) {
  thread_local std::mt19937_64 generator = [] {
    const auto seed = random_bytes(32);
    std::seed_seq sequence(seed.begin(), seed.end());
    return std::mt19937_64(sequence);
  }();
  constexpr std::string_view hex = "0123456789abcdef";
  std::string text(digits, '0');
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < digits; ++i, bits >>= 4) {
    if (i % 16 == 0) bits = generator();
    text[i] = hex[bits & 0xf];
  }
  return text;
}

}  // namespace

TraceContext TraceContext::create() {
  return {random_hex(32), random_hex(16), false};
}

TraceContext TraceContext::child() const {
  return {trace_id, random_hex(16), sampled};
}

TraceContext TraceContext::parse_or_new(std::string_view text) {
  // version "-" trace-id "-" parent-id "-" flags; later versions may append more.
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return create();
  const auto version = text.substr(0, 2), trace = text.substr(3, 32), span = text.substr(36, 16),
             flags = text.substr(53, 2);
  if (!is_hex(version) || !is_hex(trace) || !is_hex(span) || !is_hex(flags) || version == "ff" ||
      is_zero(trace) || is_zero(span))
    return create();
  if (version == "00" && text.size() != 55) return create();
  const bool sampled = ((flags[1] <= '9' ? flags[1] - '0' : flags[1] - 'a' + 10) & 1) != 0;
  return {std::string(trace), std::string(span), sampled};
}

std::string TraceContext::traceparent() const {
  return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00");
}

}  // namespace intra365
