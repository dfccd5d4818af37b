#include "nats/jetstream_headers.hpp"

#include "nats/errors.hpp"

namespace intra365::nats {
namespace {

/// Collects headers and remembers whether one could not be.
class Adder {
 public:
  explicit Adder(HeaderBlock headers) : headers_(std::move(headers)) {}
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) good_ = headers_.add(name, value) && good_;
  }
  void number(std::string_view name, const std::optional<std::uint64_t>& value) {
    if (value) text(name, std::to_string(*value));
  }
  void seconds(std::string_view name, std::chrono::seconds value) {
    if (value.count() < 0) good_ = false;
    if (value.count() > 0) text(name, std::to_string(value.count()) + "s");
  }
  void refuse_if(bool bad) { good_ = good_ && !bad; }
  Result<HeaderBlock> result() && {
    if (!good_) return fail(errors::bad_option);
    return std::move(headers_);
  }

 private:
  HeaderBlock headers_;
  bool good_ = true;
};

}  // namespace

Result<HeaderBlock> with_options(HeaderBlock headers, const PublishOptions& options) {
  using Rollup = PublishOptions::Rollup;
  Adder add(std::move(headers));
  add.text("Nats-Msg-Id", options.message_id);
  add.text("Nats-Expected-Stream", options.expected_stream);
  add.number("Nats-Expected-Last-Sequence", options.expected_last_sequence);
  add.number("Nats-Expected-Last-Subject-Sequence", options.expected_last_subject_sequence);
  add.text("Nats-Expected-Last-Subject-Sequence-Subject", options.expected_subject);
  add.text("Nats-Expected-Last-Msg-Id", options.expected_last_message_id);
  add.refuse_if(options.never_expires && options.ttl.count() != 0);
  add.seconds("Nats-TTL", options.ttl);
  if (options.never_expires) add.text("Nats-TTL", "never");
  if (options.rollup != Rollup::none) add.text("Nats-Rollup", options.rollup == Rollup::all ? "all" : "sub");
  return std::move(add).result();
}

Result<HeaderBlock> with_schedule(HeaderBlock headers, const Schedule& schedule) {
  Adder add(std::move(headers));
  add.refuse_if(schedule.when.empty() || schedule.target.empty());
  add.text("Nats-Schedule", schedule.when);
  add.text("Nats-Schedule-Target", schedule.target);
  add.text("Nats-Schedule-Source", schedule.source);
  add.seconds("Nats-Schedule-TTL", schedule.ttl);
  add.text("Nats-Schedule-Time-Zone", schedule.time_zone);
  return std::move(add).result();
}

std::string Schedule::at(Timestamp time) {
  return "@at " + format_rfc3339(time);
}

std::string Schedule::every(std::chrono::seconds period) {
  return "@every " + std::to_string(period.count()) + "s";
}

}  // namespace intra365::nats
