// JetStream on our own JSON and header layer: streams, consumers, durable publishing, atomic batches,
// reading. Strict in what it sends (the server refuses unknown fields), tolerant in what it reads. Continuous
// consuming is in jetstream_consume.hpp and jetstream_ordered.hpp, windowed publishing in
// jetstream_publisher.hpp.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nats/connection.hpp"
#include "nats/jetstream_types.hpp"

namespace intra365::nats {

struct PurgeOptions {
  std::string filter;      ///< a subject, wildcards allowed; empty: everything
  std::uint64_t seq = 0;   ///< only messages before this one
  std::uint64_t keep = 0;  ///< all but this many; not together with `seq`
};

/// Whether a deleted message's bytes are overwritten on disk, which is slow.
enum class Erase : std::uint8_t { no, yes };

/// Which message a direct get gives: the one with `seq`, or the last or next (from `seq` or `start_time`) of
/// a subject.
struct DirectQuery {
  std::uint64_t seq = 0;
  std::string last_by_subj, next_by_subj;
  std::string start_time;  ///< RFC 3339
};

/// ADR-31: many messages with one request. Either the next `batch` of `next_by_subj` from `seq` on, or the
/// last of each subject in `multi_last` (at most 1,024 subjects), as the stream was at `up_to_seq`.
struct DirectBatchQuery {
  std::size_t batch = 0;      ///< at most; 0: what the server gives
  std::size_t max_bytes = 0;  ///< 0: no limit of ours
  std::uint64_t seq = 0;
  std::string start_time;
  std::string next_by_subj;
  std::vector<std::string> multi_last;
  std::uint64_t up_to_seq = 0;
  std::string up_to_time;
};

struct DirectBatch {
  std::vector<StoredMessage> messages;
  std::uint64_t num_pending = 0;    ///< left behind the last of them
  std::uint64_t last_sequence = 0;  ///< of the last of them: go on with `seq` one more
  std::uint64_t up_to_sequence = 0;
};

/// Owned by one shard, like its connection, which must outlive it. Every call ends within `timeout`.
class JetStream {
 public:
  explicit JetStream(Connection& connection, std::chrono::milliseconds timeout = std::chrono::seconds(5));

  // Streams. A configuration that needs a younger server than there is fails with jetstream.unsupported.

  /// Creates the stream, or updates it where its configuration differs. What `config` does not name
  /// (limits, replicas, placement, compression, metadata) stays as an operator has set it.
  Task<StreamState> ensure_stream(const StreamConfig& config);
  /// Fails with jetstream.exists when the name is in use with another configuration.
  Task<StreamInfo> create_stream(const StreamConfig& config);
  Task<StreamInfo> update_stream(const StreamConfig& config);
  Task<StreamState> stream_state(std::string_view stream);
  /// With a filter, `subjects` says how many messages each matching subject has.
  Task<StreamInfo> stream_info(std::string_view stream, std::string_view subjects_filter = {});
  /// All, or those that take messages of `subject`.
  Task<std::vector<std::string>> stream_names(std::string_view subject = {});
  Task<std::vector<StreamInfo>> streams(std::string_view subject = {});
  Task<> delete_stream(std::string_view stream);
  Task<> purge_stream(std::string_view stream, std::string_view subject_filter = {});
  /// Returns how many messages went.
  Task<std::uint64_t> purge(std::string_view stream, const PurgeOptions& options);
  Task<> delete_message(std::string_view stream, std::uint64_t sequence, Erase erase = Erase::no);
  /// Nothing can be written, changed or deleted any more. For good.
  Task<> seal_stream(std::string_view stream);
  /// Makes the leader resign; `preferred` should follow it.
  Task<> step_down(std::string_view stream, std::string_view preferred = {});

  // Consumers.

