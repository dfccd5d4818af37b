// What those who follow the change stream have in common: what they read of it, when another process does it
// for them, and when the stream is another one. For this folder only.
#pragma once
#include <string>
#include <vector>

#include "nats/jetstream_ordered.hpp"
#include "nats/key_value.hpp"

namespace intra365::cdc {

struct Followed {
  std::string stream, subject_prefix, slot;
  std::vector<std::string> tables;

  /// Rows of the tables and the marks; `more` kinds as well. From `sequence` on.
  nats::OrderedOptions reading(std::uint64_t sequence, std::vector<std::string> more = {}) const;
};

/// Another process writes this key, and this one wants its place: returns once the key stands still for so
/// long.
Task<> wait_until_still(nats::KeyValue& bucket, std::string key, std::chrono::milliseconds how_long);

/// A consumer goes on where it was, in whatever stream has the name: fails with `cdc.gap` where that was made
/// at another time.
Task<> expect_same_stream(nats::JetStream& jetstream, std::string stream, std::string made_at);

}  // namespace intra365::cdc
