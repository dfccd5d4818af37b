// W3C Trace Context: one id that follows a request through every part of the platform.
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace intra365 {

/// A value without allocations: every message makes one.
class TraceContext {
 public:
  /// 32 hex digits.
  std::string_view trace_id() const { return {trace_id_.data(), trace_id_.size()}; }
  /// 16 hex digits, of the span that sends.
  std::string_view span_id() const { return {span_id_.data(), span_id_.size()}; }
  /// True when the sender may have recorded spans. A new trace is not sampled: the ids are for logs and
  /// audit, and nats-server reads all headers of a message into a map when its `traceparent` says sampled.
  bool sampled() const { return sampled_; }

  /// Reads a `traceparent` header; anything malformed starts a new trace, as the specification asks.
  static TraceContext parse_or_new(std::string_view traceparent);
  static TraceContext create();
  /// The same trace with a new span.
  TraceContext child() const;
  std::string traceparent() const;

 private:
  std::array<char, 32> trace_id_{};
  std::array<char, 16> span_id_{};
  bool sampled_ = false;
};

}  // namespace intra365
