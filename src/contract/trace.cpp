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
template <std::size_t Digits>
void fill_random(std::array<char, Digits>& text) {
  thread_local std::mt19937_64 generator = [] {
    const auto seed = random_bytes(32);
    std::seed_seq sequence(seed.begin(), seed.end());
    return std::mt19937_64(sequence);
  }();
  constexpr std::string_view hex = "0123456789abcdef";
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < Digits; ++i, bits >>= 4) {
    if (i % 16 == 0) bits = generator();
    text[i] = hex[bits & 0xf];
  }
}

}  // namespace

TraceContext TraceContext::create() {
  TraceContext trace;
  fill_random(trace.trace_id_);
  fill_random(trace.span_id_);
  return trace;
}

TraceContext TraceContext::child() const {
  auto next = *this;
  fill_random(next.span_id_);
  return next;
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
  TraceContext read;
  std::ranges::copy(trace, read.trace_id_.begin());
  std::ranges::copy(span, read.span_id_.begin());
  read.sampled_ = ((flags[1] <= '9' ? flags[1] - '0' : flags[1] - 'a' + 10) & 1) != 0;
  return read;
}

std::string TraceContext::traceparent() const {
  std::string text;
  text.reserve(55);
  text.append("00-").append(trace_id()).append("-").append(span_id()).append(sampled_ ? "-01" : "-00");
  return text;
}

}  // namespace intra365
