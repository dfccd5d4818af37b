// Asynchronous publishing: many messages under way, each with its acknowledgement, and a bound on how many.
#pragma once
#include <functional>
#include <memory>

#include "nats/jetstream.hpp"

namespace intra365::nats {

struct PublisherOptions {
  std::size_t max_in_flight = 4096;
};

/// Owned by one shard; `jetstream` must outlive it. Acknowledgements that come after it has gone still reach
/// their handlers. An acknowledgement that does not come within the timeout of `jetstream` is `nats.timeout`:
/// the outcome is unknown then, and a `Nats-Msg-Id` makes sending again safe.
class AsyncPublisher {
 public:
  using Done = std::move_only_function<void(Result<PublishAck>)>;
  explicit AsyncPublisher(JetStream& jetstream, PublisherOptions options = {});

  /// Sends at once. Fails with jetstream.window_full or what Connection::publish fails with before anything
  /// was sent; `done`, where there is one, is not called then.
  Result<void> try_publish(std::string_view subject, std::string_view payload,
                           const HeaderBlock& headers = no_headers, Done done = {});
  /// Waits until there is room, in the window and in the connection's buffer, and sends.
  Task<> publish(std::string_view subject, std::string_view payload, const HeaderBlock& headers = no_headers,
                 Done done = {});
  /// Waits until everything has been acknowledged. Fails with the first failure since the last `drain`.
  Task<> drain(SteadyTime deadline);

  std::size_t in_flight() const;
  std::uint64_t acknowledged() const;
  std::uint64_t failed() const;

 private:
  struct State;
  JetStream& jetstream_;
  std::shared_ptr<State> state_;
};

}  // namespace intra365::nats
