// The headers by which a publisher tells JetStream what it expects and wants: deduplication, optimistic
// concurrency, time to live, schedules.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/time.hpp"
#include "nats/message.hpp"

namespace intra365::nats {

struct PublishOptions {
  /// Two messages with the same id within the stream's duplicate window are stored once (`Nats-Msg-Id`).
  std::string message_id;
  // Storing fails with jetstream.wrong_revision (or jetstream.error for the first) unless these hold.
  std::string expected_stream;
  std::optional<std::uint64_t> expected_last_sequence;
  std::optional<std::uint64_t> expected_last_subject_sequence;
  std::string expected_subject;  ///< of the line above, where it is not the message's own; wildcards allowed
  std::string expected_last_message_id;
  /// The message vanishes after this time (`allow_msg_ttl`); whole seconds. 0: as the stream says.
  std::chrono::seconds ttl{0};
  bool never_expires = false;  ///< whatever the stream says
  enum class Rollup : std::uint8_t { none, subject, all };
  Rollup rollup = Rollup::none;  ///< what the message replaces (`allow_rollup_hdrs`)
};

/// A message that the server publishes later (ADR-51, `allow_msg_schedules`). It is published on a subject of
/// its own, which names the schedule: publishing there again replaces it, purging the subject cancels it.
struct Schedule {
  std::string when;    ///< `@at 2026-10-29T10:00:00Z`, `@every 5m`, or a cron line with seconds: six fields
  std::string target;  ///< where the message goes, in the same stream
  std::string source;  ///< a subject: its last message is sent instead of the schedule's own payload
  std::chrono::seconds ttl{0};  ///< of what is sent
  std::string time_zone;        ///< IANA name; only of a cron line; empty: UTC

  static std::string at(Timestamp time);
  static std::string every(std::chrono::seconds period);
};

/// Adds what the options say to `headers`. Fails with jetstream.bad_option for a value no header can hold.
Result<HeaderBlock> with_options(HeaderBlock headers, const PublishOptions& options);
Result<HeaderBlock> with_schedule(HeaderBlock headers, const Schedule& schedule);

}  // namespace intra365::nats
