// Continuous pulling from a consumer: messages come as fast as they are taken, and it recovers by itself.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "nats/jetstream.hpp"

namespace intra365::nats {

struct ConsumeOptions {
  std::size_t max_messages = 500;  ///< asked for and not yet taken; new ones are asked for at half
  std::size_t max_bytes = 0;       ///< of one pull; 0: no limit
  std::chrono::milliseconds expires{30000};
  /// Two of them missing means that the pull is lost. At most half of `expires`.
  std::chrono::milliseconds idle_heartbeat{5000};
  // ADR-42, for consumers with priority groups.
  std::string group;
  std::uint64_t min_pending = 0, min_ack_pending = 0;  ///< overflow: pull only where this much waits
  int priority = 0;                                    ///< prioritized: 0 (first) to 9
};

/// Lost connections, servers, leaders and heartbeats lead to another pull; only a consumer that is gone, a
/// limit the consumer sets or a closed connection ends it. It has no coroutine of its own: it works while
/// somebody waits in `next`. Messages are acknowledged through JetStream. Owned by one shard; `jetstream`
/// must outlive it.
class PullConsumer {
 public:
  PullConsumer(JetStream& jetstream, std::string stream, std::string consumer, ConsumeOptions options = {});
  ~PullConsumer();
  PullConsumer(PullConsumer&&) noexcept = default;
  PullConsumer& operator=(PullConsumer&&) noexcept = delete;

  /// The next message, `nats.timeout` after `deadline`, `nats.closed` after `stop`, jetstream.not_found when
  /// stream or consumer are gone, jetstream.error when a limit of the consumer forbids the pull. One
  /// coroutine at a time.
  Task<Delivered> next(SteadyTime deadline);
  /// A message that has arrived already: without a coroutine, for the hot path.
  std::optional<Delivered> try_next();
  /// What was delivered and not taken is delivered again, to somebody, after the consumer's ack_wait.
  void stop();

  struct Counters {
    std::uint64_t pulls = 0, missed_heartbeats = 0, recoveries = 0;
  };
  const Counters& counters() const;
  /// Of a pinned_client group: our pin; empty while another client is pinned.
  const std::string& pin_id() const;

 private:
  struct State;
  static Task<Delivered> take(std::shared_ptr<State> state, SteadyTime deadline);
  std::shared_ptr<State> state_;
};

}  // namespace intra365::nats
