// What nats-server is told: operator mode with our accounts, JetStream at rest encrypted, and listeners for
// NATS, WebSocket and MQTT.
#pragma once
#include <cstdint>
#include <string>

#include "base/time.hpp"
#include "embedded/child_process.hpp"
#include "embedded/keys.hpp"
#include "embedded/locate.hpp"
#include "embedded/paths.hpp"

namespace intra365::embedded {

/// Where nats-server listens; every port is a real one.
struct NatsAddresses {
  std::string host;
  std::uint16_t port = 0, websocket_port = 0, mqtt_port = 0;
  std::uint16_t monitoring_port = 0;  ///< HTTP on 127.0.0.1, for this machine's operators
  /// Everything is encrypted where other machines can connect.
  bool uses_tls() const;
  std::string nats_url() const;
  std::string websocket_url() const;
  std::string mqtt_url() const;
};

/// The server's limits, in one place.
struct NatsLimits {
  std::uint32_t max_payload_bytes = 1u << 20;
  std::uint32_t max_connections = 65536;
  std::uint32_t max_pending_bytes = 64u << 20;
  std::uint32_t write_deadline_seconds = 10;
  std::uint32_t auth_timeout_seconds = 5;  ///< how long the auth callout may take
  std::uint32_t log_size_bytes = 16u << 20;
};

/// The configuration's text. It holds accounts signed at `now` but no secret: the key of JetStream comes in
/// by the environment (see nats_process).
Result<std::string> nats_config(const Paths& paths, const Keys& keys, const NatsAddresses& addresses,
                                Timestamp now, const NatsLimits& limits = {});

/// The user JWT that the server puts in place for connections that bring none: it may do nothing, but it
/// leads them to the auth callout, together with whatever user and password they did bring.
Result<std::string> sentinel_jwt(const Keys& keys, Timestamp now);

/// How to run the server with that configuration.
ProcessSpec nats_process(const Paths& paths, const Keys& keys, const Runtime& runtime);

/// Returns once the server greets a client with INFO; fails with `deadline`.
Task<> nats_ready(NatsAddresses addresses, SteadyTime deadline);

}  // namespace intra365::embedded
