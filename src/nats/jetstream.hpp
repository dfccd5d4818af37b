// JetStream on our own JSON and header layer: streams, durable publishing, atomic batches, pull consumers.
// Strict in what it sends (the server refuses unknown fields), tolerant in what it reads.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nats/connection.hpp"

namespace intra365::nats {

struct StreamConfig {
  std::string name;
  std::vector<std::string> subjects;
  std::string description;
  std::string retention = "limits";  ///< limits, interest, workqueue
  std::string storage = "file";      ///< file, memory
  std::string discard = "old";       ///< old, new
  std::int64_t max_msgs_per_subject = -1, max_bytes = -1, max_msgs = -1;
  /// A duplicate window longer than `max_age` is shortened to it, as the server demands.
  std::chrono::nanoseconds max_age{0}, duplicate_window{std::chrono::minutes(2)};
  int num_replicas = 1;
  bool allow_direct = true, allow_rollup_hdrs = false, deny_delete = false, allow_msg_ttl = false,
       allow_atomic = false;
  /// ADR-43: where this is set, the server leaves a marker for a subject whose last message aged out.
  std::chrono::nanoseconds subject_delete_marker_ttl{0};
};

struct StreamState {
  std::uint64_t messages = 0, bytes = 0, first_seq = 0, last_seq = 0;
  /// When the stream was made, as the server writes it: tells a stream from its successor of the same name.
  std::string created;
};

struct ConsumerConfig {
  std::string durable_name;
  std::vector<std::string> filter_subjects;
  std::string deliver_policy = "all";  ///< all, new, last_per_subject, by_start_sequence
  std::uint64_t opt_start_seq = 0;
  std::string ack_policy = "explicit";
  std::chrono::nanoseconds ack_wait{std::chrono::seconds(30)};
  std::int64_t max_deliver = -1, max_ack_pending = 10000;
  std::chrono::nanoseconds inactive_threshold{0};
};

struct PublishAck {
  std::string stream;
  std::uint64_t sequence = 0;
  bool duplicate = false;
  std::uint64_t batch_count = 0;
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
};

/// A message read back from a stream.
struct StoredMessage {
  Message message;
  std::uint64_t sequence = 0;
};

/// When `fetch` returns before its time is over.
enum class FetchUntil : std::uint8_t {
  full,       ///< only with `max` messages: for throughput
  available,  ///< with the first messages there are: for latency
};

/// Owned by one shard, like its connection, which must outlive it. Every call ends within `timeout`.
class JetStream {
 public:
  explicit JetStream(Connection& connection, std::chrono::milliseconds timeout = std::chrono::seconds(5));

  /// Creates the stream, or updates it where its configuration differs. What `config` does not name
  /// (placement, compression, metadata) stays as an operator has set it.
  Task<StreamState> ensure_stream(const StreamConfig& config);
  Task<StreamState> stream_state(std::string_view stream);
  Task<> delete_stream(std::string_view stream);
  Task<> purge_stream(std::string_view stream, std::string_view subject_filter = {});
  /// Creates the durable pull consumer, or updates what the server lets change.
  Task<> ensure_consumer(std::string_view stream, const ConsumerConfig& config);
  Task<> delete_consumer(std::string_view stream, std::string_view consumer);
  /// API level of the server: 2 or more has atomic batches.
  Task<int> api_level();

  /// Returns once the message is stored as durably as the stream promises. Nobody listening (a leader being
  /// elected, a server starting) is tried twice more, 250 ms apart (ADR-22). After `nats.timeout` the
  /// outcome is unknown: a `Nats-Msg-Id` header makes sending again safe.
  Task<PublishAck> publish(std::string_view subject, std::string_view payload,
                           const HeaderBlock& headers = {});
  /// ADR-50: all or nothing, one fsync. At most 1,000 messages. Needs `allow_atomic` on the stream.
  Task<PublishAck> publish_batch(std::span<const Outgoing> messages);

  /// Pulls up to `max` messages; returns with fewer after `wait`. What was received is returned even when
  /// the pull ended with an error.
  Task<std::vector<Delivered>> fetch(std::string_view stream, std::string_view consumer, std::size_t max,
                                     std::chrono::milliseconds wait, FetchUntil until = FetchUntil::full);
  /// The acknowledgements below are sent and forgotten: one that is lost means one more delivery.
  void acknowledge(const Delivered& delivered);
  /// Waits until the server has the acknowledgement.
  Task<> acknowledge_sync(const Delivered& delivered);
  /// Asks for another delivery, at once or after `delay`.
  void negative_acknowledge(const Delivered& delivered, std::chrono::nanoseconds delay = {});
  /// Says that the message is still being worked on: its ack_wait starts anew.
  void in_progress(const Delivered& delivered);
  /// Ends deliveries of this message for good.
  void terminate(const Delivered& delivered);

  /// The last message of a literal subject, from the stream's leader, so that it reads its own writes.
  Task<Message> last_message(std::string_view stream, std::string_view subject);
  /// The same with its sequence.
  Task<StoredMessage> last_stored(std::string_view stream, std::string_view subject);

  Connection& connection() { return connection_; }
  std::chrono::milliseconds timeout() const { return timeout_; }

 private:
  SteadyTime deadline() const { return std::chrono::steady_clock::now() + timeout_; }

  Connection& connection_;
  std::chrono::milliseconds timeout_;
};

}  // namespace intra365::nats
