// W3C Trace Context: one id that follows a request through every part of the platform.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace intra365 {

struct TraceContext {
  std::string trace_id;  ///< 32 hex digits
  std::string span_id;   ///< 16 hex digits, of the span that sends
  bool sampled = true;

  /// Reads a `traceparent` header; anything malformed starts a new trace, as the specification asks.
  static TraceContext parse_or_new(std::string_view traceparent);
  static TraceContext create();
  /// The same trace with a new span.
  TraceContext child() const;
  std::string traceparent() const;
};

}  // namespace intra365