  /// Creates the durable pull consumer, or updates what the server lets change.
  Task<> ensure_consumer(std::string_view stream, const ConsumerConfig& config);
  /// Fails with jetstream.exists when there is one with another configuration.
  Task<ConsumerInfo> create_consumer(std::string_view stream, const ConsumerConfig& config);
  /// Fails with jetstream.not_found when there is none.
  Task<ConsumerInfo> update_consumer(std::string_view stream, const ConsumerConfig& config);
  Task<ConsumerInfo> consumer_info(std::string_view stream, std::string_view consumer);
  Task<std::vector<std::string>> consumer_names(std::string_view stream);
  Task<std::vector<ConsumerInfo>> consumers(std::string_view stream);
  Task<> delete_consumer(std::string_view stream, std::string_view consumer);
  /// Delivers nothing until this time (RFC 3339); returns how long that is.
  Task<std::chrono::nanoseconds> pause_consumer(std::string_view stream, std::string_view consumer,
                                                std::string_view until);
  Task<> resume_consumer(std::string_view stream, std::string_view consumer);
  /// ADR-42: lets another client be pinned.
  Task<> unpin_consumer(std::string_view stream, std::string_view consumer, std::string_view group);
  /// API level 4: delivers again from `sequence` on; 0: from the acknowledged floor.
  Task<> reset_consumer(std::string_view stream, std::string_view consumer, std::uint64_t sequence = 0);

  /// API level of the server: 2 or more has atomic batches.
  Task<int> api_level();
  Task<AccountInfo> account_info();

  // Publishing.

  /// Returns once the message is stored as durably as the stream promises. Nobody listening (a leader being
  /// elected, a server starting) is tried twice more, 250 ms apart (ADR-22). After `nats.timeout` the
  /// outcome is unknown: a `Nats-Msg-Id` header makes sending again safe.
  Task<PublishAck> publish(std::string_view subject, std::string_view payload,
                           const HeaderBlock& headers = no_headers);
  /// ADR-50: all or nothing, one fsync. At most 1,000 messages. Needs `allow_atomic` on the stream.
  Task<PublishAck> publish_batch(std::span<const Outgoing> messages);
  /// ADR-49: adds to the counter of a subject (`allow_msg_counter`). `increment` is an integer of any size;
  /// the result is the new total.
  Task<std::string> count(std::string_view subject, std::string_view increment);

  // Consuming.

  /// Pulls up to `max` messages; returns with fewer after `wait`. What was received is returned even when
  /// the pull ended with an error.
  Task<std::vector<Delivered>> fetch(std::string_view stream, std::string_view consumer, std::size_t max,
                                     std::chrono::milliseconds wait, FetchUntil until = FetchUntil::full);
  /// The acknowledgements below are sent and forgotten: one that is lost means one more delivery.
  void acknowledge(const Delivered& delivered);
  /// Waits until the server has the acknowledgement ("double ack").
  Task<> acknowledge_sync(const Delivered& delivered);
  /// Asks for another delivery, at once or after `delay`.
  void negative_acknowledge(const Delivered& delivered, std::chrono::nanoseconds delay = {});
  /// Says that the message is still being worked on: its ack_wait starts anew.
  void in_progress(const Delivered& delivered);
  /// Ends deliveries of this message for good; the server's advisory carries the reason.
  void terminate(const Delivered& delivered, std::string_view reason = {});

  // Reading back.

  /// The last message of a literal subject, from the stream's leader, so that it reads its own writes.
  Task<Message> last_message(std::string_view stream, std::string_view subject);
  /// The same with its sequence.
  Task<StoredMessage> last_stored(std::string_view stream, std::string_view subject);
  /// One message by sequence, from the stream's leader.
  Task<StoredMessage> message(std::string_view stream, std::uint64_t sequence);
  /// From any replica or mirror (`allow_direct`): quicker, but possibly behind the leader. A stream that does
  /// not allow it does not answer: nats.timeout or nats.no_responders.
  Task<StoredMessage> direct_get(std::string_view stream, const DirectQuery& query);
  Task<DirectBatch> direct_get_batch(std::string_view stream, const DirectBatchQuery& query);
  /// The total of a counter.
  Task<std::string> counted(std::string_view stream, std::string_view subject);

  Connection& connection() { return connection_; }
  std::chrono::milliseconds timeout() const { return timeout_; }

 private:
  SteadyTime deadline() const { return std::chrono::steady_clock::now() + timeout_; }
  Task<> require(int api_level);

  Connection& connection_;
  std::chrono::milliseconds timeout_;
  std::string level_server_;  ///< whose level `level_` is
  int level_ = 0;
};

}  // namespace intra365::nats
