// An ordered consumer: reads a stream, or a part of it, in order and without gaps, without acknowledgements.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nats/jetstream.hpp"

namespace intra365::nats {

struct OrderedOptions {
  std::vector<std::string> filter_subjects;
  std::string deliver_policy = "all";  ///< as in ConsumerConfig
  std::uint64_t opt_start_seq = 0;
  std::string opt_start_time;  ///< RFC 3339
  bool headers_only = false;
  std::size_t max_queued = 65536;  ///< messages waiting to be taken; flow control keeps it lower
};

/// Notices lost messages, heartbeats, connections and servers, and then goes on behind the last message taken
/// with a new consumer of the server. It has no coroutine of its own: it works while somebody waits in
/// `next`. Owned by one shard; `jetstream` must outlive it.
class OrderedConsumer {
 public:
  OrderedConsumer(JetStream& jetstream, std::string stream, OrderedOptions options = {});
  ~OrderedConsumer();
  OrderedConsumer(OrderedConsumer&&) noexcept = default;
  OrderedConsumer& operator=(OrderedConsumer&&) noexcept = delete;

  /// Makes the consumer. Optional: `next` does it too, but here a missing stream is told at once.
  Task<> start();
  /// The next message. Once, when everything that was there at the start has been handed out, it gives
  /// nothing instead; in a cluster that is what the replica serving it knew, which may be catching up after a
  /// restart (compare with `stream_info` where it matters). `nats.timeout` after `deadline`;
  /// jetstream.not_found when the stream is gone; `nats.closed` after `stop`. One coroutine at a time.
  Task<std::optional<Delivered>> next(SteadyTime deadline);
  void stop();
  /// How often the consumer had to be made anew.
  std::uint64_t restarts() const;

 private:
  struct State;
  static Task<std::optional<Delivered>> take(std::shared_ptr<State> state, SteadyTime deadline);
  std::shared_ptr<State> state_;
};

}  // namespace intra365::nats
