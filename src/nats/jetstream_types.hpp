// What JetStream calls take and give: configurations, states, messages. Field names are the server's, so that
// its documentation applies; durations are exact, limits of -1 mean "none".
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nats/message.hpp"

namespace intra365::nats {

using Metadata = std::map<std::string, std::string>;

/// Where a stream may live in a cluster.
struct Placement {
  std::string cluster;
  std::vector<std::string> tags;
  std::string preferred;  ///< of a step-down: the server that should lead
};

struct SubjectTransform {
  std::string src, dest;
};

/// A stream of another account or domain.
struct ExternalStream {
  std::string api, deliver;  ///< subject prefixes
};

struct StreamSource {
  std::string name;
  std::uint64_t opt_start_seq = 0;
  std::string opt_start_time;  ///< RFC 3339
  std::string filter_subject;
  std::vector<SubjectTransform> subject_transforms;
  std::optional<ExternalStream> external;
};

/// Stored messages are also published here.
struct Republish {
  std::string src, dest;
  bool headers_only = false;
};

/// Defaults and upper bounds for the consumers of a stream.
struct ConsumerLimits {
  std::chrono::nanoseconds inactive_threshold{0};
  std::int64_t max_ack_pending = 0;
};

struct StreamConfig {
  std::string name;
  std::vector<std::string> subjects;
  std::string description;
  std::string retention = "limits";  ///< limits, interest, workqueue
  std::string storage = "file";      ///< file, memory
  std::string discard = "old";       ///< old, new
  std::int64_t max_msgs_per_subject = -1;
  /// An operator's to choose where they are not set: without limit and not replicated in a new stream, and as
  /// it is for `ensure_stream` where there is one.
  std::optional<std::int64_t> max_bytes, max_msgs;
  std::optional<int> num_replicas;
  /// A duplicate window longer than `max_age` is shortened to it, as the server demands.
  std::chrono::nanoseconds max_age{0}, duplicate_window{std::chrono::minutes(2)};
  bool allow_direct = true, allow_rollup_hdrs = false, deny_delete = false, allow_msg_ttl = false,
       allow_atomic = false;
  /// ADR-43: where this is set, the server leaves a marker for a subject whose last message aged out.
  std::chrono::nanoseconds subject_delete_marker_ttl{0};

  std::int64_t max_msg_size = -1, max_consumers = -1;
  bool discard_new_per_subject = false, no_ack = false, sealed = false, deny_purge = false,
       mirror_direct = false;
  std::string compression;      ///< empty: as it is; none, s2
  std::uint64_t first_seq = 0;  ///< of a new stream
  std::optional<Placement> placement;
  std::optional<StreamSource> mirror;  ///< then `subjects` stays empty
  std::vector<StreamSource> sources;
  std::optional<SubjectTransform> subject_transform;
  std::optional<Republish> republish;
  std::optional<ConsumerLimits> consumer_limits;
  bool allow_msg_counter = false;    ///< ADR-49
  bool allow_msg_schedules = false;  ///< ADR-51; implies rollup, cannot be switched off again
  bool allow_batched = false;        ///< fast ingest, API level 4
  std::string persist_mode;          ///< empty: default; async gives up durability for speed
  Metadata metadata;
};

struct StreamState {
  std::uint64_t messages = 0, bytes = 0, first_seq = 0, last_seq = 0;
  /// When the stream was made, as the server writes it: tells a stream from its successor of the same name.
  std::string created;
  std::string first_ts, last_ts;  ///< RFC 3339
  std::uint64_t consumer_count = 0, num_subjects = 0, num_deleted = 0;
};

/// Who leads and who follows; empty on a single server.
struct ClusterInfo {
  struct Replica {
    std::string name;
    bool current = false, offline = false;
    std::chrono::nanoseconds active{0};  ///< since it was last heard of
    std::uint64_t lag = 0;
  };
  std::string name, leader;
  std::vector<Replica> replicas;
};

struct StreamInfo {
  StreamConfig config;
  StreamState state;
  ClusterInfo cluster;
  std::map<std::string, std::uint64_t> subjects;  ///< messages of each, when a filter was asked for
};

struct ConsumerConfig {
  std::string durable_name;
  std::vector<std::string> filter_subjects;
  /// all, last, new, last_per_subject, by_start_sequence, by_start_time
  std::string deliver_policy = "all";
  std::uint64_t opt_start_seq = 0;
  std::string ack_policy = "explicit";  ///< explicit, all, none
  std::chrono::nanoseconds ack_wait{std::chrono::seconds(30)};
  std::int64_t max_deliver = -1, max_ack_pending = 10000;
  std::chrono::nanoseconds inactive_threshold{0};

  std::string name;  ///< of an ephemeral consumer; empty: random
  std::string description;
  std::string opt_start_time;                     ///< RFC 3339
  std::vector<std::chrono::nanoseconds> backoff;  ///< instead of `ack_wait`, one for each delivery
  std::string replay_policy;                      ///< empty: instant; original
  bool headers_only = false, mem_storage = false;
  std::int64_t max_waiting = 0, max_batch = 0, max_bytes = 0;  ///< of pulls; 0: the server's default
  std::chrono::nanoseconds max_expires{0};
  int num_replicas = 0;  ///< 0: as the stream
  Metadata metadata;
  std::string pause_until;                   ///< RFC 3339
  std::vector<std::string> priority_groups;  ///< ADR-42: at most one
  std::string priority_policy;               ///< overflow, pinned_client, prioritized
  std::chrono::nanoseconds priority_timeout{0};
  // Of push consumers only.
  std::string deliver_subject, deliver_group;
  std::uint64_t rate_limit_bps = 0;
  std::string sample_freq;
  bool flow_control = false;
  std::chrono::nanoseconds idle_heartbeat{0};
};

struct ConsumerInfo {
  struct Position {
    std::uint64_t consumer_seq = 0, stream_seq = 0;
  };
  struct PriorityGroup {
    std::string group, pinned_client_id;
  };
  std::string stream_name, name, created;
  ConsumerConfig config;
  Position delivered, ack_floor;
  std::uint64_t num_ack_pending = 0, num_redelivered = 0, num_waiting = 0, num_pending = 0;
  bool paused = false, push_bound = false;
  std::chrono::nanoseconds pause_remaining{0};
  std::vector<PriorityGroup> priority_groups;
  ClusterInfo cluster;
};

/// What the account uses and may use; a limit of -1 is none.
struct AccountInfo {
  struct Limits {
    std::int64_t max_memory = -1, max_storage = -1, max_streams = -1, max_consumers = -1;
  };
  std::uint64_t memory = 0, storage = 0, streams = 0, consumers = 0;
  Limits limits;
  std::string domain;
  std::uint64_t api_level = 0, api_total = 0, api_errors = 0;
};

struct PublishAck {
  std::string stream;
  std::uint64_t sequence = 0;
  bool duplicate = false;
  std::uint64_t batch_count = 0;
  std::string value;  ///< of a counter: its new total, an integer of any size
};

struct Outgoing {
  std::string subject;
  std::string payload;
  HeaderBlock headers;
};

/// A delivered message with what its ack subject says of it.
struct Delivered {
  Message message;
  std::uint64_t stream_sequence = 0, consumer_sequence = 0, delivered = 0, pending = 0;
  std::uint64_t timestamp_ns = 0;  ///< when it was stored, since 1970
};

/// A message read back from a stream.
struct StoredMessage {
  Message message;
  std::uint64_t sequence = 0;
  std::string time;  ///< RFC 3339, when it was stored
};

/// When `fetch` returns before its time is over.
enum class FetchUntil : std::uint8_t {
  full,       ///< only with `max` messages: for throughput
  available,  ///< with the first messages there are: for latency
};

}  // namespace intra365::nats
